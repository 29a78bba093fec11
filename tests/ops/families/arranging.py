"""Shapes and places: what moves elements and does not compute."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

import numpy as np

import flambeau as fb
from tests.ops.families.case import Case, case, numbers

X, Y = numbers(3, 5), numbers(3, 5, seed=1)
CUBE, ROW, COLUMN = numbers(2, 3, 4), numbers(5), numbers(3, 1)
SQUARE = numbers(4, 4)

ONE = [
    case("reshape", lambda x: fb.reshape(x, (5, 3)), lambda t, x: t.reshape(x, (5, 3)), X),
    case("reshape", lambda x: x.reshape((4, -1)), lambda t, x: x.reshape(4, -1), CUBE, variant="-1"),
    case("flatten", fb.flatten, lambda t, x: t.flatten(x), CUBE),
    case("flatten", lambda x: fb.flatten(x, start_axis=1), lambda t, x: t.flatten(x, 1), CUBE, variant="start"),
    case("expand_dims", lambda x: fb.expand_dims(x, 1), lambda t, x: t.unsqueeze(x, 1), X),
    case("squeeze", lambda x: fb.squeeze(x, 1), lambda t, x: t.squeeze(x, 1), COLUMN),
    case("permute_dims", lambda x: fb.permute_dims(x, (2, 0, 1)), lambda t, x: t.permute(x, (2, 0, 1)), CUBE),
    case("moveaxis", lambda x: fb.moveaxis(x, 0, -1), lambda t, x: t.moveaxis(x, 0, -1), CUBE),
    case("moveaxis", lambda x: fb.moveaxis(x, (0, 1), (2, 0)), lambda t, x: t.moveaxis(x, (0, 1), (2, 0)), CUBE, variant="several"),
    case("fftshift", fb.fft.fftshift, lambda t, x: t.fft.fftshift(x), X),
    case("ifftshift", lambda x: fb.fft.ifftshift(x, axes=1), lambda t, x: t.fft.ifftshift(x, 1), X),
    case("x.T", lambda x: x.T, lambda t, x: t.t(x), X),
    case("matrix_transpose", fb.matrix_transpose, lambda t, x: x.mT, CUBE),
    case("matrix_transpose", lambda x: x.mT, lambda t, x: t.transpose(x, -1, -2), CUBE, variant="mT"),
    case("flip", lambda x: fb.flip(x, axis=1), lambda t, x: t.flip(x, (1,)), CUBE),
    case("flip", fb.flip, lambda t, x: t.flip(x, (0, 1)), X, variant="all"),
    case("roll", lambda x: fb.roll(x, 2, axis=1), lambda t, x: t.roll(x, 2, 1), X),
    case("roll", lambda x: fb.roll(x, (-1, 7), axis=(0, 2)), lambda t, x: t.roll(x, (-1, 7), (0, 2)), CUBE, variant="several"),
    case("roll", lambda x: fb.roll(x, 4), lambda t, x: t.roll(x, 4), X, variant="flat"),
    case("repeat", lambda x: fb.repeat(x, 3, axis=0), lambda t, x: t.repeat_interleave(x, 3, 0), X),
    case("repeat", lambda x: fb.repeat(x, 2), lambda t, x: t.repeat_interleave(x, 2), X, variant="flat"),
    case("repeat", lambda x, n: fb.repeat(x, n, axis=0), lambda t, x, n: t.repeat_interleave(x, n, 0), X, np.array([2, 0, 3]), variant="counts"),
    case("tile", lambda x: fb.tile(x, (2, 3)), lambda t, x: t.tile(x, (2, 3)), X),
    case("tile", lambda x: fb.tile(x, (2, 1, 2)), lambda t, x: t.tile(x, (2, 1, 2)), ROW, variant="more-axes"),
    case("broadcast_to", lambda x: fb.broadcast_to(x, (2, 3, 5)), lambda t, x: t.broadcast_to(x, (2, 3, 5)), X),
    case("broadcast_to", lambda x: fb.broadcast_to(x, (3, 4)), lambda t, x: t.broadcast_to(x, (3, 4)), COLUMN, variant="size-1"),
    case("pad", lambda x: fb.pad(x, ((1, 2), (0, 3)), value=1.5), lambda t, x: t.nn.functional.pad(x, (0, 3, 1, 2), value=1.5), X),
    case("pad", lambda x: fb.pad(x, 1), lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1)), X, variant="all"),
    case("pad", lambda x: fb.pad(x, ((-1, 0), (2, -2))), lambda t, x: t.nn.functional.pad(x, (2, -2, -1, 0)), X, variant="negative"),
    case("tril", fb.tril, lambda t, x: t.tril(x), SQUARE),
    case("tril", lambda x: fb.tril(x, k=1), lambda t, x: t.tril(x, 1), CUBE, variant="above"),
    case("triu", fb.triu, lambda t, x: t.triu(x), SQUARE),
    case("triu", lambda x: fb.triu(x, k=-1), lambda t, x: t.triu(x, -1), CUBE, variant="below"),
    case("diagonal", fb.linalg.diagonal, lambda t, x: t.diagonal(x, dim1=-2, dim2=-1), CUBE),
    case("diagonal", lambda x: fb.linalg.diagonal(x, offset=-1), lambda t, x: t.diagonal(x, -1), X, variant="below"),
    case("trace", fb.linalg.trace, lambda t, x: t.trace(x), X),
    case("astype", lambda x: fb.astype(fb.astype(x, fb.float32) * 2.0, fb.float64), lambda t, x: (x.to(t.float32) * 2.0).to(t.float64), np.float64(X) / 4, variant="there-and-back"),
    case("astype", lambda x: x.to("float64") * 3.0, lambda t, x: x.to(t.float64) * 3.0, X, variant="x.to"),
    case("detach", lambda x: x * x.detach(), lambda t, x: x * x.detach(), X),
]  # fmt: skip


def _listed(parts: Any) -> list[Any]:
    return list(parts)


SEVERAL = [
    case("concat", lambda x, y: fb.concat([x, y, x]), lambda t, x, y: t.cat([x, y, x]), X, X[:2]),
    case("concat", lambda x, y: fb.concat((x, y), axis=-1), lambda t, x, y: t.cat((x, y), -1), X, X[:, :2], variant="last"),
    case("concat", lambda x, y: fb.concat([x, y], axis=None), lambda t, x, y: t.cat([x.flatten(), y.flatten()]), X, ROW, variant="flat"),
    case("stack", lambda x, y: fb.stack([x, y]), lambda t, x, y: t.stack([x, y]), X, Y),
    case("stack", lambda x, y: fb.stack([x, y], axis=-1), lambda t, x, y: t.stack([x, y], -1), X, Y, variant="last"),
    case("unstack", lambda x: _listed(fb.unstack(x)), lambda t, x: _listed(t.unbind(x)), X),
    case("unstack", lambda x: fb.unstack(x, axis=1)[2], lambda t, x: t.unbind(x, 1)[2], CUBE, variant="one-used"),
    case("split", lambda x: _listed(fb.split(x, 2, axis=1)), lambda t, x: _listed(t.split(x, 2, 1)), X),
    case("split sizes", lambda x: _listed(fb.split(x, (1, 4), axis=-1)), lambda t, x: _listed(t.split_with_sizes(x, (1, 4), -1)), X),
    case("broadcast_arrays", lambda x, y: fb.broadcast_arrays(x, y), lambda t, x, y: _listed(t.broadcast_tensors(x, y)), COLUMN, ROW),
    case("meshgrid", lambda x, y: _listed(fb.meshgrid(x, y, indexing="ij")), lambda t, x, y: _listed(t.meshgrid(x, y, indexing="ij")), ROW, COLUMN[:, 0]),
    case("meshgrid", lambda x, y: _listed(fb.meshgrid(x, y)), lambda t, x, y: _listed(t.meshgrid(x, y, indexing="xy")), ROW, COLUMN[:, 0], variant="xy"),
    case("unstack", lambda x: sum(row * float(i) for i, row in enumerate(x)), lambda t, x: sum(row * float(i) for i, row in enumerate(x)), X, variant="iterate"),
    case("full of tensor", lambda x: fb.full((2, 3), fb.sum(x)), lambda t, x: t.sum(x).expand(2, 3), X),
    case("bool result", lambda x: fb.stack([x > 0, x < 1]), lambda t, x: t.stack([x > 0, x < 1]), X, differentiable=False),
]  # fmt: skip

CASES: list[Case] = [*ONE, *SEVERAL]
