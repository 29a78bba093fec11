"""Dropout: elements or channels set to zero at random in training, identity in evaluation.

Masks are drawn from the default generator (``fb.random.seed``) and computed again for gradients.

Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
"""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.dtypes import float64
from flambeau.engine.tape import THREAD, Builder
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.nn.module import Module
from flambeau.ops.record import number, refuse, value_of
from flambeau.primitives import dropout as builders
from flambeau.primitives.views import shape_text
from flambeau.random import default_generator
from flambeau.tensor import Tensor


def _checked(name: str, p: Any) -> float:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        refuse(OperandError(f"{name}: p must be a probability from 0 to 1, not {p!r}"))
    return float(p)


def _drop(name: str, fn: Builder, x: Tensor, p: float, training: bool, attrs: tuple[Any, ...]) -> Tensor:
    value = value_of(x, name)
    probability = _checked(name, p)
    if not value.type.dtype.floating:
        refuse(DTypeError(f"{name}: a floating-point tensor is needed, not {value.type.dtype}"))
    if not training:
        return x
    operands = [*default_generator().operands(), value, number(probability, float64, name)]
    return Tensor(THREAD.tape.record(fn, attrs, operands))


def _drop_channels(name: str, x: Tensor, p: float, training: bool, space: int) -> Tensor:
    return _drop(name, builders.channel_dropout, x, p, training, (space, name))


def _drop_features(name: str, x: Tensor, p: float, training: bool) -> Tensor:
    if isinstance(x, Tensor) and x.ndim < 2:
        refuse(ShapeError(f"{name}: an input of shape (N, C, ...) is needed, not {shape_text(x.shape)}"))
    space = x.ndim - 2 if isinstance(x, Tensor) else 0
    return _drop(name, builders.alpha_dropout, x, p, training, (space,))


# -- functions --------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, elements set to 0 with probability ``p`` and the others divided by ``1 - p``.

    Raises ``OperandError`` unless ``p`` lies in [0, 1], and ``DTypeError`` for integers.

    >>> import flambeau as fb
    >>> fb.nn.functional.dropout(fb.ones(3), p=1.0)
    tensor([0., 0., 0.])
    """
    return _drop("dropout", builders.dropout, input, p, training, (0,))


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of tensors of shape (N, C, L) or (C, L).

    >>> import flambeau as fb
    >>> fb.nn.functional.dropout1d(fb.ones((2, 3)), p=1.0).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _drop_channels("dropout1d", input, p, training, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of tensors of shape (N, C, H, W) or (C, H, W).

    >>> import flambeau as fb
    >>> fb.nn.functional.dropout2d(fb.ones((1, 4, 2, 2))).shape
    (1, 4, 2, 2)
    """
    return _drop_channels("dropout2d", input, p, training, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels of tensors of shape (N, C, D, H, W) or (C, D, H, W).

    >>> import flambeau as fb
    >>> fb.nn.functional.dropout3d(fb.ones((4, 2, 2, 2))).shape
    (4, 2, 2, 2)
    """
    return _drop_channels("dropout3d", input, p, training, 3)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout for networks of SELU: it keeps mean 0 and variance 1.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> import flambeau as fb
    >>> fb.nn.functional.alpha_dropout(fb.ones((2, 3)), training=True).shape
    (2, 3)
    """
    return _drop("alpha_dropout", builders.alpha_dropout, input, p, training, (0,))


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of tensors of shape (N, C, ...).

    >>> import flambeau as fb
    >>> fb.nn.functional.feature_alpha_dropout(fb.ones((2, 3, 4)), training=True).shape
    (2, 3, 4)
    """
    return _drop_features("feature_alpha_dropout", input, p, training)


# -- layers -----------------------------------------------------------------------------------


class _Dropout(Module):
    """What the layers share: a probability, and identity in evaluation.

    ``inplace`` changes nothing: see ``PlainActivation``.

    Raises ``OperandError`` unless ``p`` lies in [0, 1], and ``DTypeError`` for integers.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = _checked(type(self).__name__, p)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training, elements set to 0 with probability ``p`` and the others divided by ``1 - p``.

    Changing ``p`` compiles nothing.

    >>> import flambeau as fb
    >>> drop = fb.nn.Dropout(0.5)
    >>> set(drop(fb.ones(100)).tolist()) == {0.0, 2.0}
    True
    >>> drop.eval()(fb.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return _drop("Dropout", builders.dropout, x, self.p, self.training, (0,))


class _ChannelDropout(_Dropout):
    space: ClassVar[int]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return _drop_channels(type(self).__name__, x, self.p, self.training, self.space)


class Dropout1d(_ChannelDropout):
    """``Dropout`` of whole channels of tensors of shape (N, C, L) or (C, L).

    Source: J. Tompson et al., "Efficient object localization using convolutional networks", 2014.

    >>> import flambeau as fb
    >>> fb.nn.Dropout1d()(fb.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    space = 1


class Dropout2d(_ChannelDropout):
    """``Dropout`` of whole channels of tensors of shape (N, C, H, W) or (C, H, W).

    >>> import flambeau as fb
    >>> fb.nn.Dropout2d()(fb.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    space = 2


class Dropout3d(_ChannelDropout):
    """``Dropout`` of whole channels of tensors of shape (N, C, D, H, W) or (C, D, H, W).

    >>> import flambeau as fb
    >>> fb.nn.Dropout3d()(fb.ones((2, 3, 2, 4, 4))).shape
    (2, 3, 2, 4, 4)
    """

    space = 3


class AlphaDropout(_Dropout):
    """Dropout for networks of SELU: it keeps mean 0 and variance 1.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> import flambeau as fb
    >>> fb.nn.AlphaDropout()(fb.ones((2, 3))).shape
    (2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return _drop("AlphaDropout", builders.alpha_dropout, x, self.p, self.training, (0,))


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels of tensors of shape (N, C, ...).

    >>> import flambeau as fb
    >>> fb.nn.FeatureAlphaDropout()(fb.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return _drop_features("FeatureAlphaDropout", x, self.p, self.training)
