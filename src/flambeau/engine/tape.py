"""The tape: what one thread has recorded and not yet evaluated.

Recording must cost about a microsecond, so the tape does not build a graph.  It walks a trie: a
``State`` stands for everything recorded so far (operations, attributes, which earlier positions
they read, and the types of leaves), and recording an operation follows one dictionary entry to
the next state, where the types of the results, the plans and the gradient graphs made earlier
for exactly this recording are waiting.  The path through the trie is the key of the recording;
nothing is walked again and no two recordings can be confused.

An entry is a builder function with attributes and operands.  A whole layer or optimizer step may
be one entry: its builder only runs when the trie has no such entry yet.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from flambeau.devices import Device, cpu
from flambeau.dtypes import DType
from flambeau.engine.modes import grad_enabled
from flambeau.errors import DeviceError, FlambeauError, OperandError, TraceError, located
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph
from flambeau.graph.types import TensorType
from flambeau.graph.where import NOWHERE, Where, caller, is_internal
from flambeau.primitives.control import fresh, stop_gradient

if TYPE_CHECKING:
    from flambeau.engine.segment import Freed, Segment

Builder = Callable[..., Any]
Layer = tuple[str, ...]


class Cell:
    """A number that a program reads anew at each run: a learning rate, a step count.

    A kind of cell that does not ``advance`` must not be changed by a function that is compiled.
    """

    __slots__ = ("value",)
    advances = True

    def __init__(self, value: bool | int | float | complex) -> None:
        self.value = value


class Value:
    """One result: pending on a tape, or with data.  Tensors are handles on values.

    ``source`` is the tape or evaluated segment the value came from as long as that matters: while
    it is pending, or while a gradient may still flow back through it.
    """

    __slots__ = ("data", "device", "handle", "needs_grad", "position", "source", "type")

    def __init__(self, type: TensorType, source: Any, position: int, needs_grad: bool) -> None:
        self.type = type
        self.source: Tape | Segment | Freed | None = source
        self.position = position
        self.needs_grad = needs_grad
        self.data: Any = None
        self.handle: ReferenceType[Any] | None = None
        self.device: Device = cpu


def leaf(type: TensorType, data: Any, needs_grad: bool = False) -> Value:
    """A value that is already there."""
    value = Value(type, None, -1, needs_grad)
    value.data = data
    return value


class State:
    """A node of the trie: everything recorded up to here, and what was made for it."""

    __slots__ = (
        "entry",
        "graphs",
        "needs_grad",
        "next",
        "next_off",
        "parent",
        "plans",
        "recorded_grad",
        "types",
        "where",
    )

    def __init__(
        self, parent: State | None, entry: Any, types: tuple[TensorType, ...], needs_grad: tuple[bool, ...]
    ):
        self.parent = parent
        self.entry = entry  # (builder, attributes, operands), or ("leaf", type, needs_grad, device)
        self.types = types
        self.needs_grad = needs_grad
        self.next: dict[Any, State] = {}
        self.next_off: dict[Any, State] = {}  # what was recorded with gradients off
        self.recorded_grad = True
        self.plans: dict[Any, Any] = {}
        self.graphs: dict[Any, Any] = {}  # flat graph, gradient graphs
        self.where: Where = NOWHERE


class Trie:
    """The root of all recordings, dropped whole when it has grown past its bound."""

    LIMIT = 100_000

    def __init__(self) -> None:
        self.root = State(None, None, (), ())
        self.size = 0
        self.expansions: dict[Any, Graph] = {}

    def grown(self, weight: int = 1) -> None:
        """Count a new state, or something on one that weighs as much as ``weight`` states."""
        self.size += weight
        if self.size > self.LIMIT:
            self.clear()

    def clear(self) -> None:
        """Forget all recordings; tapes in use keep their own path."""
        self.root = State(None, None, (), ())
        self.size = 0
        self.expansions = {}


TRIE = Trie()


class FlatCall:
    """An entry that reads values inside earlier entries: a gradient graph and its residuals.

    ``residuals`` are numbers of values in the flat graph of the state the entry was recorded at;
    the graph takes them first, then the operands of the entry.  With ``frees``, the positions up
    to that state cannot be differentiated again.
    """

    __slots__ = ("frees", "graph", "needs_grad", "residuals")

    def __init__(
        self, graph: Graph, residuals: tuple[int, ...], needs_grad: bool, frees: frozenset[int]
    ) -> None:
        self.graph = graph
        self.residuals = residuals
        self.needs_grad = needs_grad
        self.frees = frees


def mark_leaf(x: Var) -> Var:
    """The builder of a value that gradients are taken to, not through."""
    return fresh(stop_gradient(x))  # under an identity of its own: never merged, never computed again


class Hooks:
    """What evaluation (which builds on this module) does for the tape."""

    evaluate: Callable[[Tape], None]
    realize: Callable[[Value], None]


HOOKS = Hooks()
OUTSIDE: dict[str, bool] = {}  # whether the frames of a file are the user's

PENDING_LIMIT = 4096
PENDING_BYTES = 1 << 30
# Taking a gradient walks over all that is pending, so where several are taken in turn, as in a training
# that never looks at a value, it must not become long.
GRADIENT_LIMIT = 512


class Tape:
    """What has been recorded since the last evaluation: a state, and the values it numbered.

    ``index`` maps each value to its position; dead values (no handle left) stay until evaluation.
    An abstract tape belongs to a function being traced: its values never get data.
    """

    __slots__ = (
        "abstract",
        "busy",
        "bytes",
        "captured",
        "error",
        "flags",
        "gradients",
        "guards",
        "held",
        "hooks",
        "index",
        "layer",
        "outer",
        "places",
        "scalars",
        "state",
        "types",
    )

    def __init__(self, abstract: str = "", outer: Tape | None = None) -> None:
        self.state = TRIE.root
        self.index: dict[Value, int] = {}
        self.types: list[TensorType] = []
        self.scalars: list[Any] = []
        self.places: list[tuple[int, Any, int, Layer]] = []
        self.layer: Layer = () if outer is None else outer.layer
        self.bytes = 0
        self.busy = False  # its own thread is evaluating it
        self.error: BaseException | None = None
        self.abstract = abstract
        self.outer = outer
        self.captured: list[Value] = []
        self.hooks: dict[int, list[Callable[[Value], Value]]] = {}
        self.held = 0  # above 0 while positions are being worked with: no evaluation by overflow
        # of a function being compiled: what else it depends on, to be looked at before each call
        self.guards: list[tuple[Callable[[], Any], str]] = []
        self.gradients = 0  # how many have been taken
        self.flags: list[bool] = []  # whether each position needs gradients, as far as it was asked

    # -- recording ----------------------------------------------------------------------------

    def leaf(self, value: Value, user: Any = None) -> int:
        """Number a value that was not recorded here, for ``user``'s sake; returns its position."""
        if type(value) is not Value:
            error = OperandError(
                f"{getattr(user, '__name__', 'operand')}: a tensor is needed, not {type(value).__name__}"
            )
            raise located(error, str(caller(self.layer)))
        if value.data is None and not self.encloses(value.source):
            source = value.source
            if isinstance(source, Tape) and source.abstract:
                raise TraceError(
                    f"a tensor made inside {source.abstract} was used outside of it: return it instead"
                )
            HOOKS.realize(value)  # pending on another thread's tape, or lost by a failed step
        position = self._number(value)
        if self.abstract:
            self.captured.append(value)
        else:
            self.bytes += value.data.nbytes
        return position

    def input(self, type: TensorType, needs_grad: bool) -> Value:
        """A value that stands for an argument of the function being traced on this abstract tape."""
        value = Value(type, self, len(self.types), needs_grad)
        self._number(value)
        return value

    def _number(self, value: Value) -> int:
        type = value.type
        key = ("leaf", type, value.needs_grad, value.device)
        state = self.state
        nxt = state.next.get(key)
        if nxt is None:
            nxt = State(state, key, (type,), (value.needs_grad,))
            nxt = state.next.setdefault(key, nxt)
            TRIE.grown()
        position = len(self.types)
        self.types.append(type)
        self.index[value] = position
        self.state = nxt
        return position

    def encloses(self, source: Any) -> bool:
        """Whether ``source`` is a tape around this one, whose pending values may be captured."""
        if type(source) is not Tape:
            return False
        tape = self.outer
        while tape is not None:
            if tape is source:
                return True
            tape = tape.outer
        return False

    def record(
        self, fn: Builder | FlatCall, attrs: tuple[Any, ...], values: Sequence[Any], depth: int = 1
    ) -> Any:
        """Record ``fn(*values, *attrs)``; values are ``Value``, or ``(number, dtype)`` read at run time.

        Returns a ``Value``, or a tuple of them for builders that return several.
        """
        index = self.index
        ids: list[Any] = []
        numbers: list[Any] | None = None
        for v in values:
            if type(v) is tuple:
                if numbers is None:
                    numbers = []
                numbers.append(v[0])
                ids.append(v[1])
            else:
                i = index.get(v)
                ids.append(self.leaf(v, fn) if i is None else i)
        key = (fn, attrs, tuple(ids))
        state = self.state
        grad = grad_enabled.get()
        nxt = (state.next if grad else state.next_off).get(key)
        if nxt is None:
            nxt = self.extend(key, grad)
        frame = sys._getframe(depth)
        code = frame.f_code
        while not OUTSIDE.get(code.co_filename):
            if code.co_filename not in OUTSIDE:
                OUTSIDE[code.co_filename] = not is_internal(code.co_filename)
                continue
            if frame.f_back is None:
                break
            frame = frame.f_back
            code = frame.f_code
        types = self.types
        position = len(types)
        self.places.append((position, code, frame.f_lasti, self.layer))
        if numbers is not None:
            self.scalars += numbers
        self.state = nxt
        out = nxt.types
        if len(out) == 1:
            value = Value(out[0], self, position, nxt.needs_grad[0])
            types.append(out[0])
            index[value] = position
            if position > PENDING_LIMIT or self.bytes > PENDING_BYTES:
                self._overflow()
            return value
        made = []
        for t, needs in zip(out, nxt.needs_grad, strict=True):
            value = Value(t, self, position, needs)
            types.append(t)
            index[value] = position
            position += 1
            made.append(value)
        if position > PENDING_LIMIT or self.bytes > PENDING_BYTES:
            self._overflow()
        return tuple(made)

    def took_gradients(self) -> None:
        """Called when gradients have been handed out: evaluates if much is pending after several."""
        self.gradients += 1
        if self.gradients > 1 and len(self.types) > GRADIENT_LIMIT:
            self._overflow()

    def _overflow(self) -> None:
        if not self.abstract and not self.held:
            HOOKS.evaluate(self)

    def extend(self, key: Any, grad: bool) -> State:
        """Add a state to the trie: run the builder for its types, which is where bad operands raise."""
        fn, attrs, ids = key
        state = self.state
        place = caller(self.layer)
        inputs = [TensorType((), i) if isinstance(i, DType) else self.types[i] for i in ids]
        try:
            types = (
                fn.graph.output_types
                if isinstance(fn, FlatCall)
                else expand(fn, attrs, tuple(inputs)).output_types
            )
        except FlambeauError as error:
            raise located(error, str(place)) from None
        flow = fn.needs_grad if isinstance(fn, FlatCall) else self._needs(ids)
        needs = fn is mark_leaf or (grad and flow and fn is not stop_gradient)
        nxt = State(state, key, types, tuple([needs and t.dtype.floating for t in types]))
        nxt.where = place
        nxt.recorded_grad = grad
        nxt = (state.next if grad else state.next_off).setdefault(key, nxt)
        TRIE.grown()
        return nxt

    def _needs(self, ids: tuple[Any, ...]) -> bool:
        flags = self.flags
        missing: list[tuple[bool, ...]] = []
        at: State | None = self.state
        covered = len(self.types)
        while covered > len(flags) and at is not None:
            missing.append(at.needs_grad)
            covered -= len(at.types)
            at = at.parent
        for group in reversed(missing):
            flags += group
        return any(flags[i] for i in ids if not isinstance(i, DType))

    def where(self, position: int) -> Where:
        """Where the entry at ``position`` was recorded on this very tape."""
        found = NOWHERE
        for start, code, offset, layer in self.places:
            if start > position:
                break
            found = Where(code, offset, layer)
        return found


def expand(fn: Builder, attrs: tuple[Any, ...], inputs: tuple[TensorType, ...]) -> Graph:
    """What an entry stands for, as a graph; remembered by builder, attributes and operand types."""
    key = (fn, attrs, inputs)
    found = TRIE.expansions.get(key)
    if found is None:
        builder = GraphBuilder()
        with builder:
            made = fn(*[builder.input(t) for t in inputs], *attrs)
        outputs = made if isinstance(made, (tuple, list)) else (made,)
        found = TRIE.expansions[key] = Graph(
            builder.types, builder.inputs, builder.nodes, [v.id for v in outputs]
        )
    return found


class _Thread(threading.local):
    """The tape of each thread."""

    def __init__(self) -> None:
        self.tape = Tape()
        self.running: tuple[Tape, Any] | None = None  # the recording that is being evaluated, and its plan


THREAD = _Thread()


def same_device(values: Sequence[Value]) -> Device:
    """The device of all values; raises ``DeviceError`` where they differ."""
    device = values[0].device
    for v in values:
        if v.device is not device:
            raise DeviceError(f"operands lie on {device} and {v.device}: move one of them")
    return device
