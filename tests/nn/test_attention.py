"""Attention: beside PyTorch, with masks of all kinds; bits, counts, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.counts import COUNTS
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.nn.functional import scaled_dot_product_attention
from tests.nn.sequences import Beside

# query, key, options, shape of the mask
FUNCTION: list[Any] = [
    ((4, 5), (6, 5), {}, (4, 6)),
    ((2, 3, 4, 5), (2, 3, 6, 5), {}, (4, 6)),
    ((2, 3, 4, 5), (1, 3, 6, 5), {"scale": 0.3}, (2, 1, 4, 6)),
    ((2, 3, 4, 5), (2, 3, 6, 5), {"is_causal": True}, None),
    ((2, 6, 4, 5), (2, 2, 7, 5), {"enable_gqa": True}, (2, 6, 4, 7)),
    ((2, 6, 4, 5), (2, 2, 7, 5), {"enable_gqa": True, "is_causal": True}, None),
]


@pytest.mark.torch
@pytest.mark.parametrize(("queries", "keys", "options", "masked"), FUNCTION)
def test_function_beside_pytorch(
    rng: np.random.Generator,
    queries: tuple[int, ...],
    keys: tuple[int, ...],
    options: dict[str, Any],
    masked: tuple[int, ...] | None,
) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.scaled_dot_product_attention
    kinds = ["none"] if masked is None else ["none", "bool", "one row has no keys", "float"]
    for kind in kinds:
        beside = Beside(torch, rng)
        three = [beside.normal(*queries), beside.normal(*keys), beside.normal(*keys[:-1], 3)]
        mask: Any = (None, None)
        if kind == "float":
            mask = beside.normal(*masked)
        elif kind != "none":
            seen = rng.random(masked) > 0.4
            seen[..., 0] = True
            seen[..., 1, :] &= kind == "bool"
            mask = beside.constant(seen)
        ours = scaled_dot_product_attention(*[a for a, _ in three], mask[0], **options)
        beside.same(ours, theirs(*[b for _, b in three], mask[1], **options))


# options of the layer; whether key and value are the query, each other, or three tensors
LAYERS: list[Any] = [
    ({}, 3),
    ({}, 2),
    ({"bias": False}, 2),
    ({"batch_first": True}, 1),
    ({"kdim": 3, "vdim": 5}, 1),
    ({"kdim": 3, "bias": False, "batch_first": True}, 1),
    ({"add_bias_kv": True}, 3),
    ({"add_bias_kv": True, "add_zero_attn": True, "vdim": 5, "batch_first": True}, 1),
]
MASKED = [(*LAYERS[1], kind) for kind in ("", "padding", "float")]
MASKED += [(*layer, kind) for kind in ("both", "heads") for layer in LAYERS]
E, HEADS, N, L, S = 8, 2, 3, 4, 6


def masks_of(rng: np.random.Generator, kind: str, queries: int, keys: int) -> dict[str, np.ndarray]:
    """Arguments of a layer; every query sees at least the first key."""
    made = {}
    if kind in ("padding", "both", "float"):
        made["key_padding_mask"] = rng.random((N, keys)) > 0.6
    if kind in ("both", "heads", "float"):
        made["attn_mask"] = (
            rng.random((N * HEADS, queries, keys) if kind == "heads" else (queries, keys)) > 0.6
        )
    for name, mask in made.items():
        mask[..., 0] = False
        if kind == "float":
            made[name] = np.where(mask, -np.inf, rng.normal(size=mask.shape))
    return made


@pytest.mark.torch
@pytest.mark.parametrize(("options", "shared", "kind"), MASKED)
def test_layer_beside_pytorch(
    rng: np.random.Generator, options: dict[str, Any], shared: int, kind: str
) -> None:
    torch = pytest.importorskip("torch")
    keys = L if shared == 3 else S
    for weights in ({"need_weights": False}, {"average_attn_weights": len(kind) % 2 == 0}):
        beside = Beside(torch, rng)
        ours, theirs = beside.layers("MultiheadAttention", E, HEADS, **options)

        def sequences(length: int, width: int) -> Any:
            return beside.normal(*((N, length) if options.get("batch_first") else (length, N)), width)  # noqa: B023

        query = sequences(L, E)
        key = query if shared == 3 else sequences(keys, options.get("kdim", E))
        value = key if shared >= 2 else sequences(keys, options.get("vdim", E))
        masks = {name: beside.constant(mask) for name, mask in masks_of(rng, kind, L, keys).items()}
        made = ours(query[0], key[0], value[0], **weights, **{k: a for k, (a, _) in masks.items()})
        beside.same(
            made, theirs(query[1], key[1], value[1], **weights, **{k: b for k, (_, b) in masks.items()})
        )


@pytest.mark.torch
def test_a_single_sequence_beside_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    beside = Beside(torch, rng)
    ours, theirs = beside.layers("MultiheadAttention", E, HEADS, add_zero_attn=True)
    (x, tx), (y, ty) = beside.normal(L, E), beside.normal(S, E)
    padding, their_padding = beside.constant(np.arange(S) > 3)
    made = ours(x, y, y, key_padding_mask=padding)
    beside.same(made, theirs(tx, ty, ty, key_padding_mask=their_padding))


@pytest.mark.torch
def test_causal_beside_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    beside = Beside(torch, rng)
    ours, theirs = beside.layers("MultiheadAttention", E, HEADS)
    x, tx = beside.normal(L, N, E)
    mask, their_mask = beside.constant(np.triu(np.ones((L, L), bool), 1))
    without = ours(x, x, x, is_causal=True)[0]
    hinted = ours(x, x, x, attn_mask=mask, is_causal=True)[0]
    assert without.numpy().tobytes() == hinted.numpy().tobytes()
    beside.same(hinted, theirs(tx, tx, tx, attn_mask=their_mask, is_causal=True, need_weights=False)[0])


def test_initial_values_are_those_of_pytorch() -> None:
    fb.random.seed(0)
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = math.sqrt(6 / (4 * 64))
    assert 0.97 * bound < np.abs(layer.in_proj_weight.numpy()).max() <= bound
    assert np.abs(layer.out_proj.weight.numpy()).max() <= 1 / 8
    assert layer.in_proj_bias is not None and not layer.in_proj_bias.numpy().any()
    assert layer.out_proj.bias is not None and not layer.out_proj.bias.numpy().any()
    assert layer.bias_k is not None and abs(layer.bias_k.numpy().std() - 1 / 8) < 0.04


@pytest.mark.parametrize("weights", [True, False])
def test_a_query_without_keys_gets_zeros_and_gradients_of_zero(weights: bool) -> None:
    layer = nn.MultiheadAttention(E, HEADS, batch_first=True)
    assert layer.out_proj.bias is not None
    x = fb.asarray(np.ones((2, 3, E), np.float32), requires_grad=True)
    hidden = fb.asarray(np.asarray([[True] * 3, [False, True, False]]))
    y, found = layer(x, x, x, key_padding_mask=hidden, need_weights=weights)
    assert y.numpy()[0].tolist() == [layer.out_proj.bias.tolist()] * 3
    if weights:
        assert not found.numpy()[0].any()
        assert found.numpy()[1].sum(-1).tolist() == [1, 1, 1]
    fb.sum(y).backward()
    for p in (x, *layer.parameters()):
        assert np.isfinite(p.grad.numpy()).all()
    assert not x.grad.numpy()[0].any()


def test_dropout(rng: np.random.Generator) -> None:
    fb.random.seed(5)
    q, v = fb.zeros((1, 50, 4)), fb.ones((1, 40, 1))
    k = fb.zeros((1, 40, 4))
    y = scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy()
    assert abs(y.mean() - 1) < 0.1 and y.std() > 0.05
    assert not scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy().any()
    layer = nn.MultiheadAttention(4, 2, dropout=0.5)
    x = fb.asarray(rng.normal(size=(5, 2, 4)).astype(np.float32))
    weights = layer(x, x, x)[1].numpy()
    before = COUNTS.partitions, COUNTS.plans
    layer.dropout = 0.25
    assert not np.array_equal(layer(x, x, x)[1].numpy(), weights)
    assert (COUNTS.partitions, COUNTS.plans) == before
    layer.eval()
    np.testing.assert_allclose(layer(x, x, x)[1].numpy().sum(-1), 1, rtol=1e-6)


# --- bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("length", "padded"), [(1, 2), (5, 33), (63, 64), (100, 301)])
def test_a_sequence_has_the_same_bits_alone_and_padded_in_a_batch(
    rng: np.random.Generator, dtype: str, length: int, padded: int
) -> None:
    layer = nn.MultiheadAttention(24, 3, batch_first=True, dtype=getattr(fb, dtype)).eval()
    alone = rng.normal(size=(1, length, 24)).astype(dtype)
    with fb.no_grad():
        x = fb.asarray(alone)
        wanted, weights = layer(x, x, x)
        causal, _ = layer(x, x, x, is_causal=True, need_weights=False)
        for at in range(3):
            batch = rng.normal(size=(3, padded, 24)).astype(dtype)
            batch[at, :length] = alone[0]
            hidden = np.zeros((3, padded), bool)
            hidden[at, length:] = True
            x = fb.asarray(batch)
            found, w = layer(x, x, x, key_padding_mask=fb.asarray(hidden))
            assert found.numpy()[at, :length].tobytes() == wanted.numpy()[0].tobytes()
            assert w.numpy()[at, :length, :length].tobytes() == weights.numpy()[0].tobytes()
            assert not w.numpy()[at, :, length:].any()
            found, _ = layer(x, x, x, key_padding_mask=fb.asarray(hidden), is_causal=True, need_weights=False)
            assert found.numpy()[at, :length].tobytes() == causal.numpy()[0].tobytes()


def test_more_keys_than_a_chunk_of_products(rng: np.random.Generator) -> None:
    layer = nn.MultiheadAttention(6, 2, batch_first=True).eval()
    x = rng.normal(size=(1, 4500, 6)).astype(np.float32)
    hidden = np.arange(4500)[None] >= 7
    with fb.no_grad():
        q, k = fb.asarray(x[:, :7]), fb.asarray(x)
        alone = layer(q, q, q, need_weights=False)[0]
        padded = layer(q, k, k, key_padding_mask=fb.asarray(hidden), need_weights=False)[0]
    assert padded.numpy().tobytes() == alone.numpy().tobytes()


@pytest.mark.parametrize("keys", [3, 31, 257])
def test_added_and_chosen_masks_give_the_same_bits(rng: np.random.Generator, keys: int) -> None:
    q, k = (fb.asarray(rng.normal(size=(2, 4, n, 8)).astype(np.float32)) for n in (5, keys))
    seen = rng.random((2, 1, 5, keys)) > 0.3
    chosen = scaled_dot_product_attention(q, k, k, fb.asarray(seen))
    added = scaled_dot_product_attention(q, k, k, fb.asarray(np.where(seen, 0.0, -np.inf).astype(np.float32)))
    assert chosen.numpy().tobytes() == added.numpy().tobytes()


def test_grouped_heads_have_the_bits_of_repeated_ones(rng: np.random.Generator) -> None:
    q = fb.asarray(rng.normal(size=(2, 6, 5, 8)).astype(np.float32))
    k, v = (fb.asarray(rng.normal(size=(2, 2, 7, 8)).astype(np.float32)) for _ in range(2))
    grouped = scaled_dot_product_attention(q, k, v, enable_gqa=True)
    repeated = scaled_dot_product_attention(q, fb.repeat(k, 3, axis=1), fb.repeat(v, 3, axis=1))
    assert grouped.numpy().tobytes() == repeated.numpy().tobytes()


# --- counts, transformations, errors ---------------------------------------------------------


def test_other_lengths_compile_and_partition_nothing() -> None:
    layer = nn.MultiheadAttention(E, HEADS, batch_first=True)

    def step(length: int) -> None:
        x = fb.ones((2, length, E))
        y, _ = layer(x, x, x, is_causal=True, need_weights=False)
        fb.sum(y).backward()
        for p in layer.parameters():
            assert p.grad is not None
            p.grad.numpy()
        layer.zero_grad()

    step(5)
    before = COUNTS.partitions, COUNTS.launches, COUNTS.host_calls
    step(5)
    launches, calls = COUNTS.launches - before[1], COUNTS.host_calls - before[2]
    step(50)
    assert COUNTS.partitions == before[0]
    assert COUNTS.launches - before[1] == 2 * launches
    assert COUNTS.host_calls - before[2] == 2 * calls


def test_derivatives_of_all_kinds(rng: np.random.Generator) -> None:
    q, k = (fb.asarray(rng.normal(size=(2, n, 3))) for n in (3, 4))

    def attended(q: fb.Tensor, k: fb.Tensor) -> fb.Tensor:
        return scaled_dot_product_attention(q, k, k, is_causal=True)

    assert fb.gradcheck(attended, (q, k), atol=1e-6)
    assert fb.gradcheck(fb.grad(lambda q, k: fb.sum(attended(q, k) ** 2)), (q, k), atol=1e-6)
    rows = fb.vmap(attended)(q, k)
    assert np.allclose(rows.numpy(), attended(q, k).numpy(), rtol=0, atol=1e-12)


def test_errors() -> None:
    x = fb.ones((2, 3, 4))
    function: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
        ((x, fb.ones((2, 3, 5)), x), {}, ShapeError, "queries have 4 features, keys 5"),
        ((x, x, fb.ones((2, 5, 4))), {}, ShapeError, "there are 3 keys and 5 values"),
        ((x, x, fb.ones(4)), {}, ShapeError, r"the value needs at least two axes .*, not shape \(4,\)"),
        ((x, x, fb.ones((2, 3, 4), dtype=fb.float64)), {}, DTypeError, "float32, float32 and float64"),
        ((x, x, x, fb.ones((3, 3), dtype=fb.bool)), {"is_causal": True}, OperandError, "exclude each other"),
        (
            (x, x, x, fb.ones((3, 3), dtype=fb.int64)),
            {},
            DTypeError,
            "a mask must be bool or float32, not int64",
        ),
        (
            (x, x, x, fb.ones((5, 3))),
            {},
            ShapeError,
            r"mask: shape \(5, 3\) cannot be broadcast to \(2, 3, 3\)",
        ),
        ((x, x, x), {"dropout_p": 1.5}, OperandError, "dropout is a probability from 0 to 1, not 1.5"),
        ((x, fb.ones((3, 3, 4)), x), {"enable_gqa": True}, ShapeError, "2 heads of queries cannot share 3"),
    ]
    for args, options, error, message in function:
        with pytest.raises(error, match=f"(?s)scaled_dot_product_attention: .*{message}.*test_attention.py"):
            scaled_dot_product_attention(*args, **options)
    layer = nn.MultiheadAttention(4, 2)
    mask = fb.ones((3, 3), dtype=fb.bool)
    calls: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
        ((x, x, fb.ones((2, 3, 5))), {}, ShapeError, r"the value must have shape .* not \(2, 3, 5\)"),
        ((x, fb.ones((5, 2, 4)), x), {}, ShapeError, "2 and 3|differ in their positions or batch"),
        ((x, fb.ones((5, 2, 4)), fb.ones((5, 2, 4))), {}, ShapeError, "3 sequences of queries, 2 of keys"),
        ((x, x, x), {"attn_mask": mask}, ShapeError, r"attn_mask must have shape \(2, 2\) or \(6, 2, 2\)"),
        ((x, x, x), {"key_padding_mask": mask}, ShapeError, r"key_padding_mask must have shape \(3, 2\)"),
        ((x.astype(fb.float64),) * 3, {}, DTypeError, "the input is float64, the weights are float32"),
    ]
    for args, options, error, message in calls:
        with pytest.raises(
            error, match=f"(?s)MultiheadAttention: .*({message}).*in layer MultiheadAttention"
        ):
            layer(*args, **options)
    with pytest.raises(OperandError, match="embed_dim=5 does not divide into num_heads=2"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(OperandError, match="num_heads must be a positive integer, not 0"):
        nn.MultiheadAttention(5, 0)
