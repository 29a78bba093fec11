"""The grammar of kernels, checked by machine before they are lowered in tests and when debugging."""

from __future__ import annotations

from typing import Any

from flambeau.compiler import scalar_ops
from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Role, Stride
from flambeau.dtypes import DType, bool_, int64
from flambeau.errors import VerificationError

FAMILIES = ("elementwise", "reduction", "normalization", "contraction", "convolution", "sort")
SORTS = ("sorted", "order", "sorted_down", "order_down")
REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
COMBINING = (*REDUCTIONS, "contract")
_ARGUMENTS = {
    "load": 0, "index": 0, "load_at": 1, "store_at": 2, "fail": 3, "const": 0, "store": 1, "contract": 2,
} | dict.fromkeys((*REDUCTIONS, *SORTS), 1)  # fmt: skip
_ROLES = {
    "load": Role.IN, "load_at": Role.IN, "index": Role.INDEX,
    "store": Role.OUT, "store_at": Role.OUT, "fail": Role.OUT,
}  # fmt: skip
_STORES = ("store", "store_at", "fail")


def verify_kernel(kernel: Kernel) -> None:
    """Raise ``VerificationError`` where ``kernel`` breaks the grammar of its family.

    Whole kernel: a known family; for ``elementwise`` the last axis, if any, is VECTOR, none is REDUCE;
    ``reduction``, ``normalization`` and ``contraction`` have REDUCE axes and what combines over them,
    ``normalization`` after its GRID axes and ``contraction`` after its GRID and VECTOR axes; a stride
    class per axis and operand; every output stored exactly once.

    Instructions: arguments are earlier values; loads read inputs and stores write outputs, of the
    same dtype; numbers suit their dtype; elementwise instructions exist for the dtypes they are given.

    Dataflow: a value is stored only where its operand moves along every axis it varies along
    (otherwise points overwrite each other); once something has been reduced, what varies along a
    REDUCE axis may only go into another reduction, because the loop that computed it is over; a
    ``normalization`` passes over its points again.
    """
    _check_shape(kernel)
    varying: list[frozenset[int]] = []
    stored: dict[int, int] = {}
    reduced_at: int | None = None
    for position, instr in enumerate(kernel.body):
        place = f"instruction {position} of the {kernel.family} kernel, {instr.op},"
        _check_arguments(kernel, position, instr, place)
        _check_operand(kernel, instr, place)
        _check_dtypes(kernel, instr, place)
        axes = _axes_varied_along(kernel, instr, varying)
        varying.append(axes)
        if instr.op in COMBINING:
            reduced_at = position
        if instr.op in _STORES:
            if instr.operand in stored:
                raise VerificationError(
                    f"{place} stores operand {instr.operand} again, after instruction {stored[instr.operand]}"
                )
            stored[instr.operand] = position
            if instr.op != "store":
                continue
            _check_store(kernel, instr, axes, reduced_at, place)
    for number, operand in enumerate(kernel.operands):
        if operand.role is Role.OUT and number not in stored:
            raise VerificationError(f"the {kernel.family} kernel never stores operand {number}, an output")


def _check_shape(kernel: Kernel) -> None:
    family, axes = kernel.family, kernel.axes
    if family not in FAMILIES:
        raise VerificationError(f"there is no family of kernels called {family!r}: {', '.join(FAMILIES)}")
    for number, kind in enumerate(axes):
        if not isinstance(kind, AxisKind):
            raise VerificationError(f"axis {number} of the {family} kernel is {kind!r}, not an AxisKind")
    _check_family(kernel)
    for number, operand in enumerate(kernel.operands):
        place = f"operand {number} of the {family} kernel"
        if not isinstance(operand.role, Role) or not isinstance(operand.dtype, DType):
            given = f"{operand.role!r} and {operand.dtype!r}"
            raise VerificationError(f"{place} needs a Role and a DType, not {given}")
        if len(operand.strides) != len(axes):
            raise VerificationError(f"{place} has {len(operand.strides)} strides for {len(axes)} axes")
        for axis, stride in enumerate(operand.strides):
            if not isinstance(stride, Stride):
                raise VerificationError(f"{place} has stride {stride!r} along axis {axis}, not a Stride")


def _check_family(kernel: Kernel) -> None:
    """The axes a family has, and how often it combines over them."""
    family, axes = kernel.family, kernel.axes
    if family != "sort" and any(instr.op in SORTS for instr in kernel.body):
        raise VerificationError(f"a {family} kernel does not sort")
    reductions = sum(instr.op in REDUCTIONS for instr in kernel.body)
    contractions = sum(instr.op == "contract" for instr in kernel.body)
    if family == "elementwise":
        if axes and axes[-1] is not AxisKind.VECTOR:
            raise VerificationError("the last axis of an elementwise kernel must be VECTOR")
        if AxisKind.REDUCE in axes or reductions or contractions:
            raise VerificationError("an elementwise kernel has no REDUCE axis, reduction or contraction")
        return
    if family == "sort":
        _check_sort(kernel)
        return
    order = [AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE]
    contracts = family in ("contraction", "convolution")
    if contracts and list(axes) != sorted(axes, key=order.index):
        raise VerificationError(f"a {family} kernel has GRID axes, then VECTOR axes, then REDUCE axes")
    if AxisKind.REDUCE not in axes:
        raise VerificationError(f"a {family} kernel needs a REDUCE axis")
    rows = [kind for kind in axes if kind is not AxisKind.GRID]
    if family == "normalization" and (
        list(axes[len(axes) - len(rows) :]) != rows or set(rows) != {AxisKind.REDUCE}
    ):
        raise VerificationError("a normalization kernel has GRID axes, then REDUCE axes")
    if family in ("reduction", "normalization") and (not reductions or contractions):
        raise VerificationError(f"a {family} kernel has one reduce_* or more, and no contraction")
    if contracts and (contractions != 1 or reductions):
        raise VerificationError(
            f"a {family} kernel contracts exactly once and does not reduce, "
            f"not {contractions} and {reductions} times"
        )


def _check_sort(kernel: Kernel) -> None:
    """A load, what is sorted of it, and stores; the last axis comes in order."""
    if kernel.axes[-1:] != (AxisKind.SERIAL,) or any(axis is not AxisKind.GRID for axis in kernel.axes[:-1]):
        raise VerificationError("the last axis of a sort kernel must be SERIAL, the others GRID")
    ops = [instr.op for instr in kernel.body]
    if ops.count("load") != 1 or any(op not in (*SORTS, "load", "store") for op in ops):
        raise VerificationError("a sort kernel loads once, sorts, and stores")
    if any(instr.op in SORTS and kernel.body[instr.args[0]].op != "load" for instr in kernel.body):
        raise VerificationError("a sort kernel sorts what it loads")
    if len({op.endswith("_down") for op in ops if op in SORTS}) != 1:
        raise VerificationError("a sort kernel sorts in one direction")


def _check_arguments(kernel: Kernel, position: int, instr: Instr, place: str) -> None:
    for arg in instr.args:
        if type(arg) is not int or not 0 <= arg < position:
            raise VerificationError(f"{place} uses value {arg!r}, which is not an earlier one")
        if kernel.body[arg].op in _STORES:
            raise VerificationError(f"{place} uses value {arg}, a store, which has no value")
    wanted = _ARGUMENTS.get(instr.op)
    if wanted is not None and len(instr.args) != wanted:
        raise VerificationError(f"{place} has {len(instr.args)} arguments where {wanted} belong")


def _check_operand(kernel: Kernel, instr: Instr, place: str) -> None:
    if instr.op not in _ROLES:
        if instr.operand != -1:
            raise VerificationError(f"{place} names operand {instr.operand}; only load and store do")
        return
    operand = _operand(kernel, instr, place)
    wanted = _ROLES[instr.op]
    if operand.role is not wanted:
        verb = "writes" if instr.op in _STORES else "reads"
        raise VerificationError(f"{place} {verb} operand {instr.operand}, whose role is {operand.role.value}")


def _operand(kernel: Kernel, instr: Instr, place: str) -> Operand:
    number: Any = instr.operand
    if type(number) is not int or not 0 <= number < len(kernel.operands):
        raise VerificationError(f"{place} names operand {number!r} of {len(kernel.operands)}")
    return kernel.operands[number]


def _check_dtypes(kernel: Kernel, instr: Instr, place: str) -> None:
    if not isinstance(instr.dtype, DType):
        raise VerificationError(f"{place} has {instr.dtype!r} in place of a dtype")
    args = [kernel.body[arg].dtype for arg in instr.args]
    if instr.op in ("load_at", "store_at", "fail"):
        wanted = {"load_at": [int64], "store_at": [instr.dtype, int64], "fail": [bool_, int64, int64]}
        if args != wanted[instr.op]:
            given = ", ".join(dtype.name for dtype in args)
            raise VerificationError(f"{place} cannot take ({given})")
        args = []
    if instr.op in _ROLES:
        for dtype in (instr.dtype, *args):
            expected = kernel.operands[instr.operand].dtype
            if dtype is not expected:
                raise VerificationError(f"{place} of {dtype} names operand {instr.operand} of {expected}")
    elif instr.op == "const":
        _check_number(instr, place)
    elif instr.op in REDUCTIONS:
        if args[0] is not instr.dtype:
            raise VerificationError(f"{place} gives {instr.dtype} from {args[0]}: cast before or after")
    elif instr.op in SORTS:
        if instr.dtype is not (args[0] if instr.op.startswith("sorted") else int64):
            raise VerificationError(f"{place} cannot give {instr.dtype} from {args[0]}")
    elif instr.op == "contract":
        if args[0] is not args[1]:
            raise VerificationError(f"{place} multiplies {args[0]} by {args[1]}")
    elif not scalar_ops.supports(instr.op, instr.dtype, tuple(args)):
        given = ", ".join(dtype.name for dtype in args)
        raise VerificationError(f"{place} cannot give {instr.dtype} from ({given})")
    if instr.op != "const" and instr.number is not None:
        raise VerificationError(f"{place} has the number {instr.number!r}; only const has one")


def _check_number(instr: Instr, place: str) -> None:
    wanted = {"bool": bool, "int": int, "uint": int, "float": float}.get(instr.dtype.kind)
    if type(instr.number) is not wanted:
        raise VerificationError(f"{place} of {instr.dtype} has the number {instr.number!r}")


def _axes_varied_along(kernel: Kernel, instr: Instr, varying: list[frozenset[int]]) -> frozenset[int]:
    """The axes along which a value may differ from point to point."""
    own: frozenset[int] = frozenset()
    if instr.op in ("load", "index", "load_at"):
        strides = kernel.operands[instr.operand].strides
        own = frozenset(axis for axis, stride in enumerate(strides) if stride is not Stride.ZERO)
    axes = own.union(*[varying[arg] for arg in instr.args])
    if instr.op in COMBINING:
        axes -= _reduce_axes(kernel)
    return axes


def _reduce_axes(kernel: Kernel) -> frozenset[int]:
    return frozenset(axis for axis, kind in enumerate(kernel.axes) if kind is AxisKind.REDUCE)


def _check_store(
    kernel: Kernel, instr: Instr, axes: frozenset[int], reduced_at: int | None, place: str
) -> None:
    inside = sorted(axes & _reduce_axes(kernel))
    if inside and reduced_at is not None and kernel.family != "normalization":
        raise VerificationError(
            f"{place} needs, after the reduction at {reduced_at}, value {instr.args[0]}, "
            f"which varies along REDUCE axis {inside[0]}"
        )
    strides = kernel.operands[instr.operand].strides
    fixed = [axis for axis in sorted(axes) if strides[axis] is Stride.ZERO]
    if fixed:
        raise VerificationError(
            f"{place} stores value {instr.args[0]}, which varies along axis {fixed[0]}, "
            f"to operand {instr.operand}, which does not move along it"
        )
