"""RNN, LSTM and GRU: beside PyTorch, over lengths, counts, bits, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.compiler.jit import counters
from flambeau.counts import COUNTS
from flambeau.engine.flatten import flatten
from flambeau.engine.tape import THREAD
from flambeau.errors import DTypeError, OperandError, OutOfBoundsError, ShapeError
from flambeau.nn.utils import rnn
from flambeau.primitives.scan import scan_p
from flambeau.tensor import Tensor
from tests.nn.sequences import Beside

KINDS = ["RNN", "LSTM", "GRU"]
STEPS, BATCH, INPUTS, HIDDEN = 7, 3, 4, 5
LENGTHS = [2, 7, 4]

# layers, bidirectional, batch_first, first states, how lengths are given, other options
SETTINGS: list[Any] = [
    (1, False, False, False, "none", {}),
    (2, True, True, True, "none", {}),
    (2, True, False, True, "argument", {}),
    (2, False, True, False, "packed", {}),
    (1, True, False, False, "packed", {"bias": False}),
]


@pytest.mark.torch
@pytest.mark.parametrize(("layers", "both", "batch_first", "started", "given", "more"), SETTINGS)
@pytest.mark.parametrize("kind", [*KINDS, "relu", "projected"])
def test_beside_pytorch(
    rng: np.random.Generator,
    kind: str,
    layers: int,
    both: bool,
    batch_first: bool,
    started: bool,
    given: str,
    more: dict[str, Any],
) -> None:
    torch = pytest.importorskip("torch")
    name, own = {"relu": ("RNN", {"nonlinearity": "relu"}), "projected": ("LSTM", {"proj_size": 3})}.get(
        kind, (kind, {})
    )
    beside = Beside(torch, rng)
    ours, theirs = beside.layers(
        name, INPUTS, HIDDEN, layers, bidirectional=both, batch_first=batch_first, **own, **more
    )
    shape = (BATCH, STEPS, INPUTS) if batch_first else (STEPS, BATCH, INPUTS)
    x, tx = beside.normal(*shape)
    hx = their_hx = None
    if started:
        h, th = beside.normal(layers * (1 + both), BATCH, own.get("proj_size", HIDDEN))
        c, tc = beside.normal(layers * (1 + both), BATCH, HIDDEN)
        hx, their_hx = ((h, c), (th, tc)) if name == "LSTM" else (h, th)
    if given == "none":
        beside.same(ours(x, hx), theirs(tx, their_hx))
        return
    their_rnn = torch.nn.utils.rnn
    packed = their_rnn.pack_padded_sequence(tx, torch.tensor(LENGTHS), batch_first, enforce_sorted=False)
    their_y, their_end = theirs(packed, their_hx)
    their_y, _ = their_rnn.pad_packed_sequence(their_y, batch_first)
    if given == "argument":
        beside.same(ours(x, hx, lengths=fb.asarray(LENGTHS)), (their_y, their_end))
    else:
        y, end = ours(rnn.pack_padded_sequence(x, LENGTHS, batch_first, enforce_sorted=False), hx)
        beside.same((rnn.pad_packed_sequence(y, batch_first)[0], end), (their_y, their_end))


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("started", [False, True])
def test_a_single_sequence_beside_pytorch(rng: np.random.Generator, kind: str, started: bool) -> None:
    beside = Beside(pytest.importorskip("torch"), rng)
    ours, theirs = beside.layers(kind, INPUTS, HIDDEN, 2, batch_first=True)
    x, tx = beside.normal(STEPS, INPUTS)
    hx = their_hx = None
    if started:
        (h, th), (c, tc) = beside.normal(2, HIDDEN), beside.normal(2, HIDDEN)
        hx, their_hx = ((h, c), (th, tc)) if kind == "LSTM" else (h, th)
    beside.same(ours(x, hx), theirs(tx, their_hx))


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(BATCH,), ()])
def test_cells_beside_pytorch(rng: np.random.Generator, kind: str, bias: bool, lead: tuple[int, ...]) -> None:
    beside = Beside(pytest.importorskip("torch"), rng)
    ours, theirs = beside.layers(f"{kind}Cell", INPUTS, HIDDEN, bias=bias)
    x, tx = beside.normal(*lead, INPUTS)
    beside.same(ours(x), theirs(tx))
    (h, th), (c, tc) = beside.normal(*lead, HIDDEN), beside.normal(*lead, HIDDEN)
    hx, their_hx = ((h, c), (th, tc)) if kind == "LSTM" else (h, th)
    for p, tp in beside.pairs:
        p.grad = tp.grad = None
    beside.same(ours(x, hx), theirs(tx, their_hx))


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_are_those_of_pytorch(kind: str) -> None:
    fb.random.seed(0)
    for p in getattr(nn, kind)(8, 16, 2).parameters():
        values = p.numpy()
        assert np.abs(values).max() <= 0.25
        assert np.abs(values).max() > 0.2


# --- counts ----------------------------------------------------------------------------------


def recorded(layer: nn.Module, steps: int) -> tuple[int, int]:
    """How many nodes a forward and backward pass records, and how many of them are scans."""
    x = fb.asarray(np.ones((steps, 3, INPUTS), np.float32))
    with fb.no_grad():
        x.numpy()
    output, _ = layer(x, lengths=fb.asarray([steps, 2, 1]))
    fb.sum(output).backward()
    graph = flatten(THREAD.tape.state).graph
    found = (len(graph.nodes), sum(node.primitive is scan_p for node in graph.nodes))
    for p in layer.parameters():
        assert p.grad is not None
        p.grad.numpy()
    layer.zero_grad()
    return found


def worked() -> tuple[int, int, int]:
    """How many host calls, kernels and partitions there were so far."""
    return COUNTS.host_calls, counters.compiled + counters.from_disk, COUNTS.partitions


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_recorded_or_compiled_depends_on_the_number_of_steps(kind: str) -> None:
    layer = getattr(nn, kind)(INPUTS, HIDDEN, 2, bidirectional=True)
    counts, work = {}, {}
    for steps in (5, 50):
        before = worked()
        counts[steps] = recorded(layer, steps)
        work[steps] = [b - a for a, b in zip(before, worked(), strict=True)]
    assert counts[5] == counts[50]
    assert counts[5][1] == 2 * 4  # forward and backward, for two directions of two layers
    assert work[5][0] == work[50][0], "as many calls of the host"
    assert work[50][1:] == [0, 0], "another length compiles and partitions nothing"


def test_each_step_keeps_only_what_its_gradient_needs() -> None:
    layer = nn.LSTM(INPUTS, HIDDEN)
    layer(fb.ones((STEPS, BATCH, INPUTS)))
    graph = flatten(THREAD.tape.state).graph
    (node,) = [node for node in graph.nodes if node.primitive is scan_p]
    kept = [graph.types[v].shape for v in node.outputs[3:]]  # after h, c and the output
    assert (
        sum(int(np.prod(shape[2:])) for shape in kept) <= 7 * HIDDEN
    )  # 4 gates, tanh(c), and h and c before
    with fb.no_grad():
        layer(fb.ones((STEPS, BATCH, INPUTS)))
    graph = flatten(THREAD.tape.state).graph
    assert len([node for node in graph.nodes if node.primitive is scan_p][-1].outputs) == 3


def test_another_dropout_compiles_nothing() -> None:
    layer = nn.GRU(INPUTS, HIDDEN, 2, dropout=0.5)
    x = fb.ones((STEPS, BATCH, INPUTS))
    first = layer(x)[0].numpy()
    before = COUNTS.partitions, COUNTS.plans
    layer.dropout = 0.25
    second = layer(x)[0].numpy()
    assert (COUNTS.partitions, COUNTS.plans) == before
    assert not np.array_equal(first, second)
    layer.eval()
    assert np.array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())


def test_dropout_keeps_the_mean_and_lies_between_layers() -> None:
    fb.random.seed(3)
    layer = nn.RNN(1, 1, 2, nonlinearity="relu", bias=False, dropout=0.25)
    for p in layer.parameters():
        p._rebind(fb.ones(p.shape)._value) if "ih" in p.__class__.__name__ else None
    layer.load_state_dict(
        {
            name: fb.ones(p.shape) if "ih" in name else fb.zeros(p.shape)
            for name, p in layer.named_parameters()
        }
    )
    y = layer(fb.ones((1, 4000, 1)))[0].numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(y.mean() - 1) < 0.04
    layer.dropout = 1.0
    assert not layer(fb.ones((2, 3, 1)))[0].numpy().any()
    with pytest.warns(UserWarning, match=r"LSTM: dropout lies between layers, so dropout=0\.5 does nothing"):
        nn.LSTM(2, 3, dropout=0.5)


# --- lengths ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_influence(rng: np.random.Generator, kind: str) -> None:
    layer = getattr(nn, kind)(INPUTS, HIDDEN, 2, bidirectional=True)
    clean = rng.normal(size=(STEPS, BATCH, INPUTS)).astype(np.float32)
    dirty = clean.copy()
    for i, n in enumerate(LENGTHS):
        clean[n:, i], dirty[n:, i] = 0, np.nan
    results = []
    for array in (clean, dirty):
        layer.zero_grad()
        x = fb.asarray(array, requires_grad=True)
        y, end = layer(x, lengths=fb.asarray(LENGTHS))
        fb.sum(y * y).backward()
        ends = end if isinstance(end, tuple) else (end,)
        grads = [p.grad for p in (x, *layer.parameters())]
        results.append([v.numpy().tobytes() for v in (y, *ends, *grads)])
        for i, n in enumerate(LENGTHS):
            assert not y.numpy()[n:, i].any()
            assert not x.grad.numpy()[n:, i].any()
    assert results[0] == results[1]


def test_a_sequence_without_elements_keeps_its_first_state() -> None:
    h = fb.asarray(np.arange(2 * HIDDEN, dtype=np.float32).reshape(1, 2, HIDDEN))
    y, end = nn.GRU(INPUTS, HIDDEN)(fb.ones((3, 2, INPUTS)), h, lengths=fb.asarray([0, 3]))
    assert end.numpy()[0, 0].tolist() == h.numpy()[0, 0].tolist()
    assert not y.numpy()[:, 0].any()


def placed(layer: nn.Module, sequences: list[np.ndarray], at: int, alone: np.ndarray) -> list[np.ndarray]:
    """What a layer gives for ``alone`` in a padded batch, at place ``at`` among ``sequences``."""
    batch = [*sequences[:at], alone, *sequences[at:]]
    x = rnn.pad_sequence([fb.asarray(s) for s in batch])
    y, end = layer(x, lengths=fb.asarray([len(s) for s in batch]))
    ends = end if isinstance(end, tuple) else (end,)
    return [y.numpy()[: len(alone), at], *[e.numpy()[:, at] for e in ends]]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_has_the_same_bits_alone_and_padded_in_a_batch(
    rng: np.random.Generator, kind: str, both: bool
) -> None:
    layer = getattr(nn, kind)(19, 33, 2, bidirectional=both).eval()
    alone = rng.normal(size=(11, 19)).astype(np.float32)
    others = [rng.normal(size=(n, 19)).astype(np.float32) for n in (23, 1, 11, 5, 17, 2)]
    with fb.no_grad():
        y, end = layer(fb.asarray(alone))
        ends = end if isinstance(end, tuple) else (end,)
        wanted = [v.numpy().tobytes() for v in (y, *ends)]
        for at in range(len(others) + 1):
            found = placed(layer, others, at, alone)
            assert [v.tobytes() for v in found] == wanted, f"at place {at}"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_many_sizes(rng: np.random.Generator, kind: str, dtype: str) -> None:
    of = getattr(fb, dtype)
    for inputs, hidden, batch in ((1, 1, 2), (5, 8, 17), (40, 64, 33), (3, 130, 4)):
        layer = getattr(nn, kind)(inputs, hidden, 2, bidirectional=True, dtype=of).eval()
        sequences = [rng.normal(size=(n, inputs)).astype(of.numpy) for n in rng.integers(1, 30, batch)]
        with fb.no_grad():
            for at in {0, batch // 2, batch - 1}:
                y, end = layer(fb.asarray(sequences[at]))
                ends = end if isinstance(end, tuple) else (end,)
                others = sequences[:at] + sequences[at + 1 :]
                found = placed(layer, others, at, sequences[at])
                assert [v.tobytes() for v in found] == [v.numpy().tobytes() for v in (y, *ends)]


# --- packing ---------------------------------------------------------------------------------


@pytest.mark.torch
def test_padding_and_packing_beside_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.rnn
    beside = Beside(torch, rng)
    pairs = [beside.normal(n, 2) for n in (3, 5, 1)]
    ours_list, theirs_list = [a for a, _ in pairs], [b for _, b in pairs]
    for batch_first in (False, True):
        for side in ("left", "right"):
            made = rnn.pad_sequence(ours_list, batch_first, -1.5, side)
            wanted = theirs.pad_sequence(theirs_list, batch_first, -1.5, side)
            for p, tp in beside.pairs:
                p.grad = tp.grad = None
            beside.same(made, wanted)
        packed = rnn.pack_sequence(ours_list, enforce_sorted=False)
        their_packed = theirs.pack_sequence(theirs_list, enforce_sorted=False)
        again, lengths = rnn.pad_packed_sequence(packed, batch_first, 9.0, total_length=8)
        their_again, their_lengths = theirs.pad_packed_sequence(their_packed, batch_first, 9.0, 8)
        for p, tp in beside.pairs:
            p.grad = tp.grad = None
        beside.same(again, their_again)
        assert lengths.tolist() == their_lengths.tolist()


def test_packing_cuts_steps_that_no_sequence_has() -> None:
    packed = rnn.pack_padded_sequence(fb.ones((4, 9, 2)), fb.asarray([6, 3, 3, 1]), batch_first=True)
    assert packed.data.shape == (6, 4, 2)
    padded, lengths = rnn.pad_packed_sequence(packed)
    assert padded.numpy().sum() == 2 * 13
    assert lengths.dtype is fb.int64


def test_errors_of_packing() -> None:
    x = fb.ones((5, 2, 3))
    with pytest.raises(OperandError, match=r"lengths must lie from 1 to 5, not \[6, 1\]"):
        rnn.pack_padded_sequence(x, [6, 1])
    with pytest.raises(OperandError, match=r"lengths \[1, 5\] do not fall .* pass enforce_sorted=False"):
        rnn.pack_padded_sequence(x, [1, 5])
    with pytest.raises(ShapeError, match="3 lengths for 2 sequences"):
        rnn.pack_padded_sequence(x, [3, 2, 1])
    with pytest.raises(OperandError, match="lengths must be integers, one for each sequence"):
        rnn.pack_padded_sequence(x, [1.5, 1.0])
    with pytest.raises(ShapeError, match=r"pad_sequence: shapes \(5, 2, 3\) and \(5, 3\) differ elsewhere"):
        rnn.pad_sequence([x, fb.ones((5, 3))])
    with pytest.raises(OperandError, match="a PackedSequence is needed, not Tensor"):
        rnn.pad_packed_sequence(x)  # type: ignore[arg-type]
    packed = rnn.pack_padded_sequence(x, [5, 5])
    with pytest.raises(OperandError, match="total_length must be at least the longest length, 5, not 4"):
        rnn.pad_packed_sequence(packed, total_length=4)
    with pytest.raises(OperandError, match="GRU: a PackedSequence has lengths of its own"):
        nn.GRU(3, 4)(packed, lengths=packed.lengths)


def test_errors_of_layers() -> None:
    layer = nn.LSTM(3, 4)
    x = fb.ones((5, 2, 3))
    cases: list[tuple[Any, type[Exception], str]] = [
        ((x, fb.zeros((1, 2, 4))), OperandError, r"LSTM: the initial state must be a tuple \(h_0, c_0\)"),
        (
            (x, (fb.zeros((1, 2, 4)), fb.zeros((1, 3, 4)))),
            ShapeError,
            r"LSTM: c_0 must have shape \(1, 2, 4\), not \(1, 3, 4\)",
        ),
        ((x, None, fb.asarray([1, 2, 3])), ShapeError, r"lengths must have shape \(2,\)"),
        ((x, None, fb.asarray([1.0, 2.0])), DTypeError, "lengths must be int64, not float32"),
        ((fb.ones((5, 3)), None, fb.asarray([5])), OperandError, "lengths are for a batch of sequences"),
    ]
    for args, error, message in cases:
        with pytest.raises(error, match=f"(?s){message}.*test_recurrent.py.*in layer LSTM"):
            layer(*args)
    with pytest.raises(OutOfBoundsError, match="LSTM: length: 6 is not in the range from 0 to 5"):
        layer(x, lengths=fb.asarray([6, 1]))[0].numpy()


# --- transformations -------------------------------------------------------------------------


def test_inside_compile_and_second_derivatives(rng: np.random.Generator) -> None:
    layer = nn.GRU(2, 3, dtype=fb.float64)

    def loss(x: Tensor) -> Tensor:
        return fb.sum(layer(x, lengths=fb.asarray([3, 1]))[0] ** 2)

    x = fb.asarray(rng.normal(size=(3, 2, 2)))
    compiled = fb.compile(loss)
    for _ in range(3):
        assert compiled(x).item() == loss(x).item()
    assert fb.gradcheck(fb.grad(loss), (x,), atol=1e-6)
