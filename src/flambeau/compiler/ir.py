"""Writing LLVM IR as text: fresh names, blocks, loops, and typed helpers.

A ``Module`` collects functions, constants and declarations of intrinsics; a ``Function`` is
written from top to bottom.  Values know their type, so the helpers need not be told it:

>>> module = Module("example", "x86_64-unknown-linux-gnu")
>>> f = module.function("add_one", [("ptr", "data"), ("i64", "count")])
>>> data, count = f.params
>>> with f.loop(f.i64(0), count, step=1) as loop:
...     place = f.element(data, "float", loop.index)
...     f.store(f.binary("fadd", f.load("float", place), f.const("float", 1.0)), place)
>>> f.ret()
>>> "fadd float" in module.text()
True

What is never emitted: fast-math flags, ``inttoptr``, and calls to anything but intrinsics that
become instructions and functions of the same module.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

_SHORT = {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}


@dataclass(frozen=True, slots=True)
class Value:
    """A typed operand: ``text`` is a name such as ``%12`` or a constant."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


@cache
def vector(lanes: int, element: str) -> str:
    """The type of a vector of ``lanes`` elements."""
    return f"<{lanes} x {element}>"


@cache
def lanes_of(type_: str) -> int:
    """How many lanes a type has; 0 for a scalar."""
    return int(type_[1 : type_.index(" ")]) if type_[0] == "<" else 0


@cache
def element_of(type_: str) -> str:
    """The type of one lane."""
    return type_[type_.index("x ") + 2 : -1] if type_[0] == "<" else type_


@cache
def like(type_: str, element: str) -> str:
    """The type with the lanes of ``type_`` and elements of type ``element``."""
    return vector(lanes_of(type_), element) if type_[0] == "<" else element


@cache
def mangled(type_: str) -> str:
    """How a type is spelled within an intrinsic's name."""
    element = element_of(type_)
    short = _SHORT.get(element, element)
    return f"v{lanes_of(type_)}{short}" if type_[0] == "<" else short


def number_text(element: str, number: float | int | bool) -> str:
    """A number as an LLVM constant of a scalar type; floats are written bit by bit."""
    if element in ("float", "double"):
        value = float(number)
        if element == "float":
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if element == "i1":
        return "true" if number else "false"
    bits = int(element[1:])
    wrapped = int(number) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


class Module:
    """An LLVM module under construction."""

    def __init__(self, name: str, triple: str) -> None:
        self.name = name
        self.triple = triple
        self._functions: list[Function] = []
        self._declarations: dict[str, str] = {}
        self._globals: dict[str, str] = {}
        self._defined: set[str] = set()

    def function(
        self, name: str, params: Sequence[tuple[str, str]], result: str = "void", internal: bool = False
    ) -> Function:
        """Starts a function; ``params`` are (type, name) pairs."""
        written = Function(self, name, params, result, internal)
        self._functions.append(written)
        self._defined.add(name)
        return written

    def defines(self, name: str) -> bool:
        """Whether a function of this name has been started."""
        return name in self._defined

    def declare(self, name: str, result: str, args: Sequence[str]) -> None:
        """Declares an intrinsic, once."""
        if name not in self._declarations:
            self._declarations[name] = f"declare {result} @{name}({', '.join(args)})"

    def table(self, name: str, element: str, numbers: Sequence[float | int]) -> Value:
        """A constant array; returns the pointer to its first element."""
        if name not in self._globals:
            items = ", ".join(f"{element} {number_text(element, n)}" for n in numbers)
            self._globals[name] = (
                f"@{name} = private unnamed_addr constant [{len(numbers)} x {element}] [{items}], align 64"
            )
        return Value("ptr", f"@{name}")

    def text(self) -> str:
        """The whole module as LLVM IR text."""
        parts = [f'source_filename = "{self.name}"', f'target triple = "{self.triple}"', ""]
        parts += self._globals.values()
        parts += [f.text() for f in self._functions]
        parts += self._declarations.values()
        # no-builtins: a loop that fills or copies must not become a call of the C library
        parts.append('attributes #0 = { nounwind "no-builtins" }')
        parts.append("!0 = distinct !{!0, !1, !2}")
        parts.append('!1 = !{!"llvm.loop.unroll.disable"}')
        parts.append('!2 = !{!"llvm.loop.vectorize.enable", i1 false}')
        parts.append("!3 = !{i32 1}")
        return "\n".join(parts) + "\n"


@dataclass(slots=True)
class Phi:
    """A phi instruction whose incoming values may still be added."""

    value: Value
    incoming: list[tuple[Value, str]] = field(default_factory=list)

    def add(self, value: Value, block: str) -> None:
        """Takes ``value`` when control comes from ``block``."""
        assert value.type == self.value.type, f"{value} into a phi of {self.value.type}"
        self.incoming.append((value, block))

    def __str__(self) -> str:
        pairs = ", ".join(f"[ {v.text}, %{b} ]" for v, b in self.incoming)
        return f"  {self.value.text} = phi {self.value.type} {pairs}"


@dataclass(slots=True)
class Loop:
    """A loop being written: its ``index``, the ``carried`` values, and the ``next`` ones to set."""

    index: Value
    carried: list[Value]
    next: list[Value]
    done: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Branch:
    """A conditional part being written: set ``values`` to what replaces the values it was given."""

    values: list[Value]
    merged: list[Value] = field(default_factory=list)


class Function:
    """A function under construction; instructions are appended to the current block."""

    def __init__(
        self, module: Module, name: str, params: Sequence[tuple[str, str]], result: str, internal: bool
    ) -> None:
        self.module = module
        self.name = name
        self.result = result
        self.params = [Value(t, f"%{n}") for t, n in params]
        self.current = "entry"
        self._internal = internal
        self._count = 0
        self._lines: list[str | Phi] = ["entry:"]

    # Names and blocks -------------------------------------------------------------------------

    def fresh(self, type_: str) -> Value:
        """A new name for a value of a type."""
        self._count += 1
        return Value(type_, f"%v{self._count}")

    def new_block(self, hint: str = "b") -> str:
        """A new block's label, not yet placed."""
        self._count += 1
        return f"{hint}{self._count}"

    def place(self, label: str) -> None:
        """Starts writing the block ``label``."""
        self._lines.append(f"{label}:")
        self.current = label

    def emit(self, type_: str, text: str) -> Value:
        """Appends an instruction with a result."""
        out = self.fresh(type_)
        self._lines.append(f"  {out.text} = {text}")
        return out

    def line(self, text: str) -> None:
        """Appends an instruction without a result."""
        self._lines.append("  " + text)

    def branch(self, label: str) -> None:
        """Ends the block: goes to ``label``."""
        self.line(f"br label %{label}")

    def branch_if(self, condition: Value, then: str, otherwise: str, loop: bool = False) -> None:
        """Ends the block: goes to ``then`` or ``otherwise``."""
        mark = ", !llvm.loop !0" if loop else ""
        self.line(f"br i1 {condition.text}, label %{then}, label %{otherwise}{mark}")

    def phi(self, type_: str) -> Phi:
        """Starts a phi at the head of the current block."""
        made = Phi(self.fresh(type_))
        self._lines.append(made)
        return made

    def ret(self, value: Value | None = None) -> None:
        """Ends the function."""
        self.line("ret void" if value is None else f"ret {value}")

    def text(self) -> str:
        """The function as LLVM IR text."""
        params = ", ".join(str(p) for p in self.params)
        linkage = "internal " if self._internal else ""
        body = "\n".join(map(str, self._lines))
        return f"define {linkage}{self.result} @{self.name}({params}) #0 {{\n{body}\n}}\n"

    # Control ----------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self, start: Value, stop: Value, step: int | Value, carried: Sequence[Value] = ()
    ) -> Iterator[Loop]:
        """Writes ``for index in range(start, stop, step)``; ``carried`` values live across rounds.

        Within, set ``loop.next`` to the carried values' successors; after, ``loop.done`` has the
        last ones.
        """
        head, body, end = self.new_block("head"), self.new_block("body"), self.new_block("end")
        before = self.current
        self.branch(head)
        self.place(head)
        phis = [self.phi(v.type) for v in (start, *carried)]
        for phi, value in zip(phis, (start, *carried), strict=True):
            phi.add(value, before)
        index = phis[0].value
        values = [phi.value for phi in phis[1:]]
        self.branch_if(self.icmp("slt", index, stop), body, end)
        self.place(body)
        written = Loop(index, values, list(values))
        yield written
        stepped = self.add(index, self.const(index.type, step) if isinstance(step, int) else step)
        for phi, value in zip(phis, (stepped, *written.next), strict=True):
            phi.add(value, self.current)
        self.line(f"br label %{head}, !llvm.loop !0")
        self.place(end)
        written.done = values

    @contextmanager
    def when(self, condition: Value, values: Sequence[Value] = ()) -> Iterator[Branch]:
        """Writes ``if condition:``; within, set ``.values``; after, ``.merged`` has what holds."""
        then, end = self.new_block("then"), self.new_block("endif")
        before = self.current
        self.branch_if(condition, then, end)
        self.place(then)
        written = Branch(list(values))
        yield written
        left = self.current
        self.branch(end)
        self.place(end)
        for old, new in zip(values, written.values, strict=True):
            phi = self.phi(old.type)
            phi.add(old, before)
            phi.add(new, left)
            written.merged.append(phi.value)

    # Constants --------------------------------------------------------------------------------

    def const(self, type_: str, number: float | int | bool) -> Value:
        """A constant; for a vector type, the same number in every lane."""
        element = element_of(type_)
        text = number_text(element, number)
        return Value(type_, text if type_[0] != "<" else f"splat ({element} {text})")

    def i64(self, number: int) -> Value:
        """A 64-bit integer constant."""
        return Value("i64", str(number))

    def zero(self, type_: str) -> Value:
        """The zero of any type."""
        return Value(type_, "zeroinitializer" if type_[0] == "<" else self.const(type_, 0).text)

    def iota(self, type_: str) -> Value:
        """The integers 0, 1, 2, ... in the lanes of an integer vector type."""
        element = element_of(type_)
        return Value(type_, "<" + ", ".join(f"{element} {i}" for i in range(lanes_of(type_))) + ">")

    # Arithmetic -------------------------------------------------------------------------------

    def binary(self, op: str, a: Value, b: Value) -> Value:
        """``fadd``, ``fsub``, ``fmul``, ``fdiv``, ``add``, ``and``, ``shl`` and their like."""
        assert a.type == b.type, f"{op} of {a} and {b}"
        return self.emit(a.type, f"{op} {a.type} {a.text}, {b.text}")

    def add(self, a: Value, b: Value) -> Value:
        """Integer sum."""
        return self.binary("add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """Integer difference."""
        return self.binary("sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """Integer product."""
        return self.binary("mul", a, b)

    def min(self, a: Value, b: Value) -> Value:
        """The smaller of two signed integers."""
        return self.intrinsic("smin", a.type, a, b)

    def fneg(self, a: Value) -> Value:
        """The negative of a float."""
        return self.emit(a.type, f"fneg {a}")

    def icmp(self, predicate: str, a: Value, b: Value) -> Value:
        """Compares integers: ``eq``, ``ne``, ``slt``, ``ult``, ..."""
        return self.emit(like(a.type, "i1"), f"icmp {predicate} {a.type} {a.text}, {b.text}")

    def fcmp(self, predicate: str, a: Value, b: Value) -> Value:
        """Compares floats: ``oeq``, ``une``, ``olt``, ``uno``, ..."""
        return self.emit(like(a.type, "i1"), f"fcmp {predicate} {a.type} {a.text}, {b.text}")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """``a`` where the condition holds, else ``b``."""
        assert a.type == b.type, f"select of {a} and {b}"
        return self.emit(a.type, f"select {condition}, {a}, {b}")

    def convert(self, op: str, a: Value, element: str) -> Value:
        """``sext``, ``trunc``, ``sitofp``, ``fpext``, ``bitcast``, ... to lanes of type ``element``."""
        to = like(a.type, element)
        return a if to == a.type else self.emit(to, f"{op} {a} to {to}")

    def intrinsic(self, name: str, result: str, *args: Value, suffix: str | None = None) -> Value:
        """Calls the LLVM intrinsic ``name``, overloaded on ``result`` unless ``suffix`` says otherwise."""
        full = f"llvm.{name}.{mangled(result) if suffix is None else suffix}"
        self.module.declare(full, result, [a.type for a in args])
        return self.emit(result, f"call {result} @{full}({', '.join(map(str, args))})")

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c`` rounded once."""
        assert a.type == b.type == c.type, f"fma of {a}, {b}, {c}"
        return self.intrinsic("fma", a.type, a, b, c)

    def call(self, name: str, result: str, *args: Value) -> Value:
        """Calls a function of the same module."""
        return self.emit(result, f"call {result} @{name}({', '.join(map(str, args))})")

    # Vectors ----------------------------------------------------------------------------------

    def splat(self, scalar: Value, lanes: int) -> Value:
        """A scalar in every lane of a vector."""
        to = vector(lanes, scalar.type)
        one = self.emit(to, f"insertelement {to} poison, {scalar}, i64 0")
        return self.emit(to, f"shufflevector {to} {one.text}, {to} poison, <{lanes} x i32> zeroinitializer")

    def extract(self, a: Value, lane: int | Value) -> Value:
        """One lane of a vector."""
        at = self.i64(lane) if isinstance(lane, int) else lane
        return self.emit(element_of(a.type), f"extractelement {a}, {at}")

    def insert(self, a: Value, scalar: Value, lane: int | Value) -> Value:
        """A vector with one lane replaced."""
        at = self.i64(lane) if isinstance(lane, int) else lane
        return self.emit(a.type, f"insertelement {a}, {scalar}, {at}")

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Lanes picked from ``a`` followed by ``b``."""
        picks = ", ".join(f"i32 {i}" for i in lanes)
        to = vector(len(lanes), element_of(a.type))
        return self.emit(to, f"shufflevector {a}, {b}, <{len(lanes)} x i32> <{picks}>")

    def any_lane(self, mask: Value) -> Value:
        """Whether any lane of a mask is set."""
        return self.intrinsic("vector.reduce.or", "i1", mask, suffix=mangled(mask.type))

    def first_lanes(self, count: Value, lanes: int) -> Value:
        """The mask of the first ``count`` (i64, not negative) lanes."""
        few = self.convert("trunc", self.min(count, self.i64(lanes)), "i32")
        return self.icmp("slt", self.iota(vector(lanes, "i32")), self.splat(few, lanes))

    # Memory -----------------------------------------------------------------------------------

    def element(self, pointer: Value, element: str, index: Value) -> Value:
        """The address of element ``index``; a vector of indices gives a vector of addresses."""
        to = like(index.type, "ptr")
        return self.emit(to, f"getelementptr {element}, {pointer}, {index}")

    def load(self, type_: str, pointer: Value, align: int = 0) -> Value:
        """Loads a scalar or neighbouring elements; aligned to one element unless told more."""
        return self.emit(type_, f"load {type_}, {pointer}, align {align or size_of(type_)}")

    def store(self, value: Value, pointer: Value, align: int = 0) -> None:
        """Stores a scalar or neighbouring elements."""
        self.line(f"store {value}, {pointer}, align {align or size_of(value.type)}")

    def store_streaming(self, value: Value, pointer: Value, lanes: int) -> None:
        """Stores a vector past the caches; only after a fence is it sure that others see it.

        ``lanes`` are those of a register, to whose size the address is aligned: LLVM cuts what is longer, or
        aligned to less, into many small stores.
        """
        element = element_of(value.type)
        lanes = min(lanes_of(value.type), max(lanes, 16 // size_of(element)))
        for first in range(0, lanes_of(value.type), lanes):
            part = self.shuffle(value, value, list(range(first, first + lanes)))
            place = self.element(pointer, element, self.i64(first))
            self.line(f"store {part}, {place}, align {lanes * size_of(element)}, !nontemporal !3")

    def prefetch(self, pointer: Value, write: bool = False) -> None:
        """Has what lies at an address brought to the second-level cache; any address will do.

        To ``write`` there it is brought to the first.
        """
        self.module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
        kind = "i32 1, i32 3" if write else "i32 0, i32 2"
        self.line(f"call void @llvm.prefetch.p0({pointer}, {kind}, i32 1)")

    def load_masked(self, type_: str, pointer: Value, mask: Value) -> Value:
        """Loads the lanes that ``mask`` selects; the others are zero and are not touched in memory."""
        name = f"llvm.masked.load.{mangled(type_)}.p0"
        self.module.declare(name, type_, ["ptr", mask.type, type_])
        place = f"ptr align {size_of(type_)} {pointer.text}"
        return self.emit(type_, f"call {type_} @{name}({place}, {mask}, {type_} zeroinitializer)")

    def store_masked(self, value: Value, pointer: Value, mask: Value) -> None:
        """Stores the lanes that ``mask`` selects."""
        name = f"llvm.masked.store.{mangled(value.type)}.p0"
        self.module.declare(name, "void", [value.type, "ptr", mask.type])
        place = f"ptr align {size_of(value.type)} {pointer.text}"
        self.line(f"call void @{name}({value}, {place}, {mask})")

    def gather(self, type_: str, pointers: Value, mask: Value) -> Value:
        """Loads a lane from each address that ``mask`` selects; the others are zero."""
        name = f"llvm.masked.gather.{mangled(type_)}.{mangled(pointers.type)}"
        self.module.declare(name, type_, [pointers.type, mask.type, type_])
        place = f"{pointers.type} align {size_of(type_)} {pointers.text}"
        return self.emit(type_, f"call {type_} @{name}({place}, {mask}, {type_} zeroinitializer)")

    def scatter(self, value: Value, pointers: Value, mask: Value) -> None:
        """Stores each lane that ``mask`` selects at its address, in the order of the lanes."""
        name = f"llvm.masked.scatter.{mangled(value.type)}.{mangled(pointers.type)}"
        self.module.declare(name, "void", [value.type, pointers.type, mask.type])
        place = f"{pointers.type} align {size_of(value.type)} {pointers.text}"
        self.line(f"call void @{name}({value}, {place}, {mask})")


@cache
def size_of(type_: str) -> int:
    """Bytes of one element of a type."""
    element = element_of(type_)
    if element in ("ptr", "double"):
        return 8
    if element == "float":
        return 4
    if element == "half":
        return 2
    return max(1, int(element[1:]) // 8)
