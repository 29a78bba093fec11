"""Products and convolutions of integers: sums of products over views, in reduction kernels.

Integers are exact modulo 2 to their bits in any order, so no order is defined here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.compiler.kernel import Role
from flambeau.compiler.tasks import Body, Sources, Task, product_of, reduction_over
from flambeau.compiler.views import View
from flambeau.graph.graph import Graph, Node


def integer_tasks(
    graph: Graph, node: Node, operands: Sequence[View], padded: Callable[..., View]
) -> list[Task]:
    """The kernel of a product or convolution; ``padded`` gives a view with zeros around its elements."""
    x, y = operands
    if node.primitive.name == "dot_general":
        return [_product(graph, node, x, y)]
    return [_convolution(graph, node, x, y, padded)]


def _sum(graph: Graph, node: Node, x: View, y: View, reduced: range) -> Task:
    """The sum of products of two views of one shape over the ``reduced`` axes."""
    (out,) = node.outputs
    dtype = graph.types[out].dtype
    body = Body(graph, Sources({}, {}))
    factors = []
    for view, v in zip((x, y), node.inputs, strict=True):
        own = graph.types[v].dtype
        made = body.add("load", own, operand=body.operand(own, Role.IN, view))
        factors.append(made if own is dtype else body.add("cast", dtype, (made,)))
    total = body.add("reduce_sum", dtype, (body.add("mul", dtype, tuple(factors)),))
    body.add("store", dtype, (total,), operand=body.operand(dtype, Role.OUT, out))
    return reduction_over(body, x.shape, reduced, 2)


def _product(graph: Graph, node: Node, x: View, y: View) -> Task:
    product = product_of(graph, node, x, y)
    a, b = product.a, product.b
    nb, nr, nk = len(product.batch), len(product.rows), len(product.depth)
    nc = len(product.columns)
    # Depth before columns, which are then the vectors' axis.
    shape = (*a.shape[: nb + nr], *a.shape[nb + nr :], *b.shape[nb + nk :])
    left = View(a.base, shape, (*a.strides, *[0] * nc), a.offset)
    right = View(b.base, shape, (*b.strides[:nb], *[0] * nr, *b.strides[nb:]), b.offset)
    return _sum(graph, node, left, right, range(nb + nr, nb + nr + nk))


def _convolution(graph: Graph, node: Node, x: View, w: View, padded: Callable[..., View]) -> Task:
    attrs = node.attrs
    low = [0, 0, *[a for a, _ in attrs["padding"]]]
    high = [0, 0, *[b for _, b in attrs["padding"]]]
    x = padded(x, low, high, [0, 0, *[d - 1 for d in attrs["lhs_dilation"]]])
    out: tuple[int, ...] = graph.types[node.outputs[0]].shape  # type: ignore[assignment]
    groups = int(attrs["groups"])
    channels, spatial = w.shape[1], len(out) - 2
    steps = [s * n for s, n in zip(x.strides[2:], attrs["strides"], strict=True)]
    within = [s * n for s, n in zip(x.strides[2:], attrs["rhs_dilation"], strict=True)]
    # (example, group, channel of it, *place), and what is summed: (channel, *window).
    shape = (out[0], groups, out[1] // groups, *out[2:], channels, *w.shape[2:])
    left = (x.strides[0], channels * x.strides[1], 0, *steps, x.strides[1], *within)
    right = (0, out[1] // groups * w.strides[0], w.strides[0], *[0] * spatial, *w.strides[1:])
    kept = 3 + spatial
    return _sum(
        graph, node, View(x.base, shape, left, x.offset), View(w.base, shape, right, w.offset),
        range(kept, len(shape)),
    )  # fmt: skip
