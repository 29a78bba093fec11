"""Discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import complex_of, default_float, real_of
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, NoGradient, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.elementwise import cast, conj, mul, reciprocal, sqrt
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import product, shape_text

_NO_GRADIENT = NoGradient("complex numbers have no gradients")
_KINDS: dict[str, Callable[..., Any]] = {
    "fft": np.fft.fftn,
    "ifft": np.fft.ifftn,
    "rfft": np.fft.rfftn,
    "irfft": np.fft.irfftn,
}
NORMS = ("backward", "ortho", "forward")


def _infer(x: TensorType, *, kind: str, axes: tuple[int, ...], lengths: tuple[Size, ...]) -> TensorType:
    if kind not in _KINDS:
        raise OperandError(f"fft: kind {kind!r} is none of {', '.join(_KINDS)}")
    needed = "float" if kind == "rfft" else "complex"
    if x.dtype.kind != needed or real_of(x.dtype).bits < 32:
        raise DTypeError(f"{kind}: is not defined for {x.dtype}")
    if len(lengths) != len(axes) or len(set(axes)) != len(axes) or not axes:
        raise ShapeError(f"{kind}: axes {axes} and lengths {lengths} do not fit")
    shape = list(x.shape)
    for axis, n in zip(axes, lengths, strict=True):
        if not 0 <= axis < x.ndim:
            raise ShapeError(
                f"{kind}: axis {axis} is out of range for a tensor of shape {shape_text(x.shape)}"
            )
        if isinstance(n, int) and n < 1:
            raise ShapeError(f"{kind}: the length along axis {axis} must be at least 1, not {n}")
        shape[axis] = n
    if kind == "rfft":
        shape[axes[-1]] = lengths[-1] // 2 + 1
    return TensorType(tuple(shape), real_of(x.dtype) if kind == "irfft" else complex_of(x.dtype))


def _reference(x: np.ndarray, *, kind: str, axes: tuple[int, ...], lengths: tuple[int, ...]) -> np.ndarray:
    single = x.dtype in (np.float32, np.complex64)
    with np.errstate(all="ignore"):
        out = np.asarray(_KINDS[kind](x, s=lengths, axes=axes))
    if not single:
        return out
    return out.astype(np.complex64 if out.dtype.kind == "c" else np.float32)


def _batch(inputs: Sequence[Var], batched: Sequence[bool], *, kind: str, axes: Any, lengths: Any) -> Var:
    return emit(fft_p, inputs[0], kind=kind, axes=tuple(a + 1 for a in axes), lengths=lengths)


fft_p = Primitive(
    "fft",
    infer=_infer,
    reference=_reference,
    vjp=_NO_GRADIENT,
    jvp=_NO_GRADIENT,
    batch=_batch,
    lowering=Lowering.HOST,
    sizes=("lengths",),
)


def _scaled(y: Var, lengths: Sequence[Size], forward: bool, norm: str) -> Var:
    """From the primitive's norm (all of the factor in the inverse) to the one asked for."""
    if norm not in NORMS:
        raise OperandError(f"fft: norm must be one of {', '.join(NORMS)}, not {norm!r}")
    if norm == "backward":
        return y
    n = size_value(product(lengths), real_of(y.dtype))
    factor = sqrt(n) if norm == "ortho" else n
    return mul(y, cast(reciprocal(factor) if forward else factor, y.dtype))


def _complex(x: Var) -> Var:
    x = cast(x, default_float) if not x.dtype.inexact else x
    return cast(x, complex_of(x.dtype))


def fft(x: Var, axes: Sequence[int], lengths: Sequence[Size], norm: str = "backward") -> Var:
    """The transform along ``axes``, which are cut or padded with zeros to ``lengths`` first."""
    y = emit(fft_p, _complex(x), kind="fft", axes=tuple(axes), lengths=tuple(lengths))
    return _scaled(y, lengths, True, norm)


def ifft(x: Var, axes: Sequence[int], lengths: Sequence[Size], norm: str = "backward") -> Var:
    """The inverse of ``fft``."""
    y = emit(fft_p, _complex(x), kind="ifft", axes=tuple(axes), lengths=tuple(lengths))
    return _scaled(y, lengths, False, norm)


def rfft(x: Var, axes: Sequence[int], lengths: Sequence[Size], norm: str = "backward") -> Var:
    """``fft`` of real numbers: of the last of ``axes`` only the first half, ``n // 2 + 1``, is given."""
    if x.dtype.kind == "complex":
        raise DTypeError(f"rfft: real numbers are needed, not {x.dtype}")
    x = cast(x, default_float) if not x.dtype.inexact else x
    y = emit(fft_p, x, kind="rfft", axes=tuple(axes), lengths=tuple(lengths))
    return _scaled(y, lengths, True, norm)


def irfft(x: Var, axes: Sequence[int], lengths: Sequence[Size], norm: str = "backward") -> Var:
    """The inverse of ``rfft``; ``lengths`` are those of the real result."""
    y = emit(fft_p, _complex(x), kind="irfft", axes=tuple(axes), lengths=tuple(lengths))
    return _scaled(y, lengths, False, norm)


def _swapped(norm: str) -> str:
    return {"backward": "forward", "forward": "backward"}.get(norm, norm)


def hfft(x: Var, axis: int, length: Size, norm: str = "backward") -> Var:
    """The real transform of a signal with Hermitian symmetry, of which ``x`` is the first half."""
    return irfft(conj(_complex(x)), (axis,), (length,), _swapped(norm))


def ihfft(x: Var, axis: int, length: Size, norm: str = "backward") -> Var:
    """The inverse of ``hfft``."""
    return conj(rfft(x, (axis,), (length,), _swapped(norm)))
