"""Every rule of every primitive, checked on the samples."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from functools import reduce
from typing import Any

import numpy as np
import pytest

import flambeau.primitives
from flambeau.graph.builder import Var
from flambeau.graph.graph import Node
from flambeau.graph.primitive import REGISTRY, Effect, Lowering, NoGradient
from flambeau.primitives.elementwise import add, mul
from flambeau.primitives.views import reduce_sum
from samples import SAMPLES, Sample
from samples.evaluate import (
    apply,
    batch,
    call,
    for_vjp,
    forward,
    gradients,
    jvp,
    listed,
    trace,
    type_of,
    values,
    vjp,
)

for _module in pkgutil.iter_modules(flambeau.primitives.__path__):
    importlib.import_module(f"flambeau.primitives.{_module.name}")

ALL = [s for group in SAMPLES.values() for s in group]
SMOOTH = [s for s in ALL if s.smooth and not isinstance(REGISTRY[s.primitive].vjp, NoGradient)]
TAKES_INPUTS = [s for s in ALL if s.arrays()]
# primitives that hold graphs or the user's Python are tested with those, elsewhere
ELSEWHERE = {
    name for name, p in REGISTRY.items() if p.lowering is Lowering.CONTROL or p.effect is Effect.HOST
}


def ids(samples: list[Sample]) -> list[str]:
    return [s.id for s in samples]


def rng_of(sample: Sample) -> np.random.Generator:
    return np.random.default_rng(len(sample.id))


def node_of(sample: Sample) -> tuple[Node, list[np.ndarray]]:
    """The node that the sample is about, and the values of its inputs."""
    arrays = sample.arrays()
    graph = trace(sample.function, *[type_of(a) for a in arrays])
    known = values(graph, *arrays)
    node = next(n for n in graph.nodes if n.primitive.name == sample.primitive)
    return node, [known[v] for v in node.inputs]


def tolerance_of(sample: Sample, dtype: np.dtype[Any]) -> float:
    if sample.tolerance is not None:
        return sample.tolerance
    if dtype.name == "bfloat16":
        return 2.0**-7
    if dtype.name == "float16":
        return 2.0**-10
    return 1e-5 if dtype in (np.float32, np.complex64) else 1e-12


def same(actual: np.ndarray, expected: Any, tolerance: float, what: str) -> None:
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if actual.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected.astype(actual.dtype), err_msg=what)
        return
    wide = np.complex128 if actual.dtype.kind == "c" else np.float64
    actual, expected = actual.astype(wide), expected.astype(wide)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = tolerance * (finite.max() if finite.size and finite.max() < 1e30 else 1)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=scale, err_msg=what)


def test_every_primitive_has_samples() -> None:
    missing = {
        name
        for name, p in REGISTRY.items()
        if p.infer.__module__.startswith("flambeau.") and name not in SAMPLES
    }
    assert not missing - ELSEWHERE, sorted(missing - ELSEWHERE)
    assert not set(SAMPLES) - set(REGISTRY)


@pytest.mark.parametrize("sample", ALL, ids=ids(ALL))
def test_reference(sample: Sample) -> None:
    """The reference gives what NumPy gives, and what the shape rule says (checked by ``call``)."""
    arrays = sample.arrays()
    actual = listed(call(sample.function, *arrays))
    if sample.expected is not None:
        wanted = sample.expected(*arrays)
        for y, e in zip(actual, wanted if isinstance(wanted, list) else [wanted], strict=True):
            same(y, e, tolerance_of(sample, y.dtype), sample.id)


def cotangents_of(node: Node, arrays: list[np.ndarray], rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=y.shape) if y.dtype == np.float64 else None for y in forward(node, arrays)]


def inner(a: list[Any], b: list[Any]) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(a, b, strict=True) if x is not None and y is not None))


def directions(x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    found = [rng.normal(size=x.shape) for _ in range(2)]
    if x.size <= 12:
        found += list(np.eye(x.size).reshape(x.size, *x.shape))
    return found


@pytest.mark.parametrize("sample", SMOOTH, ids=ids(SMOOTH))
def test_vjp_against_finite_differences(sample: Sample) -> None:
    node, arrays = node_of(sample)
    rng = rng_of(sample)
    g = cotangents_of(node, arrays, rng)
    if all(c is None for c in g):
        return
    found = vjp(node, arrays, g)
    h = 1e-6
    for i, x in enumerate(arrays):
        if x.dtype != np.float64:
            assert found[i] is None
            continue
        for v in directions(x, rng):
            moved = [[a + sign * h * v if j == i else a for j, a in enumerate(arrays)] for sign in (1, -1)]
            up, down = (inner(g, forward(node, m)) for m in moved)
            slope = (up - down) / (2 * h)
            given = 0.0 if found[i] is None else float(np.sum(found[i] * v))
            size = max(
                1.0, abs(slope), inner([np.abs(c) if c is not None else None for c in g], [1.0] * len(g))
            )
            assert abs(given - slope) <= 2e-6 * size, (
                f"{sample.id}: input {i}: rule {given}, differences {slope}"
            )


@pytest.mark.parametrize("sample", SMOOTH, ids=ids(SMOOTH))
def test_jvp_agrees_with_vjp(sample: Sample) -> None:
    """<g, J t> == <J' g, t>, with tangents of all inputs, and of each alone."""
    node, arrays = node_of(sample)
    rng = rng_of(sample)
    g = cotangents_of(node, arrays, rng)
    if all(c is None for c in g):
        return
    found = vjp(node, arrays, g)
    tangents = [rng.normal(size=x.shape) if x.dtype == np.float64 else None for x in arrays]
    real = [i for i, t in enumerate(tangents) if t is not None]
    for chosen in [real] if len(real) == 1 else [real, *[[i] for i in real]]:
        t = [tangents[i] if i in chosen else None for i in range(len(arrays))]
        left, right = inner(g, jvp(node, arrays, t)), inner(found, t)
        size = max(1.0, abs(left), abs(right))
        assert abs(left - right) <= 1e-9 * size, (
            f"{sample.id}: {left} forward, {right} in reverse, inputs {chosen}"
        )


def test_each_cotangent_alone() -> None:
    """Rules of primitives with several outputs take None for those without a cotangent."""
    for sample in SMOOTH:
        if REGISTRY[sample.primitive].outputs == 1:
            continue
        node, arrays = node_of(sample)
        g = cotangents_of(node, arrays, rng_of(sample))
        whole = vjp(node, arrays, g)
        for j, x in enumerate(arrays):
            if whole[j] is None:
                continue
            total = np.zeros(x.shape)
            for i, c in enumerate(g):
                if c is not None:
                    part = vjp(node, arrays, [c if k == i else None for k in range(len(g))])[j]
                    total = total + (0 if part is None else part)
            np.testing.assert_allclose(total, whole[j], rtol=1e-9, atol=1e-9, err_msg=sample.id)


@pytest.mark.parametrize("sample", TAKES_INPUTS, ids=ids(TAKES_INPUTS))
def test_batch_agrees_with_a_loop(sample: Sample) -> None:
    node, arrays = node_of(sample)
    if not arrays:
        return
    size = 3
    masks = [m for m in itertools.product((True, False), repeat=len(arrays)) if any(m)]
    for batched in masks if len(masks) <= 7 else [masks[0], *masks[-4:]]:
        # a batch of an integer input holds the same values in another order: all remain in range
        rng = np.random.default_rng(5)
        stacked = [
            np.stack([a, *[rng.permutation(a.reshape(-1)).reshape(a.shape) for _ in range(size - 1)]])
            if b and a.dtype.kind in "iub"
            else np.stack([a, *[(a * f).astype(a.dtype) for f in (0.75, 1.25)]])
            if b
            else a
            for a, b in zip(arrays, batched, strict=True)
        ]
        together = batch(node, stacked, batched)
        for i in range(size):
            alone = forward(node, [a[i] if b else a for a, b in zip(stacked, batched, strict=True)])
            for y, whole in zip(alone, together, strict=True):
                same(
                    whole[i], y, tolerance_of(sample, y.dtype), f"{sample.id}: example {i}, batched {batched}"
                )


WITH_TORCH = [s for s in ALL if s.torch is not None]


@pytest.mark.torch
@pytest.mark.parametrize("sample", WITH_TORCH, ids=ids(WITH_TORCH))
def test_against_torch(sample: Sample) -> None:
    torch = pytest.importorskip("torch")
    assert sample.torch is not None
    arrays = sample.arrays()
    tensors = [torch.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    wanted = sample.torch(torch, *tensors)
    wanted = [wanted] if isinstance(wanted, torch.Tensor) else list(wanted)
    actual = listed(call(sample.function, *arrays))
    for y, w in zip(actual, wanted, strict=True):
        same(y, w.detach().numpy().astype(y.dtype), max(1e-10, tolerance_of(sample, y.dtype)), sample.id)
    node, inputs = node_of(sample)
    if not sample.smooth or isinstance(node.primitive.vjp, NoGradient) or len(inputs) != len(arrays):
        return
    g = cotangents_of(node, inputs, rng_of(sample))
    pairs = [
        (w, torch.tensor(c)) for w, c in zip(wanted, g, strict=True) if c is not None and w.requires_grad
    ]
    if not pairs:
        return
    leaves = [t for t in tensors if t.requires_grad]
    grads = torch.autograd.grad([p[0] for p in pairs], leaves, [p[1] for p in pairs], allow_unused=True)
    ours = [v for v, t in zip(vjp(node, inputs, g), tensors, strict=True) if t.requires_grad]
    for mine, theirs, x in zip(ours, grads, leaves, strict=True):
        given = np.zeros(x.shape) if mine is None else mine
        same(given, np.zeros(x.shape) if theirs is None else theirs.numpy(), 1e-9, sample.id)


def few(samples: list[Sample], each: int) -> list[Sample]:
    """The first samples of every primitive."""
    return [s for name in SAMPLES for s in [s for s in samples if s.primitive == name][:each]]


@pytest.mark.parametrize("sample", few(SMOOTH, 4), ids=ids(few(SMOOTH, 4)))
def test_second_derivatives(sample: Sample) -> None:
    """The vjp rule, differentiated by the rules of what it is made of, against finite differences."""
    node, arrays = node_of(sample)
    rng = rng_of(sample)
    g = cotangents_of(node, arrays, rng)
    first = vjp(node, arrays, g) if any(c is not None for c in g) else []
    weights = [None if r is None else rng.normal(size=r.shape) for r in first]
    if all(w is None for w in weights):
        return
    present = [c for c in g if c is not None]

    def weighted(*xs: Var) -> Var:
        """The inner product of the cotangents with fixed weights, given as the last inputs."""
        inputs, rest = xs[: len(arrays)], iter(xs[len(arrays) :])
        outputs = apply(node, inputs)
        cotangents = [None if c is None else next(rest) for c in g]
        found = node.primitive.vjp(for_vjp(cotangents, node), inputs, outputs, **node.attrs)
        terms = [reduce_sum(mul(r, next(rest)), range(r.ndim)) for r in found if r is not None]
        return reduce(add, terms)

    fixed = [*present, *[w for w in weights if w is not None]]
    everything = [*arrays, *fixed]
    slopes = gradients(weighted, *everything)
    h = 1e-5
    for i, x in enumerate(everything[: len(arrays) + len(present)]):
        if x.dtype != np.float64:
            continue
        v = rng.normal(size=x.shape)
        up, down = (
            float(call(weighted, *[a + s * h * v if j == i else a for j, a in enumerate(everything)]))
            for s in (1, -1)
        )
        slope, given = (up - down) / (2 * h), float(np.sum(slopes[i] * v))
        assert abs(given - slope) <= 1e-5 * max(1.0, abs(slope), abs(up)), (
            f"{sample.id}: input {i}: {given}, {slope}"
        )
