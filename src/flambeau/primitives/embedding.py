"""The builder of embeddings: rows of a table."""

from __future__ import annotations

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.elementwise import cast, eq, select
from flambeau.primitives.gather import gather, in_range
from flambeau.primitives.views import broadcast, require_float, shape_text


def embedding(indices: Var, weight: Var, padding: int | None, name: str) -> Var:
    """The rows of ``weight`` at ``indices``; no gradient flows to the row ``padding``."""
    if indices.dtype.kind not in ("int", "uint"):
        raise DTypeError(f"{name}: integers are needed as indices, not {indices.dtype}")
    require_float(name, weight)
    if weight.ndim != 2:
        raise ShapeError(
            f"{name}: a table of shape (rows, features) is needed, not {shape_text(weight.shape)}"
        )
    checked = cast(in_range(indices, weight.shape[0], f"{name}: an index"), int64)
    rows = gather(weight, (checked,))
    if padding is None:
        return rows
    hidden = broadcast(eq(checked, padding), rows.shape, range(indices.ndim))
    return select(hidden, stop_gradient(rows), rows)
