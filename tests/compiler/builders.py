"""Short ways to write kernels in tests, and to run them over NumPy arrays."""

from __future__ import annotations

from functools import cache

import numpy as np

from flambeau.compiler import elementwise, reduction
from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Pointer, Role, Stride
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, from_numpy
from tests.compiler.jit import Compiled

AXES = {"G": AxisKind.GRID, "V": AxisKind.VECTOR, "R": AxisKind.REDUCE}
STRIDES = {"0": Stride.ZERO, "1": Stride.ONE, "s": Stride.ANY}


def host_targets() -> list[Target]:
    """The targets that this machine runs, of several vector widths."""
    host = Target.host()
    if host.name == "neon":
        return [host]
    narrow = [Target.avx2(), Target.avx2(128)]
    return [*narrow, Target.avx512(), Target.avx512(256)] if host.name == "avx512" else narrow


def operand(dtype: DType, role: str, strides: str) -> Operand:
    return Operand(dtype, Role(role), tuple(STRIDES[s] for s in strides))


def simple(
    op: str, operands: tuple[DType, ...], result: DType, axes: str = "V", strides: str = "1"
) -> Kernel:
    """A kernel of one operation on operands of the same layout."""
    count = len(operands)
    body = [Instr("load", d, operand=i) for i, d in enumerate(operands)]
    body.append(Instr(op, result, tuple(range(count))))
    body.append(Instr("store", result, (count,), operand=count))
    layout = [operand(d, "in", strides) for d in operands] + [operand(result, "out", strides)]
    return Kernel("elementwise", tuple(AXES[a] for a in axes), tuple(layout), tuple(body))


@cache
def compiled(kernel: Kernel, target: Target) -> tuple[str, Compiled]:
    family = reduction if kernel.family == "reduction" else elementwise
    entry, text = family.lower(kernel, target)
    return entry, Compiled(entry, text, target)


def run(
    kernel: Kernel,
    arrays: list[np.ndarray],
    sizes: tuple[int, ...],
    target: Target | None = None,
    order: int = 1,
) -> int:
    """Runs a kernel on arrays broadcast to ``sizes`` (outputs of reductions: with strides 0).

    Returns the number of launches.
    """
    entry, code = compiled(kernel, target or Target.host())
    views = [np.broadcast_to(a, sizes) for a in arrays]
    strides = tuple(tuple(s // v.itemsize for s in v.strides) for v in views)
    for own, given in zip(kernel.operands, strides, strict=True):
        for kind, step, size in zip(own.strides, given, sizes, strict=True):
            assert kind is Stride.ANY or size < 2 or 0 in sizes or step == {"0": 0, "1": 1}[kind.value], (
                kernel,
                strides,
            )
    pointers = tuple(Pointer(i) for i in range(len(arrays)))
    if kernel.family != "reduction":
        calls = elementwise.calls(kernel, entry, sizes, strides, pointers)
        code.run(calls, arrays, order)
        return len(calls)
    size = reduction.workspace(kernel, sizes)
    space = np.full(size + 64, 0xAB, np.uint8)
    space = space[-space.ctypes.data % 64 :]
    calls = reduction.calls(kernel, entry, sizes, strides, pointers, Pointer(len(arrays)))
    code.run(calls, [*arrays, space], order)
    return len(calls)


def dtype_of(array: np.ndarray) -> DType:
    return from_numpy(array.dtype)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit, but for the bits of NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind in "biu":
        return bool((a == b).all())
    whole = np.dtype(f"u{a.itemsize}")
    equal = np.ascontiguousarray(a).view(whole) == np.ascontiguousarray(b).view(whole)
    return bool((equal | (np.isnan(a) & np.isnan(b))).all())
