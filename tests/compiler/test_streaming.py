"""Large results go past the caches: which ones, with which instructions, and with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.compiler import elementwise
from flambeau.compiler.caches import last_cache
from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Pointer, Role, Stride
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, bfloat16, bool_, float32, float64
from flambeau.graph.builder import Var
from flambeau.primitives import elementwise as e
from flambeau.primitives.views import transpose
from tests.compiler.builders import compiled, host_targets, same_bits, simple
from tests.compiler.graphs import f32, graph_of, plan
from tests.compiler.jit import assembly

LARGE = last_cache() // 4 + 1024  # float32 elements: four times as many bytes


def aligned(size: int, dtype: DType, offset: int = 0) -> np.ndarray:
    """Memory that begins ``offset`` bytes after a multiple of 64."""
    space = np.full(size * dtype.itemsize + 128, 0xAB, np.uint8)
    start = -space.ctypes.data % 64 + offset
    return space[start : start + size * dtype.itemsize].view(dtype.numpy)


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: f"{t.name} {t.vector_bits}")
@pytest.mark.parametrize("dtype", [float32, float64, bfloat16], ids=str)
@pytest.mark.parametrize("size", [1, 31, 1000, 70_001])
def test_the_same_bits(dtype: DType, size: int, target: Target) -> None:
    x = np.random.default_rng(0).standard_normal(size).astype(dtype.numpy)
    kernel = simple("tanh", (dtype,), dtype)
    entry, code = compiled(kernel, target)
    found = []
    for streams in (False, True):
        result = aligned(size, dtype)
        given = kernel, entry, (size,), ((1,), (1,)), (Pointer(0), Pointer(1))
        code.run(elementwise.calls(*given, streams=streams), [x, result])
        found.append(result)
    assert same_bits(*found)


def test_rows_that_begin_anywhere_are_stored_as_always() -> None:
    kernel = simple("add", (float32, float32), float32, "GV", "s1")

    def past(sizes: tuple[int, int], offset: int = 0) -> int:
        steps = (sizes[1], 1)
        pointers = (Pointer(0), Pointer(1), Pointer(2, offset))
        (call,) = elementwise.calls(kernel, "entry", sizes, (steps, steps, steps), pointers, streams=True)
        return int(call.args[5])  # type: ignore[arg-type]

    assert past((7, 64)) == 1
    assert past((7, 65)) == past((7, 64), 4) == 0
    assert past((1, 65)) == 1


def test_assembly_writes_whole_lines() -> None:
    for dtypes in ((float32, float32), (float64, float64)):
        code = assembly(
            elementwise.lower(simple("add", dtypes, dtypes[0]), Target.avx512())[1], Target.avx512()
        )
        stores = [line for line in code.splitlines() if "movnt" in line]
        assert stores and all("zmm" in line for line in stores)
    code = assembly(
        elementwise.lower(simple("lt", (float32, float32), bool_), Target.avx2())[1], Target.avx2()
    )
    assert all("xmm" in line or "ymm" in line for line in code.splitlines() if "movnt" in line)


def flags(fn, *types) -> list[bool]:  # type: ignore[no-untyped-def]
    """Of each elementwise call of a program whether its results go past the caches."""
    schedule, kernels = plan(graph_of(fn, *types))
    operands = {f"elementwise_{i + 1}": len(k.operands) for i, k in enumerate(kernels)}
    found = []
    for call in schedule.operations():
        if call.entry in operands:  # type: ignore[union-attr]
            found.append(bool(call.args[operands[call.entry] + 2]))  # type: ignore[union-attr]
    return found


def test_large_results_do() -> None:
    assert flags(lambda x: e.mul(x, 2.0), f32(LARGE)) == [True]
    assert flags(lambda x: e.mul(x, 2.0), f32(LARGE // 64)) == [False]


def test_a_kernel_that_computes_for_long_does_so_sooner() -> None:
    assert flags(lambda x: e.mul(x, 2.0), f32(LARGE // 3)) == [False]
    assert flags(lambda x: e.tanh(x), f32(LARGE // 3)) == [True]


def test_what_the_next_kernel_reads_stays() -> None:
    def turned(x: Var) -> list[Var]:
        y = e.tanh(x)
        return [e.exp(transpose(y, (1, 0))), y]

    assert flags(turned, f32(1024, LARGE // 1024)) == [False, True]


def test_what_is_updated_in_place_stays() -> None:
    graph = graph_of(lambda x: e.mul(x, 2.0), f32(LARGE))
    schedule, _ = plan(graph, donated=frozenset([0]))
    (call,) = schedule.overwriting
    assert schedule.reused and call.args[4] == 0  # type: ignore[union-attr]


def test_many_runs_of_memory_are_fetched_ahead() -> None:
    def fetches(operands: int) -> int:
        text = elementwise.lower(sum_of(operands), Target.avx512())[1]
        return text.count("call void @llvm.prefetch")

    assert fetches(2) == 0
    assert fetches(3) == 3 * 2 * 2  # lines of two vectors, in either main loop


def sum_of(operands: int) -> Kernel:
    """The kernel that adds up so many operands, row by row."""
    body = [Instr("load", float32, operand=i) for i in range(operands)]
    total = 0
    for i in range(1, operands):
        body.append(Instr("add", float32, (total, i)))
        total = len(body) - 1
    body.append(Instr("store", float32, (total,), operand=operands))
    roles = [*[Role.IN] * operands, Role.OUT]
    return Kernel(
        "elementwise",
        (AxisKind.VECTOR,),
        tuple([Operand(float32, role, (Stride.ONE,)) for role in roles]),
        tuple(body),
    )
