"""``compile``: a function recorded once; later calls skip its Python.

Capture is by agreement.  The second call with a signature records again and compares: whatever
the function depends on without being given it, and which changed, is an error that names the
line.  Tensors it closes over are read at each call, and updated at each call as it updates them.
"""

from __future__ import annotations

import inspect
import logging
from collections import OrderedDict
from collections.abc import Sequence
from functools import update_wrapper
from typing import Any
from weakref import ref

import numpy as np

from flambeau.engine.convert import from_array
from flambeau.engine.direct import Direct, possible
from flambeau.engine.flatten import flatten
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD, Cell, Value
from flambeau.errors import OperandError
from flambeau.graph.graph import freeze
from flambeau.random import CAPTURE
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.agreement import disagreement
from flambeau.transforms.capture import Draw, Draws, OfTensor, Snapshot, Update, run, run_directly
from flambeau.transforms.lane import Lane
from flambeau.transforms.tracing import Function, Recording, name_of, trace
from flambeau.transforms.tree import Structure

LOG = logging.getLogger("flambeau.compile")
MISSING = object()


class Program:
    """One recording of a function: its graph, where its operands come from, and what it updates."""

    def __init__(
        self,
        label: str,
        f: Function,
        leaves: Sequence[Any],
        structure: Structure,
        earlier: Sequence[Draw] = (),
    ) -> None:
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        items = [x._value.type if isinstance(x, Tensor) else x for x in leaves]
        needs = [isinstance(x, Tensor) and x.requires_grad for x in leaves]
        snapshot = Snapshot()
        self.results: list[Any] = []
        self.structure = structure
        updates: list[Update] = []
        abstract: list[Tensor] = []

        def record(args: Any, kwargs: Any) -> list[Tensor]:
            nonlocal abstract
            abstract = [x for x in tree.flatten((args, kwargs))[0] if isinstance(x, Tensor)]
            starts = [t._value for t in abstract]
            for inner, outer in zip(abstract, tensors, strict=True):
                if outer.requires_grad and outer.is_leaf:
                    inner._value.handle = ref(inner)
            results, self.structure = tree.flatten(f(*args, **kwargs))
            tape = THREAD.tape
            out = [x for x in results if isinstance(x, Tensor)]
            changes = snapshot.changes(tape, [*abstract, *out])
            self.steps = changes.steps
            self.made_some = bool(changes.made)
            self.guards = [(check, check(), what) for check, what in tape.guards]
            freed = flatten(tape.state).freed

            def connected(value: Value) -> bool:
                return value.needs_grad and value.handle is None and tape.index.get(value) not in freed

            news: list[Tensor] = []
            for i, (t, start) in enumerate(zip(abstract, starts, strict=True)):
                if t._value is not start:
                    updates.append(Update(t, i, False, True, connected(t._value)))
                    news.append(Tensor(t._value))
                if t._grad is not None:
                    updates.append(Update(t, i, True, True, t._grad.requires_grad))
                    news.append(t._grad)
            for held, group in ((True, changes.updated), (False, changes.made)):
                for t in group:
                    updates.append(Update(t, -1, False, held, connected(t._value)))
                    news.append(Tensor(t._value))
            self.cleared = [t for t in changes.graded if t._grad is None]
            for t in changes.graded:
                if t._grad is not None:
                    updates.append(Update(t, -1, True, True, t._grad.requires_grad))
                    news.append(t._grad)
            known = {id(t): None for t, _, _ in snapshot.tensors}
            self.results = [
                ("argument", next(i for i, t in enumerate(abstract) if t is x))
                if any(t is x for t in abstract)
                else ("handle", x)
                if id(x) in known and isinstance(x, Tensor)
                else ("tensor", connected(x._value))
                if isinstance(x, Tensor)
                else ("constant", x)
                for x in results
            ]
            self.grads_before = [
                (t, t_grad is not None)
                for t, _, t_grad in snapshot.tensors
                if any(t is u for u in changes.graded)
            ]
            plain = [x for x, kind in zip(results, self.results, strict=True) if kind[0] == "tensor"]
            return [*plain, *news]

        arguments = Structure(tuple, (0, 1), structure.children)
        draws = Draws(earlier)
        token = CAPTURE.set(draws.take)
        try:
            recording = trace(label, record, items, arguments, needs)
        finally:
            CAPTURE.reset(token)
            snapshot.restore()
        self.draws = draws.made
        self.direct: Direct | None = None
        self.lane: Lane | None = None
        self.laned = False  # whether it has been looked for
        self.updates = updates
        self.recording: Recording = recording
        self.graph = recording.graph
        self.sources: list[OfTensor | Value] = [snapshot.sources.get(v, v) for v in recording.captured]
        self.expected = [(v.type, v.needs_grad) for v in recording.captured]
        self.numbers = recording.operands()[len(recording.captured) :]
        recording.captured = ()  # old values of tensors, whose memory can be used again
        recording.values = []
        self.grad = any(kind == ("tensor", True) for kind in self.results) or any(
            u.connected for u in updates
        )

    def stale(self) -> str:
        """Why the program no longer fits the tensors it closes over, or nothing."""
        for source, (expected, needs) in zip(self.sources, self.expected, strict=True):
            if isinstance(source, Value):
                continue
            if type(source) is not OfTensor and source.tensor._grad is None:
                return "a gradient that was there when the function was recorded is None now"
            value = source.read()
            if value.type is not expected and value.type != expected:
                return f"a tensor it closes over was {expected} and is {value.type}"
            if value.needs_grad is not needs:
                wants = value.needs_grad
                return (
                    f"requires_grad of a tensor it closes over ({expected}) changed from {needs} to {wants}"
                )
            if source.twins and source.split():
                return f"two tensors it closes over ({expected}) shared a value and no longer do"
        for t, had in self.grads_before:
            if (t._grad is not None) is not had:
                was, now = ("there", "None") if had else ("None", "there")
                return f"the gradient of a tensor it closes over ({t._value.type}) was {was} and is {now}"
        for check, found, what in self.guards:
            if check() != found:
                return f"{what} changed"
        return ""

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        for cell, step in self.steps:
            cell.value += step
        operands: list[Any] = [t._value for t in tensors]
        operands += [s if type(s) is Value else s.read() for s in self.sources]  # type: ignore[union-attr]
        operands += self._drawn() if self.draws else self.numbers
        try:
            if self.updates and not self.grad and possible(operands):
                made = run_directly(self._direct(operands, tensors), operands, self.updates, tensors)
                self._find_lane(len(tensors))
            else:
                made = run(self.graph, operands, self.updates, tensors, self.grad)
        except BaseException:
            for cell, step in self.steps:
                cell.value -= step
            for draw in self.draws:
                draw.generator.advance(-1)
            raise
        return self._finished(made, tensors)

    def again(self, tensors: Sequence[Tensor]) -> Any:
        """What the program gives, if it fits and can go the shorter way; else ``MISSING``."""
        lane = self.lane
        if lane is None:
            return MISSING
        for check, found, _ in self.guards:
            if check() != found:
                return MISSING
        for cell, step in self.steps:
            cell.value += step
        made = None
        try:
            made = lane.run(tensors, self.numbers)
        finally:
            if made is None:
                for cell, step in self.steps:
                    cell.value -= step
        return MISSING if made is None else self._finished(made, tensors)

    def _find_lane(self, arguments: int) -> None:
        """Look for the shorter way, once, as soon as all that may be overwritten has been."""
        assert self.direct is not None
        executable = None if self.laned else self.direct.whole
        if executable is not None:
            self.laned = True
            if not self.draws and not self.cleared:
                self.lane = Lane.of(
                    self.direct, executable, self.sources, self.updates, self.grads_before, arguments
                )

    def _finished(self, made: Sequence[Value], tensors: Sequence[Tensor]) -> Any:
        """The results of a call: ``made`` are those that are neither arguments nor constants."""
        for t in self.cleared:
            t._grad = None
        it = iter(made)
        out: list[Any] = []
        for kind, x in self.results:
            if kind == "tensor":
                value = next(it)
                out.append(Tensor(value) if x or not value.needs_grad else Tensor(value).detach())
            elif kind == "argument":
                out.append(tensors[x])
            else:
                out.append(x)
        return self.structure.unflatten(out)

    def _direct(self, operands: Sequence[Any], tensors: Sequence[Tensor]) -> Direct:
        """The program as it runs without being recorded."""
        if self.direct is None:
            given = {x: i for i, x in enumerate(operands) if type(x) is Value}
            updated = [u.tensor(tensors) for u in self.updates if not u.gradient]
            replaced = {given[t._value] for t in updated if t is not None and t._value in given}
            self.direct = Direct(self.graph, operands, replaced)
        return self.direct

    def _drawn(self) -> list[Any]:
        """The numbers of one call, with key and counter of each draw that it makes."""
        known: dict[Any, int] = {}
        for draw in self.draws:
            known[draw.key], known[draw.counter] = draw.generator.advance()
        return [(known.get(x, x), dtype) if type(x) is Cell else (x, dtype) for x, dtype in self.numbers]


# --- the function -------------------------------------------------------------------------------


class compile:
    """A function that is recorded once for each signature and then runs without its Python.

    The signature is the structure of the arguments, the shapes, dtypes and ``requires_grad`` of
    tensors, and the values of everything else; at most ``limit`` signatures are kept, the least
    recently used are dropped.  Tensors that the function closes over are read at each call, and
    those it updates in place, and gradients it sets, are updated at each call.  What else it
    depends on must stay the same: the second call with a signature records again and raises
    ``CaptureError`` where anything differs.  Random numbers are drawn anew at each call.  Inside, a
    tensor's value cannot be looked at (``TraceError``).

    ``explain()`` says in a sentence each why the function was recorded again; the same goes to the
    logger ``flambeau.compile``.

    >>> import flambeau as fb
    >>> double = fb.compile(lambda x: x * 2)
    >>> double(fb.asarray([1.0, 2.0]))
    tensor([2., 4.])
    """

    def __init__(self, f: Function, limit: int = 128) -> None:
        self._f = f
        self._limit = limit
        self._programs: OrderedDict[Any, tuple[Program, bool]] = OrderedDict()
        self._reasons: list[str] = []
        self._last: Any = None
        self._label = f"compile({name_of(f)})"
        update_wrapper(self, f, assigned=("__name__", "__doc__", "__qualname__", "__module__"), updated=())

    def __repr__(self) -> str:
        return f"<compiled {name_of(self._f)}: {len(self._programs)} signatures>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else _Bound(self, instance)

    def explain(self) -> list[str]:
        """Why the function was recorded, one sentence for each time."""
        return list(self._reasons)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if THREAD.tape.abstract:
            return self._f(*args, **kwargs)
        leaves, structure = _flattened(args, kwargs)
        key: list[Any] = [structure, grad_enabled.get()]
        tensors: list[Tensor] = []
        for i, x in enumerate(leaves):
            if isinstance(x, np.ndarray):
                x = leaves[i] = Tensor(from_array(x))
            if isinstance(x, Tensor):
                value = x._value
                tensors.append(x)
                key.append((value.type, value.needs_grad))
            else:
                key.append((type(x), freeze(x)))
        signature = tuple(key)
        try:
            found = self._programs.get(signature)
        except TypeError:
            bad = next(x for x in leaves if not isinstance(x, Tensor) and not _hashable(x))
            raise OperandError(
                f"{self._label}: an argument is a {type(bad).__name__}, "
                "which cannot be compared between calls"
            ) from None
        if found is not None:
            program, agreed = found
            if agreed:
                made = program.again(tensors)
                if made is not MISSING:
                    self._programs.move_to_end(signature)
                    return made
                reason = program.stale()
                if not reason:
                    self._programs.move_to_end(signature)
                    return program(tensors)
                self._note(f"{self._label} is recorded again: {reason}")
                found = None
            elif program.stale():
                self._note(f"{self._label} is recorded again: {program.stale()}")
                found = None
        elif self._last is not None:
            self._note(f"{self._label} is recorded again: {_difference(self._f, self._last, signature)}")
        else:
            self._note(f"{self._label} is recorded: it is the first call")
        self._last = signature
        return self._record(signature, found, leaves, structure, tensors)

    def _record(
        self, signature: Any, found: Any, leaves: list[Any], structure: Structure, tensors: list[Tensor]
    ) -> Any:
        self._programs.pop(signature, None)
        earlier = found[0].draws if found is not None else ()
        program = Program(self._label, self._f, leaves, structure, earlier)
        agreed = False
        if found is not None:
            error = disagreement(self._label, found[0], program)
            if error is None:
                agreed = True
            elif not found[0].made_some:  # the first call may have made state that the second one finds
                raise error
        self._programs[signature] = (program, agreed)
        while len(self._programs) > self._limit:
            self._programs.popitem(last=False)
        return program(tensors)

    def _note(self, sentence: str) -> None:
        self._reasons.append(sentence)
        LOG.info(sentence)


_TENSORS: dict[int, Structure] = {}  # of so many arguments, all of them tensors


def _flattened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Structure]:
    """The leaves of arguments and the structure that holds them."""
    if kwargs or not all(type(x) is Tensor for x in args):
        return tree.flatten((args, kwargs))
    structure = _TENSORS.get(len(args))
    if structure is None:
        structure = _TENSORS[len(args)] = tree.flatten((args, kwargs))[1]
    return list(args), structure


class _Bound:
    """A compiled function as a method: the instance is closed over, not passed."""

    def __init__(self, compiled: compile, instance: Any) -> None:
        cache = instance.__dict__.setdefault("_flambeau_compiled", {})
        own = cache.get(compiled)
        if own is None:
            own = cache[compiled] = compile(compiled._f.__get__(instance), compiled._limit)
        self.own = own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.own(*args, **kwargs)

    def explain(self) -> list[str]:
        """Why the method was recorded, one sentence for each time."""
        found: list[str] = self.own.explain()
        return found


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _difference(f: Function, old: Any, new: Any) -> str:
    """Which argument differs between two signatures, and how."""
    if old[0] != new[0]:
        return "the arguments have another structure"
    if old[1] is not new[1]:
        return f"gradients were {'on' if old[1] else 'off'} and are {'on' if new[1] else 'off'}"
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        names = []
    args, kwargs = new[0].children
    paths = [
        f"{names[i] if i < len(names) else f'argument {i}'}{path}"
        for i, child in enumerate(args.children)
        for path in child.paths()
    ]
    paths += [
        f"{k}{path}" for k, child in zip(kwargs.keys, kwargs.children, strict=True) for path in child.paths()
    ]
    for path, a, b in zip(paths, old[2:], new[2:], strict=True):
        if a == b:
            continue
        if isinstance(a[0], type) or isinstance(b[0], type):
            return f"argument {path} changed from {_static(a)} to {_static(b)}"
        return _type_difference(path, a, b)
    return "it was dropped, having not been used for long"


def _type_difference(path: str, a: Any, b: Any) -> str:
    changes = []
    if a[0].dtype is not b[0].dtype:
        changes.append(f"its dtype from {a[0].dtype} to {b[0].dtype}")
    if a[0].ndim != b[0].ndim:
        changes.append(f"its shape from {a[0].shape} to {b[0].shape}")
    else:
        sizes = zip(a[0].shape, b[0].shape, strict=True)
        axes = [(axis, n, m) for axis, (n, m) in enumerate(sizes) if n != m]
        if axes and not changes:
            moved = " and ".join(
                [f"axis {axis} of argument {path} changed from {n} to {m}" for axis, n, m in axes]
            )
            return moved
        changes += [f"the size of its axis {axis} from {n} to {m}" for axis, n, m in axes]
    if not changes:
        changes.append(f"requires_grad from {a[1]} to {b[1]}")
    return f"argument {path} changed {' and '.join(changes)}"


def _static(part: Any) -> str:
    if not isinstance(part[0], type):
        return f"a tensor {part[0]}"
    value = part[1]
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "f":
        return repr(float.fromhex(value[1]))
    return repr(value[1]) if isinstance(value, tuple) and value[:1] == ("b",) else repr(value)
