"""The methods of tensors: what functions offer, written behind the tensor.

Each method records the builder that the function of the same name records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from flambeau.dtypes import DType, as_dtype
from flambeau.engine.convert import number_dtype
from flambeau.errors import DTypeError, FlambeauError, OperandError, located
from flambeau.graph.where import caller
from flambeau.primitives import advanced, array_api, contract, elementwise

if TYPE_CHECKING:
    from flambeau.tensor import Tensor

Axis = int | tuple[int, ...] | list[int] | None
Number = bool | int | float | complex


def hashed(axes: Any) -> Any:
    """Axes or sizes as part of a key: lists become tuples, and no number passes for an equal integer."""
    if axes is None or type(axes) is int:
        return axes
    if isinstance(axes, list):
        axes = tuple(axes)
    for x in axes if isinstance(axes, tuple) else (axes,):
        if isinstance(x, (bool, float, complex, np.floating, np.bool)):
            _refuse(OperandError(f"an axis or a size must be an integer, not {x!r}"))
    return axes


def _refuse(error: FlambeauError) -> NoReturn:
    raise located(error, str(caller())) from None


def _dtype(dtype: Any) -> DType | None:
    try:
        return None if dtype is None else as_dtype(dtype)
    except TypeError as error:
        _refuse(DTypeError(str(error)))


class Methods:
    """A mixin of ``Tensor``."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def dtype(self) -> DType: ...

        @property
        def ndim(self) -> int: ...

        def _record(self, fn: Any, attrs: tuple[Any, ...], *operands: Any) -> Any: ...

    def _beside(self, x: Any, name: str) -> Any:
        """A number or tensor as an operand beside this tensor."""
        if isinstance(x, Methods):
            return x
        try:
            return (x, number_dtype(x, self.dtype))
        except FlambeauError as error:
            _refuse(error)
        except TypeError:
            _refuse(OperandError(f"{name}: a tensor or a number is needed, not {type(x).__name__}"))

    # -- shape ---------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        """``fb.reshape``: the same elements under another shape, a tuple or sizes; one may be -1."""
        sizes = shape[0] if len(shape) == 1 else shape
        return self._record(array_api.reshape, (hashed(sizes),))  # type: ignore[no-any-return]

    def flatten(self, *, start_axis: int = 0, end_axis: int = -1) -> Tensor:
        """``fb.flatten``: several axes, or all, as one."""
        return self._record(array_api.flatten, (start_axis, end_axis))  # type: ignore[no-any-return]

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """``fb.expand_dims``: new axes of size 1."""
        return self._record(array_api.expand_dims, (hashed(axis),))  # type: ignore[no-any-return]

    def squeeze(self, axis: int | tuple[int, ...]) -> Tensor:
        """``fb.squeeze``: without axes of size 1."""
        return self._record(array_api.squeeze, (hashed(axis),))  # type: ignore[no-any-return]

    def permute_dims(self, axes: tuple[int, ...]) -> Tensor:
        """``fb.permute_dims``: the axes in another order."""
        return self._record(array_api.permute_dims, (hashed(axes),))  # type: ignore[no-any-return]

    def moveaxis(self, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Tensor:
        """``fb.moveaxis``: axes moved elsewhere."""
        return self._record(array_api.moveaxis, (hashed(source), hashed(destination)))  # type: ignore[no-any-return]

    def broadcast_to(self, shape: tuple[int, ...]) -> Tensor:
        """``fb.broadcast_to``: repeated to a shape."""
        return self._record(array_api.broadcast, (hashed(shape),))  # type: ignore[no-any-return]

    def flip(self, axis: Axis = None) -> Tensor:
        """``fb.flip``: the order along axes turned round."""
        return self._record(array_api.flip, (hashed(axis),))  # type: ignore[no-any-return]

    def repeat(self, repeats: int, axis: int | None = None) -> Tensor:
        """``fb.repeat``: each element several times in a row."""
        return self._record(array_api.repeat, (repeats, axis))  # type: ignore[no-any-return]

    @property
    def T(self) -> Tensor:
        """A matrix with rows and columns exchanged; raises ``ShapeError`` unless there are two axes."""
        return self._record(array_api.transposed, ())  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:
        """``fb.matrix_transpose``: the last two axes exchanged."""
        return self._record(array_api.matrix_transpose, ())  # type: ignore[no-any-return]

    # -- reductions ----------------------------------------------------------------------------

    def sum(self, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
        """``fb.sum``: the sum over ``axis``."""
        return self._record(array_api.sum, (hashed(axis), _dtype(dtype), keepdims))  # type: ignore[no-any-return]

    def prod(self, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
        """``fb.prod``: the product over ``axis``."""
        return self._record(array_api.prod, (hashed(axis), _dtype(dtype), keepdims))  # type: ignore[no-any-return]

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.mean``: the mean over ``axis``."""
        return self._record(array_api.mean, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.max``: the largest element over ``axis``."""
        return self._record(array_api.max, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.min``: the smallest element over ``axis``."""
        return self._record(array_api.min, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.any``: whether an element over ``axis`` is true."""
        return self._record(array_api.any, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.all``: whether all elements over ``axis`` are true."""
        return self._record(array_api.all, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def count_nonzero(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.count_nonzero``: how many elements over ``axis`` are not zero."""
        return self._record(array_api.count_nonzero, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """``fb.logsumexp``: ``log(sum(exp(x)))`` over ``axis``."""
        return self._record(array_api.logsumexp, (hashed(axis), keepdims))  # type: ignore[no-any-return]

    def var(self, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
        """``fb.var``: the variance over ``axis``, divisor ``n - correction``."""
        number = (correction, array_api.deviation_dtype(self.dtype))
        return self._record(array_api.var, (hashed(axis), keepdims), number)  # type: ignore[no-any-return]

    def std(self, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
        """``fb.std``: the standard deviation over ``axis``, divisor ``n - correction``."""
        number = (correction, array_api.deviation_dtype(self.dtype))
        return self._record(array_api.std, (hashed(axis), keepdims), number)  # type: ignore[no-any-return]

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """``fb.argmax``: where the largest element lies."""
        return self._record(array_api.argmax, (axis, keepdims))  # type: ignore[no-any-return]

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """``fb.argmin``: where the smallest element lies."""
        return self._record(array_api.argmin, (axis, keepdims))  # type: ignore[no-any-return]

    def cumulative_sum(
        self, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Tensor:
        """``fb.cumulative_sum``: running sums."""
        return self._record(array_api.cumulative_sum, (axis, _dtype(dtype), include_initial))  # type: ignore[no-any-return]

    def cumulative_prod(
        self, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Tensor:
        """``fb.cumulative_prod``: running products."""
        return self._record(array_api.cumulative_prod, (axis, _dtype(dtype), include_initial))  # type: ignore[no-any-return]

    def softmax(self, axis: int = -1) -> Tensor:
        """``fb.softmax``: exponentials that sum to 1 along ``axis``."""
        return self._record(array_api.softmax, (axis,))  # type: ignore[no-any-return]

    def log_softmax(self, axis: int = -1) -> Tensor:
        """``fb.log_softmax``: the logarithm of ``softmax``."""
        return self._record(array_api.log_softmax, (axis,))  # type: ignore[no-any-return]

    # -- order and selection -------------------------------------------------------------------

    def sort(self, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """``fb.sort``: the elements in order along ``axis``."""
        return self._record(array_api.sort, (axis, descending, stable))  # type: ignore[no-any-return]

    def argsort(self, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """``fb.argsort``: the indices that sort."""
        return self._record(array_api.argsort, (axis, descending, stable))  # type: ignore[no-any-return]

    def take(self, indices: Tensor, axis: int | None = None) -> Tensor:
        """``fb.take``: the slices at ``indices``."""
        return self._record(array_api.take, (axis,), indices)  # type: ignore[no-any-return]

    def take_along_axis(self, indices: Tensor, axis: int = -1) -> Tensor:
        """``fb.take_along_axis``: for each position the element at ``indices``."""
        return self._record(advanced.take_along_axis, (axis,), indices)  # type: ignore[no-any-return]

    # -- element by element --------------------------------------------------------------------

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """``fb.clip``: limited to [``min``, ``max``]."""
        if max is None:
            low = None if min is None else self._beside(min, "clip")
            return self if low is None else self._record(array_api.clip_low, (), low)  # type: ignore
        high = self._beside(max, "clip")
        if min is None:
            return self._record(array_api.clip_high, (), high)  # type: ignore[no-any-return]
        return self._record(array_api.clip, (), self._beside(min, "clip"), high)  # type: ignore[no-any-return]

    def matmul(self, other: Tensor) -> Tensor:
        """``fb.matmul``: the matrix product."""
        return self._record(contract.matmul, (), other)  # type: ignore[no-any-return]

    def abs(self) -> Tensor:
        """``fb.abs``: the absolute value."""
        return self._record(elementwise.abs, ())  # type: ignore[no-any-return]

    def exp(self) -> Tensor:
        """``fb.exp``: e to the power of each element."""
        return self._record(elementwise.exp, ())  # type: ignore[no-any-return]

    def expm1(self) -> Tensor:
        """``fb.expm1``: ``exp(x) - 1``."""
        return self._record(elementwise.expm1, ())  # type: ignore[no-any-return]

    def log(self) -> Tensor:
        """``fb.log``: the natural logarithm."""
        return self._record(elementwise.log, ())  # type: ignore[no-any-return]

    def log1p(self) -> Tensor:
        """``fb.log1p``: ``log(1 + x)``."""
        return self._record(elementwise.log1p, ())  # type: ignore[no-any-return]

    def log2(self) -> Tensor:
        """``fb.log2``: the logarithm to base 2."""
        return self._record(elementwise.log2, ())  # type: ignore[no-any-return]

    def sqrt(self) -> Tensor:
        """``fb.sqrt``: the square root."""
        return self._record(elementwise.sqrt, ())  # type: ignore[no-any-return]

    def rsqrt(self) -> Tensor:
        """``fb.rsqrt``: the reciprocal of the square root."""
        return self._record(elementwise.rsqrt, ())  # type: ignore[no-any-return]

    def square(self) -> Tensor:
        """``fb.square``: the square."""
        return self._record(elementwise.square, ())  # type: ignore[no-any-return]

    def reciprocal(self) -> Tensor:
        """``fb.reciprocal``: ``1 / x``."""
        return self._record(elementwise.reciprocal, ())  # type: ignore[no-any-return]

    def sign(self) -> Tensor:
        """``fb.sign``: the sign."""
        return self._record(elementwise.sign, ())  # type: ignore[no-any-return]

    def sin(self) -> Tensor:
        """``fb.sin``: the sine."""
        return self._record(elementwise.sin, ())  # type: ignore[no-any-return]

    def cos(self) -> Tensor:
        """``fb.cos``: the cosine."""
        return self._record(elementwise.cos, ())  # type: ignore[no-any-return]

    def tan(self) -> Tensor:
        """``fb.tan``: the tangent."""
        return self._record(elementwise.tan, ())  # type: ignore[no-any-return]

    def tanh(self) -> Tensor:
        """``fb.tanh``: the hyperbolic tangent."""
        return self._record(elementwise.tanh, ())  # type: ignore[no-any-return]

    def sigmoid(self) -> Tensor:
        """``fb.sigmoid``: the logistic function."""
        return self._record(elementwise.sigmoid, ())  # type: ignore[no-any-return]

    def relu(self) -> Tensor:
        """``fb.relu``: 0 instead of negative numbers."""
        return self._record(elementwise.relu, ())  # type: ignore[no-any-return]

    def erf(self) -> Tensor:
        """``fb.erf``: the error function."""
        return self._record(elementwise.erf, ())  # type: ignore[no-any-return]

    def floor(self) -> Tensor:
        """``fb.floor``: rounded down."""
        return self._record(elementwise.floor, ())  # type: ignore[no-any-return]

    def ceil(self) -> Tensor:
        """``fb.ceil``: rounded up."""
        return self._record(elementwise.ceil, ())  # type: ignore[no-any-return]

    def round(self) -> Tensor:
        """``fb.round``: rounded to the nearest whole number."""
        return self._record(elementwise.round, ())  # type: ignore[no-any-return]

    def trunc(self) -> Tensor:
        """``fb.trunc``: rounded towards zero."""
        return self._record(elementwise.trunc, ())  # type: ignore[no-any-return]

    def isnan(self) -> Tensor:
        """``fb.isnan``: whether an element is NaN."""
        return self._record(elementwise.is_nan, ())  # type: ignore[no-any-return]

    def isinf(self) -> Tensor:
        """``fb.isinf``: whether an element is infinite."""
        return self._record(elementwise.is_inf, ())  # type: ignore[no-any-return]

    def isfinite(self) -> Tensor:
        """``fb.isfinite``: whether an element is finite."""
        return self._record(elementwise.is_finite, ())  # type: ignore[no-any-return]

    def real(self) -> Tensor:
        """``fb.real``: the real part; real numbers are their own."""
        fn = elementwise.real if self.dtype.kind == "complex" else array_api.same
        return self._record(fn, ())  # type: ignore[no-any-return]

    def imag(self) -> Tensor:
        """``fb.imag``: the imaginary part of complex numbers."""
        return self._record(elementwise.imag, ())  # type: ignore[no-any-return]

    def conj(self) -> Tensor:
        """``fb.conj``: the complex conjugate; real numbers are their own."""
        fn = elementwise.conj if self.dtype.kind == "complex" else array_api.same
        return self._record(fn, ())  # type: ignore[no-any-return]
