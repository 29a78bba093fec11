"""Transformers: beside PyTorch, copies and initial values, bits, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError, ShapeError
from flambeau.nn.functional import gelu
from tests.nn.sequences import Beside

D, HEADS, WIDTH = 8, 2, 12
N, S, T = 3, 5, 4

LAYERS: list[dict[str, Any]] = [
    {},
    {"norm_first": True, "activation": "gelu"},
    {"batch_first": True, "bias": False, "layer_norm_eps": 0.1},
]


def padding(rng: np.random.Generator, length: int) -> np.ndarray:
    """True for keys that are padding; the first one never is."""
    mask = rng.random((N, length)) > 0.6
    mask[:, 0] = False
    return mask


def causal(length: int) -> np.ndarray:
    """True for keys that are later than the query."""
    return np.triu(np.ones((length, length), bool), 1)


def shape(options: dict[str, Any], length: int) -> tuple[int, ...]:
    return (N, length, D) if options.get("batch_first") else (length, N, D)


@pytest.mark.torch
@pytest.mark.parametrize("options", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_encoder_layer_beside_pytorch(
    rng: np.random.Generator, options: dict[str, Any], training: bool
) -> None:
    beside = Beside(pytest.importorskip("torch"), rng)
    dropout = 0.0 if training else 0.3
    ours, theirs = beside.layers("TransformerEncoderLayer", D, HEADS, WIDTH, dropout, **options)
    ours.train(training)
    theirs.train(training)
    x, tx = beside.normal(*shape(options, S))
    (mask, their_mask), (pad, their_pad) = beside.constant(causal(S)), beside.constant(padding(rng, S))
    beside.same(ours(x, mask, pad), theirs(tx, their_mask, their_pad))


@pytest.mark.torch
@pytest.mark.parametrize("options", LAYERS)
def test_decoder_layer_beside_pytorch(rng: np.random.Generator, options: dict[str, Any]) -> None:
    beside = Beside(pytest.importorskip("torch"), rng)
    ours, theirs = beside.layers("TransformerDecoderLayer", D, HEADS, WIDTH, 0.0, **options)
    (x, tx), (m, tm) = beside.normal(*shape(options, T)), beside.normal(*shape(options, S))
    seen = rng.random((T, S)) > 0.7
    seen[:, 0] = False
    masks = [causal(T), seen, padding(rng, T), padding(rng, S)]
    pairs = [beside.constant(mask) for mask in masks]
    beside.same(ours(x, m, *[a for a, _ in pairs]), theirs(tx, tm, *[b for _, b in pairs]))


@pytest.mark.torch
@pytest.mark.parametrize("norm", [True, False])
def test_encoder_beside_pytorch(rng: np.random.Generator, norm: bool) -> None:
    torch = pytest.importorskip("torch")
    beside = Beside(torch, rng)
    layer, their_layer = (
        nn.TransformerEncoderLayer(D, HEADS, WIDTH, 0.0, gelu, dtype=fb.float64),
        torch.nn.TransformerEncoderLayer(D, HEADS, WIDTH, 0.0, "gelu", dtype=torch.float64),
    )
    ours, theirs = beside.loaded(
        nn.TransformerEncoder(layer, 2, nn.LayerNorm(D, dtype=fb.float64) if norm else None),
        torch.nn.TransformerEncoder(
            their_layer,
            2,
            torch.nn.LayerNorm(D, dtype=torch.float64) if norm else None,
            enable_nested_tensor=False,
        ),
    )
    x, tx = beside.normal(S, D)
    mask, their_mask = beside.constant(np.where(causal(S), -np.inf, 0.0))
    beside.same(ours(x, mask, is_causal=True), theirs(tx, their_mask, is_causal=True))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("options", LAYERS)
def test_transformer_beside_pytorch(rng: np.random.Generator, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    beside = Beside(torch, rng)
    own = {"dropout": 0.0, **options}
    ours, theirs = beside.layers("Transformer", D, HEADS, 2, 2, WIDTH, **own)
    (x, tx), (y, ty) = beside.normal(*shape(options, S)), beside.normal(*shape(options, T))
    mask = nn.Transformer.generate_square_subsequent_mask(T, dtype=fb.float64)
    their_mask = torch.nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64)
    assert mask.numpy().tobytes() == their_mask.numpy().tobytes()
    (pad, _), (_, their_pad) = [beside.constant(padding(np.random.default_rng(1), S)) for _ in range(2)]
    beside.same(
        ours(x, y, tgt_mask=mask, src_key_padding_mask=pad, memory_key_padding_mask=pad),
        theirs(
            tx, ty, tgt_mask=their_mask, src_key_padding_mask=their_pad, memory_key_padding_mask=their_pad
        ),
    )


def test_copies_are_copies_and_initial_values_those_of_pytorch() -> None:
    fb.random.seed(0)
    layer = nn.TransformerEncoderLayer(D, HEADS, WIDTH)
    stack = nn.TransformerEncoder(layer, 3)
    first, second = stack.layers[0], stack.layers[1]
    assert first.linear1.weight is not second.linear1.weight
    assert first.linear1.weight.tolist() == second.linear1.weight.tolist() == layer.linear1.weight.tolist()
    assert len(list(stack.parameters())) == 3 * len(list(layer.parameters()))
    model = nn.Transformer(D, HEADS, 2, 1, 64)
    first, second = model.encoder.layers[0], model.encoder.layers[1]
    assert first.linear1.weight.tolist() != second.linear1.weight.tolist()
    bound = math.sqrt(6 / (D + 64))
    assert 0.95 * bound < np.abs(first.linear1.weight.numpy()).max() <= bound


def test_an_untrained_stack_trains() -> None:
    fb.random.seed(1)
    model = nn.Transformer(D, HEADS, 1, 1, WIDTH, batch_first=True)
    rule = fb.optim.Adam(model.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    x, y = (fb.asarray(rng.normal(size=(4, n, D)).astype(np.float32)) for n in (S, T))
    losses = []
    for _ in range(12):
        rule.zero_grad()
        loss = fb.mean((model(x, y, tgt_is_causal=True) - y) ** 2)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_sequence_has_the_same_bits_alone_and_padded_in_a_batch(rng: np.random.Generator) -> None:
    model = nn.Transformer(24, 3, 2, 2, 40, batch_first=True).eval()
    x, y = (rng.normal(size=(1, n, 24)).astype(np.float32) for n in (9, 6))
    with fb.no_grad():
        alone = model(fb.asarray(x), fb.asarray(y), tgt_is_causal=True).numpy()[0]
        for at in range(3):
            xs, ys = (rng.normal(size=(3, n, 24)).astype(np.float32) for n in (37, 11))
            xs[at, :9], ys[at, :6] = x[0], y[0]
            hidden = np.zeros((3, 37), bool)
            hidden[at, 9:] = True
            pad = fb.asarray(hidden)
            found = model(
                fb.asarray(xs),
                fb.asarray(ys),
                src_key_padding_mask=pad,
                memory_key_padding_mask=pad,
                tgt_is_causal=True,
            )
            assert found.numpy()[at, :6].tobytes() == alone.tobytes()


def test_errors() -> None:
    with pytest.raises(OperandError, match="activation must be 'relu', 'gelu' or a function, not 'elu'"):
        nn.TransformerEncoderLayer(D, HEADS, activation="elu")
    with pytest.raises(OperandError, match="TransformerEncoder: a layer is needed, not 3"):
        nn.TransformerEncoder(3, 2)  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="num_layers must be how many layers there are, not -1"):
        nn.TransformerDecoder(nn.TransformerDecoderLayer(D, HEADS, WIDTH), -1)
    model = nn.Transformer(D, HEADS, 1, 1, WIDTH)
    with pytest.raises(ShapeError, match=r"(?s)Transformer: tgt must have shape .*, not \(4, 3, 7\).*at "):
        model(fb.ones((S, N, D)), fb.ones((T, N, 7)))
