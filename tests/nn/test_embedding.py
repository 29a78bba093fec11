"""Embeddings: padding, tables from elsewhere, and cosines at 0."""

from __future__ import annotations

import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError, ShapeError


def test_the_row_for_padding_is_not_trained() -> None:
    layer = nn.Embedding(4, 2, padding_idx=-1)
    assert layer.padding_idx == 3 and layer.weight.tolist()[3] == [0.0, 0.0]
    y = layer(fb.asarray([3, 1, 1]))
    fb.sum(y * y + y).backward()
    assert layer.weight.grad is not None
    rows = layer.weight.grad.tolist()
    assert rows[3] == rows[0] == [0.0, 0.0] and 0.0 not in rows[1]


def test_tables_from_elsewhere() -> None:
    table = fb.asarray([[1.0, 2.0], [3.0, 4.0]], dtype=fb.float64)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and frozen.weight.dtype is fb.float64
    assert nn.Embedding.from_pretrained(table, freeze=False, padding_idx=1).weight.requires_grad
    assert frozen(fb.asarray([1])).tolist() == [[3.0, 4.0]]
    assert nn.functional.embedding(fb.asarray([0]), table, padding_idx=-2).tolist() == [[1.0, 2.0]]
    with pytest.raises(ShapeError, match=r"Embedding\.from_pretrained: a table of shape \(rows, features\)"):
        nn.Embedding.from_pretrained(fb.ones(3))
    with pytest.raises(
        OperandError, match="embedding: padding_idx must be the index of one of 2 rows, not 2"
    ):
        nn.functional.embedding(fb.asarray([0]), table, padding_idx=2)


def test_a_vector_of_zeros_has_no_angle() -> None:
    x = fb.zeros((1, 3)).requires_grad_()
    y = nn.functional.cosine_similarity(x, fb.ones((1, 3)))
    fb.sum(y).backward()
    assert y.tolist() == [0.0]
    assert x.grad is not None and bool(fb.all(fb.isfinite(x.grad)))
