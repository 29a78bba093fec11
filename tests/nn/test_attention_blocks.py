"""Attention over long sequences: never a whole matrix of scores, with the bits of attention in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, random
from flambeau.counts import COUNTS
from flambeau.dtypes import float64
from flambeau.engine.tape import THREAD
from flambeau.nn.functional import scaled_dot_product_attention
from flambeau.primitives import attention_blocks
from flambeau.primitives.attention import Masks, attend, positions
from flambeau.runtime import buffers, threads
from tests.nn.sequences import Beside

Shape = tuple[int, ...]


@pytest.fixture
def _threads() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


# --- beside PyTorch --------------------------------------------------------------------------

# query, key, options, shape and kind of the mask
FUNCTION: list[Any] = [
    ((300, 5), (450, 5), {}, None, ""),
    ((2, 300, 5), (1, 450, 5), {"scale": 0.3}, (300, 450), "bool"),
    ((2, 2, 270, 5), (2, 2, 500, 5), {}, (2, 1, 270, 500), "one row has no keys"),
    ((2, 2, 270, 5), (2, 2, 500, 5), {}, (2, 1, 1, 500), "float"),
    ((2, 1, 384, 5), (2, 1, 384, 5), {"is_causal": True}, None, ""),
    ((1, 2, 700, 5), (1, 2, 200, 5), {"is_causal": True}, None, ""),
    ((1, 2, 150, 5), (1, 2, 900, 5), {"is_causal": True}, None, ""),
    ((2, 4, 300, 5), (2, 2, 450, 5), {"enable_gqa": True}, (2, 4, 300, 450), "bool"),
    ((1, 4, 400, 5), (1, 2, 400, 5), {"enable_gqa": True, "is_causal": True}, None, ""),
]


@pytest.mark.torch
@pytest.mark.parametrize(("queries", "keys", "options", "masked", "kind"), FUNCTION)
def test_function_beside_pytorch(
    rng: np.random.Generator, queries: Shape, keys: Shape, options: dict[str, Any], masked: Any, kind: str
) -> None:
    torch = pytest.importorskip("torch")
    beside = Beside(torch, rng)
    three = [beside.normal(*queries), beside.normal(*keys), beside.normal(*keys[:-1], 3)]
    mask: Any = (None, None)
    if kind == "float":
        mask = beside.normal(*masked)
    elif kind:
        seen = rng.random(masked) > 0.4
        seen[..., 0] = True
        seen[..., 1, :] &= kind == "bool"
        mask = beside.constant(seen)
    ours = scaled_dot_product_attention(*[a for a, _ in three], mask[0], **options)
    theirs = torch.nn.functional.scaled_dot_product_attention(*[b for _, b in three], mask[1], **options)
    beside.same(ours, theirs)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["padding", "both", "float", "causal", "added keys"])
def test_layer_beside_pytorch(rng: np.random.Generator, kind: str) -> None:
    torch = pytest.importorskip("torch")
    beside = Beside(torch, rng)
    added = {"add_bias_kv": True, "add_zero_attn": True} if kind == "added keys" else {}
    ours, theirs = beside.layers("MultiheadAttention", 6, 2, batch_first=True, **added)
    length = 370
    x, tx = beside.normal(2, length, 6)
    masks = {}
    if kind in ("padding", "both", "float"):
        masks["key_padding_mask"] = np.arange(length) > np.array([[300], [369]])
    if kind in ("both", "float"):
        masks["attn_mask"] = rng.random((length, length)) > 0.6
        masks["attn_mask"][:, 0] = False
    if kind == "float":
        masks = {name: np.where(m, -np.inf, rng.normal(size=m.shape)) for name, m in masks.items()}
    pairs = {name: beside.constant(m) for name, m in masks.items()}
    given = {name: a for name, (a, _) in pairs.items()}
    their = {name: b for name, (_, b) in pairs.items()}
    if kind in ("causal", "added keys"):
        given["is_causal"] = True
        their["attn_mask"] = torch.ones(length, length, dtype=torch.bool).triu(1)
    made = ours(x, x, x, need_weights=False, **given)[0]
    beside.same(made, theirs(tx, tx, tx, need_weights=False, **their)[0])


# --- beside attention in one piece -----------------------------------------------------------


def _built(build: Callable[..., Any], q: Any, k: Any, v: Any, given: Any) -> Any:
    *operands, (causal, allowed, added) = given
    it = iter(operands)
    masks = Masks(
        tuple([next(it) for _ in range(allowed)]),
        tuple([next(it) for _ in range(added)]),
        causal=positions(q.shape[-2], k.shape[-2]) if causal else None,
    )
    return build(q, k, v, masks, 0.3, list(it))


def _whole(q: Any, k: Any, v: Any, *given: Any) -> Any:
    return _built(attend, q, k, v, given)[0]


def _blocks(q: Any, k: Any, v: Any, *given: Any) -> Any:
    return _built(attention_blocks.by_blocks, q, k, v, given)


def _recorded(builder: Any, kinds: tuple[bool, int, int], tensors: Any, drop: Any = ()) -> fb.Tensor:
    return fb.Tensor(THREAD.tape.record(builder, (kinds,), [*[x._value for x in tensors], *drop]))


# query, key, value, shapes of a bool and of an added mask, causal, dropout
SAME: list[Any] = [
    ((200, 16), (150, 16), (150, 8), None, None, False, False),
    ((2, 3, 200, 16), (1, 3, 150, 16), (1, 3, 150, 8), (2, 1, 200, 150), (1, 150), False, False),
    ((2, 3, 256, 16), (2, 3, 256, 16), (2, 3, 256, 8), None, None, True, False),
    ((2, 3, 200, 16), (2, 3, 200, 16), (2, 3, 200, 8), (2, 1, 1, 200), (3, 200, 200), True, True),
    ((2, 130, 16), (1, 555, 16), (3, 1, 555, 8), (130, 1), None, False, True),
]


@pytest.mark.parametrize(("queries", "keys", "values", "allowed", "added", "causal", "dropped"), SAME)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_of_results_and_gradients(
    rng: np.random.Generator, dtype: str, queries: Shape, keys: Shape, values: Shape,
    allowed: Shape | None, added: Shape | None, causal: bool, dropped: bool,
) -> None:  # fmt: skip
    three = [rng.normal(size=shape).astype(dtype) for shape in (queries, keys, values)]
    seen = [] if allowed is None else [fb.asarray(rng.random(allowed) > 0.3)]
    bias = [] if added is None else [rng.normal(size=added).astype(dtype)]
    drop = [*random.default_generator().operands(), (0.3, float64)] if dropped else []
    found = []
    weight: fb.Tensor | None = None
    for builder in (_whole, _blocks):
        q, k, v, *biases = [fb.asarray(x, requires_grad=True) for x in (*three, *bias)]
        y = _recorded(builder, (causal, len(seen), len(bias)), (q, k, v, *seen, *biases), drop)
        weight = weight if weight is not None else fb.asarray(rng.normal(size=y.shape).astype(dtype))
        fb.sum(y * weight).backward()
        found.append([y.numpy(), *[x.grad.numpy() for x in (q, k, v, *biases)]])
    for i, (a, b) in enumerate(zip(*found, strict=True)):
        if i == 0 or (i == 1 and len(values) <= len(queries)):  # the results, the gradient of queries
            assert a.tobytes() == b.tobytes()
        assert np.abs(a - b).max() <= 100 * np.finfo(dtype).eps * np.abs(a).max()


def test_derivatives_of_all_kinds(rng: np.random.Generator) -> None:
    three, tangents = ([fb.asarray(rng.normal(size=(2, 130, 4))) for _ in range(3)] for _ in range(2))

    def every(builder: Any) -> list[np.ndarray]:
        def attended(*xs: fb.Tensor) -> fb.Tensor:
            return _recorded(builder, (True, 0, 0), xs)

        def gradient(*xs: fb.Tensor) -> Any:
            return fb.grad(lambda *y: fb.sum(attended(*y) ** 2), argnums=(0, 1, 2))(*xs)

        def along(*xs: fb.Tensor) -> fb.Tensor:
            terms = [fb.sum(d * t) for d, t in zip(gradient(*xs), tangents, strict=True)]
            return terms[0] + terms[1] + terms[2]

        made = [
            fb.vmap(attended)(*three),
            *fb.vmap(gradient)(*three),
            *fb.jvp(attended, tuple(three), tuple(tangents)),
            *fb.grad(along, argnums=(0, 1, 2))(*three),
            *fb.jvp(gradient, tuple(three), tuple(tangents))[1],
        ]
        return [x.numpy() for x in made]

    for a, b in zip(every(_whole), every(_blocks), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)


# --- bits ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_threads")
def test_the_same_bits_on_any_number_of_threads(rng: np.random.Generator) -> None:
    three = [rng.normal(size=(1, 2, n, 32)).astype(np.float32) for n in (1000, 1024, 1024)]
    hidden = fb.asarray(rng.random((1, 1, 1, 1024)) > 0.2)
    found = []
    for count in (1, 2, 3):
        threads.set_num_threads(count)
        random.default_generator().seed(3)
        q, k, v = [fb.asarray(x, requires_grad=True) for x in three]
        y = scaled_dot_product_attention(q, k, v, hidden, dropout_p=0.1)
        y = y + scaled_dot_product_attention(q, k, v, is_causal=True)
        fb.sum(y * y).backward()
        found.append([x.numpy().tobytes() for x in (y, q.grad, k.grad, v.grad)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("length", [64, 100, 400])
def test_a_sequence_has_the_same_bits_alone_and_padded_in_a_batch(
    rng: np.random.Generator, length: int
) -> None:
    layer = nn.MultiheadAttention(24, 3, batch_first=True).eval()
    alone = rng.normal(size=(1, length, 24)).astype(np.float32)
    batch = rng.normal(size=(3, 450, 24)).astype(np.float32)
    batch[1, :length] = alone[0]
    hidden = np.zeros((3, 450), bool)
    hidden[1, length:] = True
    with fb.no_grad():
        for causal in (False, True):
            x, y = fb.asarray(alone), fb.asarray(batch)
            wanted = layer(x, x, x, need_weights=False, is_causal=causal)[0].numpy()[0]
            masks = {"key_padding_mask": fb.asarray(hidden), "is_causal": causal}
            found = layer(y, y, y, need_weights=False, **masks)[0].numpy()[1, :length]
            assert found.tobytes() == wanted.tobytes()


def test_a_query_without_keys_gets_zeros_and_gradients_of_zero() -> None:
    q, k, v = [fb.asarray(np.ones((2, 400, 4), np.float32), requires_grad=True) for _ in range(3)]
    seen = np.ones((2, 400, 1), bool)
    seen[0, 100:] = False
    y = scaled_dot_product_attention(q, k, v, fb.asarray(seen))
    assert not y.numpy()[0, 100:].any() and y.numpy()[0, :100].all()
    fb.sum(y).backward()
    for x in (q, k, v):
        assert np.isfinite(x.grad.numpy()).all()


# --- memory and counts -----------------------------------------------------------------------

LENGTH = 4096
MATRIX = LENGTH * LENGTH * 4  # bytes of one matrix of scores


@pytest.mark.parametrize("kind", ["plain", "causal", "padding", "dropout", "causal dropout"])
def test_memory_is_far_below_one_matrix_of_scores(rng: np.random.Generator, kind: str) -> None:
    three = [rng.normal(size=(1, 2, LENGTH, 16)).astype(np.float32) for _ in range(3)]
    q, k, v = [fb.asarray(x, requires_grad=True) for x in three]
    seen = fb.asarray(np.arange(LENGTH)[None, None, None] < 4000) if kind == "padding" else None
    options = {"is_causal": "causal" in kind, "dropout_p": 0.1 * ("dropout" in kind)}
    calls = COUNTS.host_calls

    def peak(step: Callable[[], Any]) -> int:
        before = buffers.stats().live_bytes
        buffers.reset_peak()
        step()
        return buffers.stats().peak_bytes - before

    def forward() -> None:
        with fb.no_grad():
            scaled_dot_product_attention(q, k, v, seen, **options).numpy()

    def both() -> None:
        fb.sum(scaled_dot_product_attention(q, k, v, seen, **options)).backward()
        assert q.grad is not None and np.isfinite(q.grad.numpy()).all()

    assert peak(forward) < MATRIX / 8
    assert peak(both) < MATRIX / 4
    assert COUNTS.host_calls == calls


def test_programs_have_no_host_calls(rng: np.random.Generator) -> None:
    x = fb.asarray(rng.normal(size=(1, 700, 16)).astype(np.float32), requires_grad=True)

    def step() -> None:
        fb.sum(scaled_dot_product_attention(x, x, x, dropout_p=0.1, is_causal=True)).backward()
        assert x.grad is not None
        x.grad.numpy()
        x.grad = None

    assert fb.explain(step).host_calls == 0


def test_other_lengths_compile_and_partition_nothing() -> None:
    def step(length: int) -> None:
        x = fb.asarray(np.ones((2, length, 8), np.float32), requires_grad=True)
        fb.sum(scaled_dot_product_attention(x, x, x, is_causal=True)).backward()
        assert x.grad is not None
        x.grad.numpy()

    step(1100)
    before = COUNTS.partitions, fb.stats().kernels_compiled, fb.stats().kernels_from_disk
    for length in (1200, 1500, 1999):
        step(length)
    assert (COUNTS.partitions, fb.stats().kernels_compiled, fb.stats().kernels_from_disk) == before


def test_short_sequences_are_attended_to_in_one_piece() -> None:
    x = fb.asarray(np.ones((2, 128, 8), np.float32))
    before = COUNTS.launches
    scaled_dot_product_attention(x, x, x, is_causal=True).numpy()
    assert COUNTS.launches - before < 15
