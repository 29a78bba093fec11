"""Tensors that count: ranges, grids, identity matrices and triangles."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from flambeau.devices import Device
from flambeau.dtypes import DType, complex64, complex128, default_float, default_int, float64, int64, uint64
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.dims import Dim
from flambeau.graph.types import Size
from flambeau.ops.record import dtype_or_none, number, on, record_all, refuse, to_dtype, value_of
from flambeau.primitives import arranging, array_api
from flambeau.primitives.elementwise import add, cast, div, eq, floor, ge, is_finite, le, mul, select, sub
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import iota, shape_text, zeros_like
from flambeau.tensor import Tensor

Place = Device | str | None


def _arange(start: Var, step: Var, n: Size, dtype: DType) -> Var:
    counted = cast(iota((n,), 0, int64), start.dtype)
    return cast(add(mul(counted, step), start), dtype)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Place = None,
) -> Tensor:
    """Numbers from ``start`` (0 if only one is given) up to and without ``stop``, in steps of ``step``.

    int64 if all three are integers, else float32, unless ``dtype`` is given.

    >>> import flambeau as fb
    >>> fb.arange(5), fb.arange(1.0, 2.0, 0.25)
    (tensor([0, 1, 2, 3, 4]), tensor([1.  , 1.25, 1.5 , 1.75]))
    """
    on(device)
    if stop is None:
        start, stop = 0, start
    for x in (start, stop, step):
        real = hasattr(x, "__index__") or hasattr(x, "__float__") or isinstance(x, Dim)
        if isinstance(x, bool) or not real:
            refuse(OperandError(f"arange: real numbers are needed, not {x!r}"))
    whole = all(hasattr(x, "__index__") or isinstance(x, Dim) for x in (start, stop, step))
    target = dtype_or_none(dtype) or (default_int if whole else default_float)
    if step == 0:
        refuse(OperandError("arange: the step must not be 0"))
    n = _range_length(start, stop, step, whole)
    if whole:
        inner, wrap = (uint64, 1 << 64) if target is uint64 else (int64, None)  # of uint64 modulo 2**64
        ends = [int(x) if wrap is None else int(x) % wrap for x in (start, step)]
        values = [number(x, inner, "arange") for x in ends]
    else:
        values = [number(float(x), float64, "arange") for x in (start, step)]
    return Tensor(THREAD.tape.record(_arange, (n, target), values))


def _range_length(start: Any, stop: Any, step: Any, whole: bool) -> Any:
    if isinstance(stop, Dim) or isinstance(start, Dim):
        if step != 1:
            refuse(OperandError("arange: between symbolic sizes only steps of 1 can be counted"))
        return stop - start
    if whole:
        return len(range(int(start), int(stop), int(step)))
    return max(0, math.ceil((float(stop) - float(start)) / float(step)))


def _linspace(start: Var, stop: Var, n: int, dtype: DType, endpoint: bool) -> Var:
    counted = iota((n,), 0, int64)
    places = cast(counted, start.dtype)
    gaps = size_value(max(n - 1 if endpoint else n, 1), start.dtype)
    step = div(sub(stop, start), gaps)
    share = div(places, gaps)
    # the ends may differ by more than the dtype can hold
    apart = add(mul(start, sub(1, share)), mul(stop, share))
    y = select(is_finite(step), add(mul(places, step), start), apart)
    if endpoint and n > 1:
        y = select(eq(counted, n - 1), stop, y)
    y = select(eq(counted, 0), start, y)
    return cast(floor(y) if dtype.kind in ("int", "uint") else y, dtype)


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Place = None,
    endpoint: bool = True,
) -> Tensor:
    """``num`` numbers at equal distances from ``start`` to ``stop``, which is left out without ``endpoint``.

    float32 unless ``dtype`` is given, complex64 between complex numbers.

    >>> import flambeau as fb
    >>> fb.linspace(0.0, 1.0, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    on(device)
    complex_ends = isinstance(start, complex) or isinstance(stop, complex)
    target = to_dtype(dtype) if dtype is not None else complex64 if complex_ends else default_float
    inner = complex128 if complex_ends or target.kind == "complex" else float64
    if not isinstance(num, (int, np.integer)) or isinstance(num, bool) or num < 0:
        refuse(ShapeError(f"linspace: {num!r} is no number of elements"))
    values = [number(x, inner, "linspace") for x in (start, stop)]
    return Tensor(THREAD.tape.record(_linspace, (int(num), target, endpoint), values))


def _eye(k: Var, rows: Any, columns: Any, dtype: DType) -> Var:
    shape = array_api.as_sizes((rows, columns), "eye")
    return cast(eq(sub(iota(shape, 1, int64), iota(shape, 0, int64)), k), dtype)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Place = None
) -> Tensor:
    """Ones on the ``k``-th diagonal of a matrix, zeros elsewhere.

    >>> import flambeau as fb
    >>> fb.eye(2, 3, k=1)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    on(device)
    target = default_float if dtype is None else to_dtype(dtype)
    columns = n_rows if n_cols is None else n_cols
    diagonal = max(-n_rows, min(k, columns))  # beyond the corners all diagonals are empty
    attrs = (n_rows, columns, target)
    return Tensor(THREAD.tape.record(_eye, attrs, (number(diagonal, int64, "eye"),)))


def _offsets(name: str, x: Var) -> Var:
    if x.ndim < 2:
        raise ShapeError(f"{name}: matrices are needed, not shape {shape_text(x.shape)}")
    return sub(iota(x.shape, x.ndim - 1, int64), iota(x.shape, x.ndim - 2, int64))


def _tril(x: Var, k: Var) -> Var:
    return select(le(_offsets("tril", x), k), x, zeros_like(x))


def _triu(x: Var, k: Var) -> Var:
    return select(ge(_offsets("triu", x), k), x, zeros_like(x))


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Matrices (the last two axes) with zeros above the ``k``-th diagonal.

    >>> import flambeau as fb
    >>> fb.tril(fb.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return Tensor(THREAD.tape.record(_tril, (), (value_of(x, "tril"), number(k, int64, "tril"))))


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Matrices (the last two axes) with zeros below the ``k``-th diagonal.

    >>> import flambeau as fb
    >>> fb.triu(fb.ones((2, 2)))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return Tensor(THREAD.tape.record(_triu, (), (value_of(x, "triu"), number(k, int64, "triu"))))


def _meshgrid(*operands: Any) -> tuple[Var, ...]:
    *tensors, indexing = operands
    return arranging.meshgrid(tensors, indexing)


def meshgrid(*arrays: Tensor, indexing: Literal["xy", "ij"] = "xy") -> list[Tensor]:
    """Coordinate vectors spread over the grid they span, one tensor for each.

    With "ij" the axes come in the order of the vectors, with "xy" the first two are exchanged.

    >>> import flambeau as fb
    >>> x, y = fb.meshgrid(fb.arange(3), fb.arange(2))
    >>> x, y
    (tensor([[0, 1, 2],
            [0, 1, 2]]), tensor([[0, 0, 0],
            [1, 1, 1]]))
    """
    return list(record_all(_meshgrid, (indexing,), *arrays)) if arrays else []
