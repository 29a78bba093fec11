"""An ``llvm`` executor that checks every program it runs, node by node.

Fusion never changes bits.  So each program's outputs must equal, byte for byte, those of its nodes
run one at a time by the same compiler; and each single node must agree with its NumPy rule on the
very same operands, so that errors do not add up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from flambeau.compiler import partition as partitions
from flambeau.compiler.values import HostStep
from flambeau.compiler.verify import verify_kernel
from flambeau.dtypes import DType
from flambeau.engine import executors
from flambeau.engine.executor import Done
from flambeau.engine.native import NativeExecutable, NativeExecutor, supports
from flambeau.engine.reference import to_array
from flambeau.graph.graph import Graph, Node, compact, freeze_attrs
from flambeau.graph.verifier import verify
from flambeau.runtime.buffers import Buffer

LIMIT_ULP = 4  # both sides are within 2 ULP of the truth
EXACT = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "abs",
        "square",
        "maximum",
        "minimum",
        "sign",
        "floor",
        "ceil",
        "round",
        "trunc",
        "relu",
        "select",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "is_nan",
        "is_inf",
        "is_finite",
        "logical_not",
        "logical_and",
        "logical_or",
        "logical_xor",
        "bitwise_not",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "sqrt",
        "reciprocal",
        "cast",
        "fma",
        "reduce_max",
        "reduce_min",
    ]
)


class Coverage:
    """How often each primitive ran compiled or on the host, and which pairs ran in one kernel."""

    def __init__(self) -> None:
        self.compiled: Counter[str] = Counter()
        self.host: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.programs = 0
        self.kernels = 0

    def count(self, graph: Graph, found: partitions.Partition) -> None:
        self.programs += 1
        maker = {v: n for n in graph.nodes for v in n.outputs}
        for group in found.groups:
            nodes = [graph.nodes[i] for i in group.nodes]
            into = self.host if group.kind == "host" else self.compiled
            for node in nodes:
                into[node.primitive.name] += 1
                for v in node.inputs:
                    if maker.get(v) in nodes:
                        self.pairs[maker[v].primitive.name, node.primitive.name] += 1

    def report(self) -> str:
        lines = [f"{self.programs} programs, {self.kernels} kernels"]
        lines.append(f"compiled: {_listed(self.compiled)}")
        lines.append(f"on the host: {_listed(self.host)}")
        names = Counter({f"{a}>{b}": n for (a, b), n in self.pairs.items()})
        lines.append(f"{len(names)} fused pairs: {_listed(names)}")
        return "\n".join(lines)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common())


class CheckedExecutor:
    """Runs programs with the native executor and checks what they give."""

    name = "checked"

    def __init__(self) -> None:
        self.inner = NativeExecutor()
        self.inner.kernels.entry = self._entry(self.inner.kernels.entry)  # type: ignore[method-assign]
        self.coverage = Coverage()
        self.singles: dict[Any, NativeExecutable] = {}
        self.checks = True

    def _entry(self, inner: Callable[[Any], str]) -> Callable[[Any], str]:
        def entry(kernel: Any) -> str:
            if kernel not in self.inner.kernels.entries:
                verify_kernel(kernel)
                self.coverage.kernels += 1
            return inner(kernel)

        return entry

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> Any:
        verify(graph)
        graph = compact(graph)
        verify(graph)
        executable = self.inner.prepare(graph, donated, numbers, weights)
        check_places(executable)
        self.coverage.count(graph, partitions.partition(graph, supports))
        return _Checked(self, graph, executable)

    def single(self, node: Node, operands: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One node, compiled and run alone."""
        types = list(self._types(node))
        key = (node.primitive, freeze_attrs(node.attrs), tuple(types), len(node.inputs))
        executable = self.singles.get(key)
        count = len(node.inputs)
        if executable is None:
            inputs = tuple(range(count))
            outputs = tuple(range(count, len(types)))
            alone = Graph(types, inputs, [Node(node.primitive, inputs, node.attrs, outputs)], outputs)
            executable = self.singles[key] = self.inner.prepare(alone, frozenset(), 0)
        buffers = [from_array(a) for a in operands]
        made = executable.submit(buffers).wait()
        return [b.view(t.dtype.numpy, t.shape) for b, t in zip(made, types[count:], strict=True)]

    def _types(self, node: Node) -> list[Any]:
        return [self.graph.types[v] for v in (*node.inputs, *node.outputs)]


def from_array(array: np.ndarray) -> Buffer:
    """A buffer holding a copy of ``array``."""
    buffer = Buffer(array.nbytes)
    if array.nbytes:
        buffer.view(array.dtype, array.shape)[...] = array
    return buffer


class _Checked:
    def __init__(self, owner: CheckedExecutor, graph: Graph, executable: NativeExecutable) -> None:
        self.owner, self.graph, self.executable = owner, graph, executable

    def submit(self, inputs: Sequence[Any]) -> Done:
        graph, owner = self.graph, self.owner
        before = [
            np.array(to_array(x, t.dtype.numpy, t.shape))
            for x, t in zip(inputs, graph.input_types, strict=True)
        ]
        pending = self.executable.submit(inputs)
        if owner.checks:
            expected = self._one_by_one(before)
            for v, buffer in zip(graph.outputs, pending.wait(), strict=True):
                t = graph.types[v]
                same_bits(buffer.view(t.dtype.numpy, t.shape), expected[v], f"%{v} of\n{graph}")
        return pending

    def _one_by_one(self, arrays: list[np.ndarray]) -> dict[int, np.ndarray]:
        graph, owner = self.graph, self.owner
        owner.graph = graph
        known = dict(zip(graph.inputs, arrays, strict=True))
        for node in graph.nodes:
            operands = [known[v] for v in node.inputs]
            reference = node.primitive.reference(*operands, **node.attrs)
            wanted = [np.asarray(r) for r in (reference if isinstance(reference, tuple) else (reference,))]
            made = owner.single(node, operands)
            for v, got, want in zip(node.outputs, made, wanted, strict=True):
                agrees(node, operands, got, want)
                known[v] = np.array(got)
        return known


def check_places(executable: NativeExecutable) -> None:
    """No two values of a program share memory while both are needed."""
    plan = executable.plan
    for slot, source in plan.reused.items():
        assert slot in plan.fresh and 0 < source <= executable.leaves
    for step in plan.steps:
        if not isinstance(step, HostStep):
            for call in step:
                assert call.tiles >= 0


def same_bits(got: np.ndarray, want: np.ndarray, what: str) -> None:
    """Equal bytes, except that one NaN is as good as another."""
    assert got.shape == want.shape and got.dtype == want.dtype, what
    a, b = np.ascontiguousarray(got).reshape(-1), np.ascontiguousarray(want).reshape(-1)
    if a.tobytes() == b.tobytes():
        return
    size = a.dtype.itemsize
    differ = np.any(a.view(np.uint8).reshape(-1, size) != b.view(np.uint8).reshape(-1, size), axis=1)
    if a.dtype.kind == "f":
        differ &= ~(np.isnan(a) & np.isnan(b))
    at = np.flatnonzero(differ)
    if at.size:
        raise AssertionError(f"bits differ at {at[:5]}: {a[at[:5]]} for {b[at[:5]]} in {what}")


def agrees(node: Node, operands: Sequence[np.ndarray], got: np.ndarray, want: np.ndarray) -> None:
    """Whether one compiled node agrees with its NumPy rule."""
    name = node.primitive.name
    shapes = ", ".join(f"{o.dtype}{o.shape}" for o in operands)
    what = f"{name}({shapes}) {node.attrs}"
    assert got.shape == want.shape and got.dtype == want.dtype, (
        f"{what}: {got.dtype}{got.shape}, {want.shape}"
    )
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    bound = _bound(node, operands, want)
    with np.errstate(all="ignore"):
        wrong = np.abs(got - want) > bound
        wrong |= np.isnan(got) != np.isnan(want)
        finite = np.isfinite(want) & np.isfinite(bound)
        wrong &= finite | ~np.isfinite(want)
        wrong &= ~((got == want) | (np.isnan(got) & np.isnan(want)))
        wrong &= np.isfinite(bound)
    if wrong.any():
        at = np.flatnonzero(wrong.reshape(-1))[:5]
        raise AssertionError(
            f"{what} at {at}: {got.reshape(-1)[at]} for {want.reshape(-1)[at]}, bound {bound.reshape(-1)[at]}"
        )


def _bound(node: Node, operands: Sequence[np.ndarray], want: np.ndarray) -> np.ndarray:
    """How far a result may be from NumPy's."""
    name = node.primitive.name
    info = np.finfo(want.dtype)
    eps, tiny = float(info.eps), 4 * float(info.tiny)  # denormals may be flushed
    with np.errstate(all="ignore"):
        if name in ("dot_general", "conv_general"):
            wide = [np.abs(o.astype(np.float64)) for o in operands]
            total = node.primitive.reference(*wide, **node.attrs)
            if name == "dot_general":
                k = math.prod(operands[0].shape[a] for a in node.attrs["contract"][0])
            else:
                k = math.prod(operands[1].shape[1:])
            return np.asarray(2 * k * eps * total + tiny * max(1, k))
        if name == "reduce_window" and node.attrs["kind"] == "sum":
            total = node.primitive.reference(np.abs(operands[0].astype(np.float64)), **node.attrs)
            k = math.prod(node.attrs["window"])
            return np.asarray(2 * k * eps * total + tiny * k)
        if name in ("reduce_sum", "reduce_prod"):
            x = np.abs(operands[0].astype(np.float64))
            axes = node.attrs["axes"]
            k = math.prod(operands[0].shape[a] for a in axes)
            total = x.sum(axis=axes) if name == "reduce_sum" else np.abs(want.astype(np.float64))
            bound = np.asarray(2 * k * eps * total + tiny * max(1, k))
            if name == "reduce_sum":  # a partial sum may overflow in one order and not in another
                bound = np.where(total > float(info.max) / 2, np.inf, bound)
            return bound
        ulp = 0 if name in EXACT else LIMIT_ULP
        size = np.abs(want.astype(np.float64))
        return np.asarray(np.where(np.isfinite(size), ulp * eps * size, 0.0) + tiny)


@contextmanager
def checked() -> Iterator[CheckedExecutor]:
    """Evaluate with a checked executor inside a ``with`` block."""
    made = CheckedExecutor()
    token = executors._ACTIVE.set(made)
    try:
        yield made
    finally:
        executors._ACTIVE.reset(token)


def dtype_of(array: np.ndarray) -> DType:
    from flambeau.dtypes import from_numpy

    return from_numpy(array.dtype)
