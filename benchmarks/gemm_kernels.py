"""Matrix products by generated code beside PyTorch's, packing included, in one interleaved run.

    python benchmarks/gemm_kernels.py            # one thread, all shapes, both transposed or not
    python benchmarks/gemm_kernels.py --scaling  # two threads against one
    python benchmarks/gemm_kernels.py --compile  # time to lower and to compile a module

Each figure is the best of several rounds; a round runs ours, then PyTorch's, each for some
milliseconds. The ratio is PyTorch's time divided by ours: above 1, ours is faster.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import cache

import numpy as np

from flambeau.compiler import contraction, jit
from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Pointer, Role, Stride
from flambeau.compiler.target import Target
from flambeau.dtypes import float32
from flambeau.runtime import threads
from flambeau.runtime.driver import Program

# (rows, inner size, columns)
SHAPES = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
SHAPES += [(1, 1000, 1000), (7, 33, 129), (64, 4096, 1024)]


def product_kernel(a_transposed: bool, b_transposed: bool) -> Kernel:
    zero, one, any_ = Stride.ZERO, Stride.ONE, Stride.ANY
    a = (one, zero, any_) if a_transposed else (any_, zero, one)
    b = (zero, any_, one) if b_transposed else (zero, one, any_)
    operands = (
        Operand(float32, Role.IN, a),
        Operand(float32, Role.IN, b),
        Operand(float32, Role.OUT, (any_, one, zero)),
    )
    body = (
        Instr("load", float32, operand=0),
        Instr("load", float32, operand=1),
        Instr("contract", float32, (0, 1)),
        Instr("store", float32, (2,), operand=2),
    )
    return Kernel("contraction", (AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE), operands, body)


@cache
def machine_code(a_transposed: bool, b_transposed: bool) -> tuple[Kernel, str, dict[str, int]]:
    kernel = product_kernel(a_transposed, b_transposed)
    entry, text = contraction.lower(kernel, Target.host())
    return kernel, entry, jit.load({entry: text})


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    size = 4 * math.prod(shape)
    space = np.zeros(size + 64, np.uint8)
    start = -space.ctypes.data % 64
    return space[start : start + size].view(np.float32).reshape(shape)


def operands(m: int, k: int, n: int, a_transposed: bool, b_transposed: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    a = aligned((k, m)).T if a_transposed else aligned((m, k))
    b = aligned((n, k)).T if b_transposed else aligned((k, n))
    a[:], b[:] = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    return [a, b, aligned((m, n))]


def ours(arrays: list[np.ndarray], a_transposed: bool, b_transposed: bool) -> Callable[[], object]:
    a, b, c = arrays
    kernel, entry, addresses = machine_code(a_transposed, b_transposed)
    sizes = (c.shape[0], c.shape[1], a.shape[1])
    strides = tuple(
        (0 if rows is None else x.strides[rows] // 4, 0 if columns is None else x.strides[columns] // 4,
         0 if inner is None else x.strides[inner] // 4)
        for x, rows, columns, inner in ((a, 0, None, 1), (b, None, 1, 0), (c, 0, 1, None))
    )  # fmt: skip
    space = aligned((contraction.workspace(kernel, sizes) // 4 + 1,))
    calls = contraction.calls(kernel, entry, sizes, strides, tuple(map(Pointer, range(3))), Pointer(3))
    program = Program(calls, addresses, slots=4)
    held = [*arrays, space]
    bases = np.array([x.ctypes.data for x in held], np.int64)

    def run(held: list[np.ndarray] = held) -> object:
        return program.run(bases)

    return run


def best_times(runs: list[Callable[[], object]], estimate: float, rounds: int) -> list[float]:
    """Seconds per run of each, interleaved."""
    repeats = max(1, int(3e-3 / estimate))
    best = [math.inf] * len(runs)
    for _ in range(rounds):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            best[i] = min(best[i], (time.perf_counter() - start) / repeats)
    return best


def compare(rounds: int) -> None:
    import torch

    torch.set_num_threads(1)
    threads.set_num_threads(1)
    ratios = []
    print("rows x inner x columns   transposed   ours GFLOP/s   PyTorch GFLOP/s   ratio")
    for m, k, n in SHAPES:
        for a_transposed in (False, True):
            for b_transposed in (False, True):
                arrays = operands(m, k, n, a_transposed, b_transposed)
                run = ours(arrays, a_transposed, b_transposed)
                a, b = torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1])
                out = torch.empty(m, n)

                def peer(a: torch.Tensor = a, b: torch.Tensor = b, out: torch.Tensor = out) -> object:
                    return torch.mm(a, b, out=out)

                run(), peer()
                scale = np.abs(arrays[0]) @ np.abs(arrays[1]) if m * n * k < 2**28 else np.float32(k)
                assert (np.abs(arrays[2] - out.numpy()) <= k * 1.2e-7 * scale).all()
                flops = 2.0 * m * n * k
                mine, theirs = best_times([run, peer], flops / 1e11, rounds)
                ratios.append(theirs / mine)
                which = f"{'A' if a_transposed else '-'}{'B' if b_transposed else '-'}"
                print(
                    f"{m:5} x {k:5} x {n:5}      {which:^10}   {flops / mine / 1e9:12.1f}   "
                    f"{flops / theirs / 1e9:15.1f}   {theirs / mine:5.2f}"
                )
    print(f"geometric mean of the ratio: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.3f}")


def scaling(rounds: int) -> None:
    print("rows x inner x columns   one thread GFLOP/s   two   ratio")
    for m, k, n in [s for s in SHAPES if min(s) >= 256] + [(64, 4096, 1024)]:
        run = ours(operands(m, k, n, False, False), False, False)
        flops = 2.0 * m * n * k
        best = [math.inf, math.inf]
        for _ in range(rounds):
            for i in (0, 1):
                threads.set_num_threads(i + 1)
                run()
                best[i] = min(best[i], best_times([run], flops / 1e11, 1)[0])
        print(
            f"{m:5} x {k:5} x {n:5}   {flops / best[0] / 1e9:10.1f}   {flops / best[1] / 1e9:10.1f}   "
            f"{best[0] / best[1]:5.2f}"
        )


def compile_times(rounds: int) -> None:
    target = Target.host()
    for which in ((False, False), (False, True), (True, False), (True, True)):
        lowering, compiling = math.inf, math.inf
        for _ in range(rounds):
            start = time.perf_counter()
            _, text = contraction.lower(product_kernel(*which), target)
            middle = time.perf_counter()
            _, code = jit.compile_object(text, target)
            lowering = min(lowering, middle - start)
            compiling = min(compiling, time.perf_counter() - middle)
        print(
            f"A, B transposed {which}: lower {1e3 * lowering:.1f} ms, compile {1e3 * compiling:.1f} ms, "
            f"{len(code)} bytes"
        )
    kernel, entry, _ = machine_code(False, False)
    for size in (64, 512):
        strides = ((size, 0, 1), (0, 1, size), (size, 1, 0))
        start = time.perf_counter()
        for _ in range(2000):
            contraction.calls(kernel, entry, (size,) * 3, strides, tuple(map(Pointer, range(3))), Pointer(3))
        middle = time.perf_counter()
        for _ in range(2000):
            contraction.workspace(kernel, (size,) * 3)
        end = time.perf_counter()
        print(f"n = {size}: calls {(middle - start) * 500:.1f} us, workspace {(end - middle) * 500:.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.scaling:
        scaling(chosen.rounds)
    elif chosen.compile:
        compile_times(chosen.rounds)
    else:
        compare(chosen.rounds)


if __name__ == "__main__":
    main()
