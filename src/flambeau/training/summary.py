"""The table of a model's layers: shapes, parameters, work and memory, found by tracing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from flambeau.dtypes import float32
from flambeau.errors import OperandError
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Lowering
from flambeau.graph.types import TensorType
from flambeau.nn.module import Module
from flambeau.ops.grad_mode import no_grad
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor
from flambeau.training import check
from flambeau.training.feeding import Inputs
from flambeau.training.step import call
from flambeau.transforms import tree

# Elementwise operations that move or convert data but do not compute.
_FREE = ("cast", "select", "stop_gradient", "fresh", "barrier")


def flops(graph: Graph) -> list[tuple[Node, int]]:
    """The floating-point operations of each node: a multiplication and an addition count as two.

    An elementwise operation counts as one for each result, a reduction as one for each operand;
    moving data counts as nothing.  Work inside of scans counts as often as it is done.
    """
    return [(node, _node_flops(graph, node)) for node in graph.nodes]


def _node_flops(graph: Graph, node: Node) -> int:
    operands = [graph.types[v] for v in node.inputs]
    made = sum(_size(graph.types[v].shape) for v in node.outputs)
    name, attrs = node.primitive.name, node.attrs
    if name == "dot_general":
        return 2 * made * _size(operands[0].shape[a] for a in attrs["contract"][0])
    if name == "conv_general":
        return 2 * made * _size(operands[1].shape[1:])
    if name == "scan":
        return int(attrs["length"]) * _graph_flops(attrs["body"])
    inner = [x for x in _flat(attrs.values()) if isinstance(x, Graph)]
    if inner:  # a call; of several branches the dearest, of a loop one round
        return max(_graph_flops(g) for g in inner)
    if name == "reduce_window":
        return made * _size(attrs["window"])
    if node.primitive.lowering is Lowering.REDUCE:
        return sum(_size(t.shape) for t in operands)
    if node.primitive.lowering is Lowering.ELEMENTWISE and name not in _FREE:
        return made
    return 0


def _graph_flops(graph: Graph) -> int:
    return sum(n for _, n in flops(graph))


def _size(shape: Iterable[Any]) -> int:
    return math.prod(int(n) for n in shape)


def _flat(values: Iterable[Any]) -> list[Any]:
    found = []
    for value in values:
        found += list(value) if isinstance(value, (tuple, list)) else [value]
    return found


class Row:
    """A layer that was called: its dotted name, its kind, what it gave and what it cost."""

    def __init__(self, name: str, module: Module, outputs: Any, path: tuple[str, ...]) -> None:
        self.name = name
        self.kind = type(module).__name__
        self.outputs = outputs
        self.path = path
        self.parameters = sum(_size(p.shape) for p in module.parameters())
        self.flops = 0


class Summary(str):
    """The table as text; in a notebook or at the prompt it is shown as it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def rows_of(module: Module, example: Any) -> list[Row]:
    """The layers in the order they are called in, the whole model last."""
    names = {id(m): name for name, m in module.named_modules()}
    rows: list[Row] = []

    def note(m: Module, args: Any, output: Any) -> None:
        from flambeau.engine.tape import THREAD

        types = check.types_of(output)
        rows.append(Row(names[id(m)], m, types, THREAD.tape.layer))

    def run(inputs: Inputs) -> Any:
        with no_grad():
            return call(module, inputs)

    with ExitStack() as hooks:
        for m in module.modules():
            hooks.callback(m.register_forward_hook(note).remove)
        recording = check.recorded(run, _types(example))
    for node, n in flops(recording.graph):
        for row in rows:
            if node.where.layer[: len(row.path)] == row.path:
                row.flops += n
    return rows


def _types(example: Any) -> Inputs:
    """The types of inputs that are given as tensors, arrays, types or shapes."""
    if isinstance(example, dict):
        return {key: _type(x) for key, x in example.items()}
    if isinstance(example, (tuple, list)) and not _is_shape(example):
        return tuple([_type(x) for x in example])
    return (_type(example),)


def _is_shape(x: Any) -> bool:
    return isinstance(x, (tuple, list)) and all(isinstance(n, int) for n in x)


def _type(x: Any) -> TensorType:
    from flambeau.training.feeding import as_tensor

    if isinstance(x, TensorType):
        return x
    if _is_shape(x):
        return TensorType(tuple(x), float32)
    if not isinstance(x, Tensor) and not hasattr(x, "__array__"):
        raise OperandError(f"summary: a tensor, an array or a shape is needed, not {x!r:.60}")
    return as_tensor(x)._value.type


def summary_of(module: Module, example: Any) -> Summary:
    """The table for inputs like ``example``."""
    rows = rows_of(module, example)
    whole = rows.pop()
    leaves = {row.name for row in rows} - {row.name.rpartition(".")[0] for row in rows}
    seen: set[str] = set()
    table: list[tuple[str, ...]] = [("layer", "type", "output", "parameters", "FLOPs")]
    for row in sorted(rows, key=lambda r: _order(module, r.name)):
        own = f"{row.parameters:,}" if row.name in leaves and row.name not in seen else ""
        own = own or (f"({row.parameters:,})" if row.name not in seen else "shared")
        seen.add(row.name)
        indent = "  " * row.name.count(".")
        table.append((indent + row.name, row.kind, _shapes(row.outputs), own, _amount(row.flops)))
    if not rows:
        table.append(
            (whole.kind, whole.kind, _shapes(whole.outputs), f"{whole.parameters:,}", _amount(whole.flops))
        )
    trained = [p for p in module.parameters() if p.requires_grad]
    parameters = sum(_size(p.shape) for p in trained)
    frozen = whole.parameters - parameters
    held = sum(_size(p.shape) * p.dtype.itemsize for p in module.parameters())
    held += sum(_size(b.shape) * b.dtype.itemsize for b in module.buffers())
    gradients = sum(_size(p.shape) * p.dtype.itemsize for p in trained)
    outputs = sum(_bytes(row.outputs) for row in rows if row.name in leaves) or _bytes(whole.outputs)
    inputs = ", ".join(shape_text(t.shape) for t in tree.flatten(_types(example))[0])
    facts = [
        f"{type(module).__name__} for inputs of shape {inputs}: output {_shapes(whole.outputs)}",
        f"parameters: {whole.parameters:,}" + (f", of which {frozen:,} are frozen" if frozen else ""),
        f"FLOPs of a forward pass: {_amount(whole.flops)}",
        f"memory: {_memory(held)} of parameters and buffers, {_memory(gradients)} of gradients, "
        f"{_memory(outputs)} of layers' outputs",
    ]
    return Summary("\n".join([*_aligned(table), "", *facts]))


def _order(module: Module, name: str) -> int:
    return next(i for i, (n, _) in enumerate(module.named_modules()) if n == name)


def _shapes(outputs: Any) -> str:
    leaves = [x for x in tree.flatten(outputs)[0] if isinstance(x, TensorType)]
    shown = [shape_text(t.shape) for t in leaves[:3]] + (["..."] if len(leaves) > 3 else [])
    return ", ".join(shown)


def _bytes(outputs: Any) -> int:
    leaves = [x for x in tree.flatten(outputs)[0] if isinstance(x, TensorType)]
    return sum(_size(t.shape) * t.dtype.itemsize for t in leaves)


def _amount(n: float) -> str:
    for unit in ("", " k", " M", " G"):
        if n < 1000:
            return f"{n:.3g}{unit}" if unit else f"{n:.0f}"
        n /= 1000
    return f"{n:.3g} T"


def _memory(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.3g} {unit}" if unit != "B" else f"{n:.0f} B"
        n /= 1024
    return f"{n:.3g} GiB"


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [
            x.ljust(w) if i < 3 else x.rjust(w) for i, (x, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
