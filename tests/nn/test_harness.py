"""Every layer, taken through everything that a layer has to stand; the layers are in ``cases``."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError
from flambeau.graph.dims import Dim
from tests.nn.cases import all_cases
from tests.nn.harness import Case, distance, numbers, replaced

CASES = all_cases()
NO_LAYERS = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"}
STACKS = {"Transformer", "TransformerDecoder", "TransformerEncoder"}  # see test_transformer
MOST_DIFFERENCES = 250  # elements moved one at a time


def each(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def test_every_layer_has_a_case() -> None:
    kinds = {name: getattr(nn, name) for name in nn.__all__}
    layers = {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    assert layers - NO_LAYERS - STACKS - {case.layer for case in CASES} == set(), (
        "add these layers to a file in tests/nn/cases"
    )


def test_cases_have_names_of_their_own() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))


@each(CASES)
def test_shapes_dtypes_and_looks(case: Case) -> None:
    with fb.use_executor("reference"):
        exact = [y.numpy() for y in case.run(case.make("float64"), *case.tensors("float64"))]
        assert [y.shape for y in exact] == case.shapes
        for dtype in case.dtypes:
            layer = case.make(dtype)
            made = case.run(layer, *case.tensors(dtype))
            for y, wanted in zip(made, exact, strict=True):
                assert y.shape == wanted.shape
                if wanted.dtype.kind == "f":
                    assert str(y.dtype) == dtype
                    assert distance(y.numpy(), wanted) < {"float64": 1e-12, "float32": case.single}.get(
                        dtype, 0.1
                    )
    layer = case.make()
    assert repr(layer) == case.shows
    if case.evaluable:
        names = {**vars(nn), "inf": math.inf, "nan": math.nan}
        again = eval(repr(layer), names)
        assert repr(again) == repr(layer)
        assert [(n, t.shape) for n, t in again.state_dict().items()] == [
            (n, t.shape) for n, t in layer.state_dict().items()
        ]


@each([case for case in CASES if "float64" in case.dtypes])
def test_gradients_reach_everything(case: Case) -> None:
    layer = case.make("float64")
    inputs = case.tensors("float64", requires_grad=True)
    with fb.use_executor("reference"):
        outputs = [y for y in case.run(layer, *inputs) if y.requires_grad]
        if outputs:
            sum(((y * fb.asarray(numbers(*y.shape))).sum() for y in outputs), start=fb.zeros(())).backward()
        named = [*layer.named_parameters(), *((f"input {i}", x) for i, x in enumerate(inputs))]
        for name, x in named:
            if x.requires_grad:
                assert x.grad is not None and np.isfinite(x.grad.numpy()).all(), name
                assert np.any(x.grad.numpy() != 0), f"the gradient of {name} is 0"
        if not case.finite or not case.traceable:
            return
        parameters = dict(layer.named_parameters())
        assert sum(x.size for _, x in named if x.dtype.floating) <= MOST_DIFFERENCES, (
            "too large for differences"
        )

        def computed(state: dict[str, fb.Tensor], *xs: fb.Tensor) -> list[fb.Tensor]:
            with replaced(layer, state):
                return case.run(layer, *xs)

        starts = {name: p.detach() for name, p in parameters.items()}
        assert fb.gradcheck(computed, (starts, *[x.detach() for x in inputs]), atol=1e-6)


def _rows(case: Case, start: int, stop: int, times: int = 1) -> list[fb.Tensor]:
    at = tuple([slice(None)] * (case.batch or 0) + [slice(start, stop)])
    return [fb.asarray(np.concatenate([x[at]] * times, case.batch or 0)) for x in case.typed("float32")]


@each([case for case in CASES if case.batch is not None and case.independent])
def test_an_example_has_the_same_bits_alone_and_among_others(case: Case) -> None:
    layer = case.make()
    axis = case.batch or 0
    count = case.inputs[0].shape[axis]
    with fb.no_grad():
        whole = [y.numpy() for y in case.run(layer, *_rows(case, 0, count))]
        many = [y.numpy() for y in case.run(layer, *_rows(case, 0, count, times=5))]
        for i in {0, count - 1}:
            alone = [y.numpy() for y in case.run(layer, *_rows(case, i, i + 1))]
            for a, b, c in zip(alone, whole, many, strict=True):
                assert a.shape[axis] == 1
                assert a.tobytes() == np.take(b, [i], axis).tobytes(), f"example {i} of {count}"
                assert a.tobytes() == np.take(c, [3 * count + i], axis).tobytes(), (
                    f"example {i} of {5 * count}"
                )


@each([case for case in CASES if case.batch is not None and case.traceable])
def test_batches_of_symbolic_size(case: Case) -> None:
    layer = case.make()
    dim = Dim.named("n")
    axis = case.batch or 0
    inputs = case.tensors()
    places = {i: {axis: dim} for i in range(len(inputs))}
    symbolic = fb.trace(lambda *xs: case.run(layer, *xs), *inputs, dims=places).graph.output_types
    known = fb.trace(lambda *xs: case.run(layer, *xs), *inputs).graph.output_types
    count = case.inputs[0].shape[axis]
    for a, b in zip(symbolic, known, strict=True):
        assert isinstance(a.shape[axis], Dim), f"the size of the batch is {a.shape[axis]}"
        assert tuple([s.evaluate({"n": count}) if isinstance(s, Dim) else s for s in a.shape]) == b.shape


@each(CASES)
def test_state_and_copies(case: Case) -> None:
    with fb.use_executor("reference"), fb.no_grad():
        layer = case.make()
        fb.random.seed(99)
        other = getattr(nn, case.layer)(*case.args, **case.options)
        other.load_state_dict(layer.state_dict())
        duplicates = [other.train(case.training), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
        inputs = case.tensors()
        wanted = [y.numpy().tobytes() for y in case.run(layer, *inputs)]
        after = {name: t.numpy().tobytes() for name, t in layer.state_dict().items()}
        for duplicate in duplicates:
            assert repr(duplicate) == repr(layer) and duplicate.training is case.training
            assert [y.numpy().tobytes() for y in case.run(duplicate, *inputs)] == wanted
            assert {name: t.numpy().tobytes() for name, t in duplicate.state_dict().items()} == after


@each([case for case in CASES if case.strict])
def test_what_is_no_tensor(case: Case) -> None:
    layer = case.make()
    with pytest.raises(
        OperandError, match=r"(?s): a tensor is needed, not str.*\n  at .*\n  in layer"
    ) as caught:
        case.run(layer, "x", *case.tensors()[1:])
    assert str(caught.value).startswith(f"{case.layer}: ")


@each([case for case in CASES if case.wrong or case.refused])
def test_errors(case: Case) -> None:
    layer = case.make()
    for arrays, error, message in case.wrong:
        inputs = [fb.asarray(a.astype(np.float32) if a.dtype == np.float64 else a) for a in arrays]
        with pytest.raises(error, match=message) as caught:
            case.run(layer, *inputs)[0].numpy()
        assert f"in layer {case.layer}" in str(caught.value) and "at " in str(caught.value)
    for args, options, error, message in case.refused:
        with pytest.raises(error, match=message):
            getattr(nn, case.layer)(*args, **options)


THEIRS = [
    pytest.param(case, dtype, id=f"{case.id}-{dtype}")
    for case in CASES
    for dtype in ("float64", "float32")
    if case.theirs is not None and dtype in case.dtypes
]


@pytest.mark.torch
@pytest.mark.parametrize(("case", "dtype"), THEIRS)
def test_beside_pytorch(case: Case, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    limit = case.double if dtype == "float64" else case.single
    ours = case.make(dtype)
    theirs = case.make_theirs(torch, ours, dtype)
    x = case.tensors(dtype, requires_grad=True)
    tx = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in case.typed(dtype)]
    y, ty = case.run(ours, *x), case.run(theirs, *tx)
    assert len(y) == len(ty)
    for a, b in zip(y, ty, strict=True):
        assert distance(a.numpy(), b.detach().numpy()) <= limit
    pairs = [(a, b) for a, b in zip(y, ty, strict=True) if b.requires_grad]
    if pairs:
        weights = [numbers(*a.shape, seed=1).astype(dtype) for a, _ in pairs]
        sum(
            (fb.sum(a * fb.asarray(w)) for (a, _), w in zip(pairs, weights, strict=True)), fb.asarray(0.0)
        ).backward()
        sum((b * torch.tensor(w)).sum() for (_, b), w in zip(pairs, weights, strict=True)).backward()
    named = dict(theirs.named_parameters())
    compared = [(name, p, named[name]) for name, p in ours.named_parameters()]
    compared += [(f"input {i}", a, b) for i, (a, b) in enumerate(zip(x, tx, strict=True))]
    for name, a, b in compared:
        if b.grad is None:
            assert a.grad is None or not np.any(a.grad.numpy()), name
        else:
            assert a.grad is not None, name
            assert distance(a.grad.numpy(), b.grad.numpy()) <= limit, name
    state = theirs.state_dict()
    for name, t in ours.state_dict().items():
        assert distance(t.numpy(), state[name].numpy()) <= limit, name
