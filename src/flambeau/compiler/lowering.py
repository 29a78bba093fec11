"""What the lowerings of kernels share: entry names, arguments, operands, and straight-line bodies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from flambeau.compiler import scalar_ops
from flambeau.compiler.ir import Function, Value, element_of, lanes_of, vector
from flambeau.compiler.kernel import Instr, Kernel, Operand, Role, Stride
from flambeau.compiler.target import Target
from flambeau.dtypes import DType

_Fact = TypeVar("_Fact")
_REMEMBERED = 4096


def per_kernel(compute: Callable[[Kernel], _Fact]) -> Callable[[Kernel], _Fact]:
    """Remembers a fact per kernel object: hashing a kernel's value takes longer than a launch."""
    known: dict[int, tuple[Kernel, _Fact]] = {}

    @wraps(compute)
    def remembered(kernel: Kernel) -> _Fact:
        entry = known.get(id(kernel))
        if entry is not None and entry[0] is kernel:
            return entry[1]
        fact = compute(kernel)
        if len(known) >= _REMEMBERED:
            known.clear()
        known[id(kernel)] = (kernel, fact)  # holding the kernel keeps its id its own
        return fact

    return remembered


def entry_name(kernel: Kernel, target: Target) -> str:
    """The name of a kernel's machine code: a hash of what it computes and for which target."""
    digest = hashlib.sha256(f"{kernel!r}\n{target.key}".encode()).hexdigest()
    return f"{kernel.family}_{digest[:24]}"


class Arguments:
    """Reads a call's arguments, 8 bytes each, in the order they were written."""

    def __init__(self, f: Function, args: Value) -> None:
        self._f = f
        self._args = args
        self._next = 0

    def take(self, type_: str) -> Value:
        """The next argument: an address ("ptr") or an integer ("i64")."""
        place = self._f.element(self._args, "i64", self._f.i64(self._next))
        self._next += 1
        return self._f.load(type_, place)

    def pointers(self, count: int) -> list[Value]:
        """The next ``count`` arguments, addresses."""
        return [self.take("ptr") for _ in range(count)]

    def integers(self, count: int) -> list[Value]:
        """The next ``count`` arguments, integers."""
        return [self.take("i64") for _ in range(count)]

    def strides(self, operands: Sequence[Operand]) -> list[list[Value | None]]:
        """Per operand and axis the step in elements: None where nothing moves; see ``stride_args``."""
        return [[self._stride(kind) for kind in operand.strides] for operand in operands]

    def _stride(self, kind: Stride) -> Value | None:
        if kind is Stride.ZERO:
            return None
        known = {Stride.ONE: 1, Stride.TWO: 2}.get(kind)
        return self.take("i64") if known is None else self._f.i64(known)


@per_kernel
def _strided(kernel: Kernel) -> tuple[tuple[int, int], ...]:
    """The operands and axes whose steps are of class ANY."""
    return tuple(
        (i, axis)
        for i, operand in enumerate(kernel.operands)
        for axis, kind in enumerate(operand.strides)
        if kind is Stride.ANY
    )


def stride_args(kernel: Kernel, strides: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The strides that ``Arguments.strides`` reads: those of class ANY, operand by operand."""
    return tuple([strides[i][axis] for i, axis in _strided(kernel)])


def lanes_for(kernel: Kernel, target: Target) -> int:
    """How many points a vector holds: as many as its widest value in registers allows."""
    widest = 8
    # What random bits are computed from is the same or follows from the first lane, as a rule.
    sources = {a for instr in kernel.body if instr.op == "random_bits" for a in instr.args}
    if any(instr.op in INDEXED for instr in kernel.body):
        sources |= per_row(kernel)
    for i, instr in enumerate(kernel.body):
        if i in sources:
            continue
        element = scalar_ops.register_element(instr.dtype)
        bits = {"float": 32, "double": 64, "i1": 8}.get(element) or int(element[1:])
        widest = max(widest, bits)
    # Wider than 32 lanes gains nothing and makes long masks that are costly to legalise.
    return min(32, target.lanes(widest))


INDEXED = ("load_at", "store_at", "fail")


@per_kernel
def per_row(kernel: Kernel) -> frozenset[int]:
    """The instructions whose values are the same all along the last axis."""
    found: set[int] = set()
    for i, instr in enumerate(kernel.body):
        moves = instr.operand >= 0 and kernel.operands[instr.operand].strides[-1:] != (Stride.ZERO,)
        if not moves and all(a in found for a in instr.args):
            found.add(i)
    return frozenset(found)


def emit_body(
    f: Function,
    body: Sequence[Instr],
    lanes: int,
    values: dict[int, Value],
    load: Callable[[int, int], Value],
    store: Callable[[int, Value], None],
    wanted: Callable[[int], bool] = lambda _: True,
    indexed: Callable[[int, list[Value]], Value | None] | None = None,
) -> None:
    """Emits the instructions that are ``wanted`` and not yet in ``values``, filling ``values``.

    ``load(operand, lanes)`` gives a register value; ``store(operand, value)`` takes one;
    ``indexed(instruction, arguments)`` does what is in ``INDEXED``.
    """
    loaded: dict[int, Value] = {}
    for i, instr in enumerate(body):
        if i in values or not wanted(i):
            continue
        if instr.op in INDEXED:
            assert indexed is not None
            made = indexed(i, [values[a] for a in instr.args])
            if made is not None:
                values[i] = made
            continue
        if instr.op in ("load", "index"):
            if instr.operand not in loaded:
                loaded[instr.operand] = load(instr.operand, lanes)
            values[i] = loaded[instr.operand]
        elif instr.op == "store":
            store(instr.operand, values[instr.args[0]])
        elif instr.op == "const":
            assert instr.number is not None
            values[i] = scalar_ops.constant(f, instr.dtype, instr.number, lanes)
        else:
            sources = tuple(body[a].dtype for a in instr.args)
            values[i] = scalar_ops.emit(f, instr.op, instr.dtype, [values[a] for a in instr.args], sources)


def read_vector(
    f: Function, operand: Operand, pointer: Value, lanes: int, step: Value | None, mask: Value | None
) -> Value:
    """``lanes`` points of an operand that is not written, from ``pointer`` on, as a register value."""
    if operand.role is not Role.INDEX:
        return load_vector(f, pointer, operand.dtype, lanes, step, mask)
    along = f.iota(vector(lanes, "i64"))
    moved = along if step is None else f.mul(along, f.splat(step, lanes))
    return f.add(f.splat(read_scalar(f, operand, pointer), lanes), moved)


def read_scalar(f: Function, operand: Operand, pointer: Value) -> Value:
    """One point of an operand that is not written, as a scalar register value."""
    if operand.role is not Role.INDEX:
        return load_scalar(f, pointer, operand.dtype)
    # Nothing lies there: the "address" is the place times the size of an element.
    return f.binary("ashr", f.emit("i64", f"ptrtoint {pointer} to i64"), f.i64(3))


def load_vector(
    f: Function, pointer: Value, dtype: DType, lanes: int, step: Value | None, mask: Value | None
) -> Value:
    """Loads ``lanes`` points from ``pointer`` on; ``step`` is None for neighbours, else a stride.

    Lanes outside ``mask`` are not read from memory and hold zero.
    """
    element = scalar_ops.memory_element(dtype)
    type_ = vector(lanes, element)
    if step is not None and step.text == "2":
        loaded = _load_every_other(f, pointer, type_, mask)
    elif step is not None:
        loaded = f.gather(type_, _lane_places(f, pointer, element, lanes, step), mask or _full(f, lanes))
    elif mask is None:
        loaded = f.load(type_, pointer)
    else:
        loaded = f.load_masked(type_, pointer, mask)
    return scalar_ops.from_memory(f, loaded, dtype)


def store_vector(
    f: Function,
    value: Value,
    pointer: Value,
    dtype: DType,
    lanes: int,
    step: Value | None,
    mask: Value | None,
    streams: int = 0,
) -> None:
    """Stores ``lanes`` points from ``pointer`` on; lanes outside ``mask`` leave memory alone.

    With ``streams``, the lanes of a register, they go past the caches; their address is a multiple of 64.
    """
    element = scalar_ops.memory_element(dtype)
    stored = scalar_ops.to_memory(f, value, dtype)
    if step is not None and step.text == "2":
        _store_every_other(f, stored, pointer, mask)
    elif step is not None:
        f.scatter(stored, _lane_places(f, pointer, element, lanes, step), mask or _full(f, lanes))
    elif mask is not None:
        f.store_masked(stored, pointer, mask)
    elif streams:
        f.store_streaming(stored, pointer, streams)
    else:
        f.store(stored, pointer)


def _load_every_other(f: Function, pointer: Value, type_: str, mask: Value | None) -> Value:
    """Two neighbouring vectors' even lanes; nothing behind the last of these is touched."""
    lanes, element = lanes_of(type_), element_of(type_)
    if mask is None:
        low = f.load(type_, pointer)
        high = f.load(type_, f.element(pointer, element, f.i64(lanes - 1)))
        return f.shuffle(low, high, [*range(0, lanes, 2), *range(lanes + lanes % 2 + 1, 2 * lanes, 2)])
    first, second = _spread_mask(f, mask)
    low = f.load_masked(type_, pointer, first)
    high = f.load_masked(type_, f.element(pointer, element, f.i64(lanes)), second)
    return f.shuffle(low, high, range(0, 2 * lanes, 2))


def _store_every_other(f: Function, value: Value, pointer: Value, mask: Value | None) -> None:
    """Stores lanes two elements apart; what lies between is left alone."""
    lanes, element = lanes_of(value.type), element_of(value.type)
    for part, chosen in enumerate(_spread_mask(f, mask or _full(f, lanes))):
        spread = f.shuffle(value, value, [(part * lanes + i) // 2 for i in range(lanes)])
        f.store_masked(spread, f.element(pointer, element, f.i64(part * lanes)), chosen)


def _spread_mask(f: Function, mask: Value) -> tuple[Value, Value]:
    """The masks of two vectors whose even lanes are those of one."""
    lanes = lanes_of(mask.type)
    none = f.const(mask.type, False)
    picks = [i // 2 if i % 2 == 0 else lanes for i in range(2 * lanes)]
    return f.shuffle(mask, none, picks[:lanes]), f.shuffle(mask, none, picks[lanes:])


def load_scalar(f: Function, pointer: Value, dtype: DType) -> Value:
    """Loads one element as a scalar register value."""
    return scalar_ops.from_memory(f, f.load(scalar_ops.memory_element(dtype), pointer), dtype)


def store_scalar(f: Function, value: Value, pointer: Value, dtype: DType) -> None:
    """Stores one scalar register value."""
    f.store(scalar_ops.to_memory(f, value, dtype), pointer)


def _lane_places(f: Function, pointer: Value, element: str, lanes: int, step: Value) -> Value:
    at = f.mul(f.iota(vector(lanes, "i64")), f.splat(step, lanes))
    return f.element(pointer, element, at)


def _full(f: Function, lanes: int) -> Value:
    return f.const(vector(lanes, "i1"), True)


def outputs(kernel: Kernel) -> list[int]:
    """The numbers of the operands that a kernel writes."""
    return [i for i, operand in enumerate(kernel.operands) if operand.role is Role.OUT]
