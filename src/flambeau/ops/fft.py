"""Discrete Fourier transforms.  Complex results have no gradients.

``n`` (or ``s``) are lengths the axes are cut or padded with zeros to; ``norm`` says where the
factor 1/n goes: to the inverse ("backward"), to the transform ("forward"), or half to each
("ortho").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from flambeau.devices import Device
from flambeau.dtypes import DType, default_float, float64, int64
from flambeau.engine.tape import THREAD
from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.ops.manipulation import roll
from flambeau.ops.record import hashed, number, on, record, refuse, to_dtype, value_of
from flambeau.primitives import fft as transforms
from flambeau.primitives.elementwise import cast, div, ge, mul, select, sub
from flambeau.primitives.views import iota, normalize_axis
from flambeau.tensor import Tensor

Norm = Literal["backward", "ortho", "forward"]
__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn",
    "rfft", "rfftfreq", "rfftn",
]  # fmt: skip


# --- from the arguments to axes and lengths --------------------------------------------------


def _axes(x: Var, axes: Any, lengths: Any, name: str) -> tuple[int, ...]:
    if axes is None:
        count = x.ndim if lengths is None else len(lengths)
        return tuple(range(x.ndim - count, x.ndim))
    return tuple([normalize_axis(a, x.ndim, name) for a in axes])


def _lengths(x: Var, axes: Sequence[int], lengths: Any, name: str) -> tuple[Size, ...]:
    own = tuple([x.shape[a] for a in axes])
    if lengths is None:
        return own
    if len(lengths) != len(axes):
        raise ShapeError(f"{name}: {len(lengths)} lengths for {len(axes)} axes")
    return tuple([n if want is None or want == -1 else want for n, want in zip(own, lengths, strict=True)])


def _fftn(x: Var, s: Any, axes: Any, norm: str) -> Var:
    found = _axes(x, axes, s, "fft")
    return transforms.fft(x, found, _lengths(x, found, s, "fft"), norm)


def _ifftn(x: Var, s: Any, axes: Any, norm: str) -> Var:
    found = _axes(x, axes, s, "ifft")
    return transforms.ifft(x, found, _lengths(x, found, s, "ifft"), norm)


def _rfftn(x: Var, s: Any, axes: Any, norm: str) -> Var:
    found = _axes(x, axes, s, "rfft")
    return transforms.rfft(x, found, _lengths(x, found, s, "rfft"), norm)


def _irfftn(x: Var, s: Any, axes: Any, norm: str) -> Var:
    found = _axes(x, axes, s, "irfft")
    return transforms.irfft(x, found, _real_lengths(x, found, s, "irfft"), norm)


def _real_lengths(x: Var, axes: Sequence[int], s: Any, name: str) -> tuple[Size, ...]:
    """The lengths of a real result: the last axis holds only half of the transform."""
    lengths = _lengths(x, axes, s, name)
    if (s is None or s[-1] in (None, -1)) and lengths:
        return (*lengths[:-1], 2 * (lengths[-1] - 1))
    return lengths


def _hfft(x: Var, n: Any, axis: int, norm: str) -> Var:
    at = normalize_axis(axis, x.ndim, "hfft")
    return transforms.hfft(x, at, 2 * (x.shape[at] - 1) if n is None else n, norm)


def _ihfft(x: Var, n: Any, axis: int, norm: str) -> Var:
    at = normalize_axis(axis, x.ndim, "ihfft")
    return transforms.ihfft(x, at, x.shape[at] if n is None else n, norm)


def _along(fn: Callable[..., Var], x: Any, n: int | None, axis: int, norm: str) -> Tensor:
    return record(fn, (None if n is None else (n,), (axis,), norm), x)


# --- transforms along one axis ---------------------------------------------------------------


def fft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The discrete Fourier transform along ``axis``: complex.

    >>> import flambeau as fb
    >>> fb.fft.fft(fb.asarray([1.0, 0.0]))
    tensor([1.+0.j, 1.+0.j])
    """
    return _along(_fftn, x, n, axis, norm)


def ifft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of ``fft``: complex.

    >>> import flambeau as fb
    >>> fb.fft.ifft(fb.asarray([1.0, 1.0]))
    tensor([1.+0.j, 0.+0.j])
    """
    return _along(_ifftn, x, n, axis, norm)


def rfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The transform of real numbers, of which the first half, ``n // 2 + 1``, says everything.

    >>> import flambeau as fb
    >>> fb.fft.rfft(fb.asarray([1.0, 0.0, 0.0])).shape
    (2,)
    """
    return _along(_rfftn, x, n, axis, norm)


def irfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of ``rfft``: real, of ``n`` elements, an even number unless given.

    >>> import flambeau as fb
    >>> fb.fft.irfft(fb.asarray([1.0, 1.0]))
    tensor([1., 0.])
    """
    return _along(_irfftn, x, n, axis, norm)


def hfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The real transform of a signal with Hermitian symmetry, of which ``x`` is the first half.

    >>> import flambeau as fb
    >>> fb.fft.hfft(fb.asarray([1.0, 0.0]))
    tensor([1., 1.])
    """
    return record(_hfft, (n, axis, norm), x)


def ihfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of ``hfft``: the first half of a signal with Hermitian symmetry.

    >>> import flambeau as fb
    >>> fb.fft.ihfft(fb.asarray([1.0, 1.0])).shape
    (2,)
    """
    return record(_ihfft, (n, axis, norm), x)


# --- transforms along several axes -----------------------------------------------------------

Lengths = Sequence[int] | None


def fftn(x: Tensor, /, *, s: Lengths = None, axes: Lengths = None, norm: Norm = "backward") -> Tensor:
    """The transform along ``axes``: the last ``len(s)``, or all, unless given.

    >>> import flambeau as fb
    >>> fb.fft.fftn(fb.ones((2, 2)))[0, 0]
    tensor(4.+0.j)
    """
    return record(_fftn, (hashed(s), hashed(axes), norm), x)


def ifftn(x: Tensor, /, *, s: Lengths = None, axes: Lengths = None, norm: Norm = "backward") -> Tensor:
    """The inverse of ``fftn``.

    >>> import flambeau as fb
    >>> fb.fft.ifftn(fb.ones((2, 2)))[0, 0]
    tensor(1.+0.j)
    """
    return record(_ifftn, (hashed(s), hashed(axes), norm), x)


def rfftn(x: Tensor, /, *, s: Lengths = None, axes: Lengths = None, norm: Norm = "backward") -> Tensor:
    """``fftn`` of real numbers; of the last axis only the first half is given.

    >>> import flambeau as fb
    >>> fb.fft.rfftn(fb.ones((4, 4))).shape
    (4, 3)
    """
    return record(_rfftn, (hashed(s), hashed(axes), norm), x)


def irfftn(x: Tensor, /, *, s: Lengths = None, axes: Lengths = None, norm: Norm = "backward") -> Tensor:
    """The inverse of ``rfftn``.

    >>> import flambeau as fb
    >>> fb.fft.irfftn(fb.ones((4, 3))).shape
    (4, 4)
    """
    return record(_irfftn, (hashed(s), hashed(axes), norm), x)


# --- frequencies -----------------------------------------------------------------------------


def _fftfreq(d: Var, n: int, dtype: DType) -> Var:
    counted = iota((n,), 0, int64)
    signed = select(ge(counted, (n + 1) // 2), sub(counted, n), counted)
    return cast(div(cast(signed, d.dtype), mul(d, n)), dtype)


def _rfftfreq(d: Var, n: int, dtype: DType) -> Var:
    return cast(div(cast(iota((n // 2 + 1,), 0, int64), d.dtype), mul(d, n)), dtype)


def _frequencies(fn: Callable[..., Var], n: int, d: float, dtype: Any, device: Any) -> Tensor:
    on(device)
    if n < 1:
        refuse(ShapeError(f"{fn.__name__[1:]}: the length must be at least 1, not {n}"))
    target = default_float if dtype is None else to_dtype(dtype)
    return Tensor(THREAD.tape.record(fn, (n, target), (number(d, float64, fn.__name__[1:]),)))


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Device | str | None = None) -> Tensor:
    """The frequencies of the results of ``fft`` of ``n`` samples at a distance ``d``.

    >>> import flambeau as fb
    >>> fb.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _frequencies(_fftfreq, n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Device | str | None = None) -> Tensor:
    """The frequencies of the results of ``rfft`` of ``n`` samples at a distance ``d``.

    >>> import flambeau as fb
    >>> fb.fft.rfftfreq(4)
    tensor([0.  , 0.25, 0.5 ])
    """
    return _frequencies(_rfftfreq, n, d, dtype, device)


def _shift(x: Tensor, axes: Any, name: str, forward: bool) -> Tensor:
    shape = value_of(x, name).type.shape
    chosen = range(len(shape)) if axes is None else (axes,) if isinstance(axes, int) else axes
    if not len(tuple(chosen)):
        return x
    for a in chosen:
        if not -len(shape) <= a < len(shape):
            refuse(ShapeError(f"{name}: axis {a} is out of range for a tensor with {len(shape)} axes"))
    halves: Any = [shape[a] // 2 for a in chosen]
    return roll(x, tuple([h if forward else -h for h in halves]), axis=tuple(chosen))


def fftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """``x`` with the frequency 0 moved to the middle of ``axes``, or of all.

    >>> import flambeau as fb
    >>> fb.fft.fftshift(fb.fft.fftfreq(4))
    tensor([-0.5 , -0.25,  0.  ,  0.25])
    """
    return _shift(x, axes, "fftshift", True)


def ifftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of ``fftshift``.

    >>> import flambeau as fb
    >>> fb.fft.ifftshift(fb.fft.fftshift(fb.fft.fftfreq(4)))
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _shift(x, axes, "ifftshift", False)
