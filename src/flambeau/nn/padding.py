"""Padding as layers, over one to three spatial axes, and as a function over any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError, ShapeError
from flambeau.nn.module import Module
from flambeau.ops.record import Number, number, record, refuse, value_of
from flambeau.primitives import padding as builders
from flambeau.tensor import Tensor

Widths = int | tuple[int, ...]


def _integers(widths: Any, name: str) -> tuple[int, ...]:
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        refuse(OperandError(f"{name}: padding must be a sequence of integers, not {widths!r}"))
    for w in widths:
        if isinstance(w, bool) or not isinstance(w, (int, np.integer)):
            refuse(OperandError(f"{name}: padding must be integers, not {widths!r}"))
    return tuple([int(w) for w in widths])


def _widths(widths: Any, count: int, name: str) -> tuple[int, ...]:
    """Two widths for each of ``count`` axes, the last axis first."""
    if isinstance(widths, (int, np.integer)) and not isinstance(widths, bool):
        return (int(widths),) * (2 * count)
    listed = _integers(widths, name)
    if len(listed) != 2 * count:
        refuse(ShapeError(f"{name}: padding must be an integer or {2 * count} integers, not {widths!r}"))
    return listed


def _with_number(input: Any, widths: tuple[int, ...], value: Any, name: str) -> Tensor:
    own = value_of(input, name)
    operands = [own, number(value, own.type.dtype, name)]
    return Tensor(THREAD.tape.record(builders.pad_with_number, (widths, name), operands))


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Number | None = None) -> Tensor:
    """``input`` with elements put around its last axes; PyTorch's order of arguments.

    ``fb.pad`` does the same with widths in the order of the axes.

    Args:
        input: a tensor of any shape.
        pad: how many elements come before and after each axis, the last axis first: ``(left, right,
            top, bottom)``.  Negative widths take elements away.
        mode: "constant" (``value``), "reflect" (without the edge), "replicate" (the edge) or "circular"
            (the other end).
        value: the number put around; 0 if None.

    Raises:
        ShapeError: where there are more widths than axes, or more elements are asked for than the
            input can give.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.functional.pad(fb.asarray([[1, 2, 3]]), (1, 2), mode="reflect")
        tensor([[2, 1, 2, 3, 2, 1]])
    """
    widths = _integers(pad, "pad")
    if mode == "constant":
        return _with_number(input, widths, 0 if value is None else value, "pad")
    if value is not None and value != 0:
        refuse(OperandError(f"pad: mode {mode!r} takes no value, but {value!r} was given"))
    value_of(input, "pad")
    return record(builders.pad_with_own, (widths, mode, "pad", 0), input)


class _Pad(Module):
    """Padding; its subclasses say with what, and over how many axes."""

    _count: ClassVar[int]
    _mode: ClassVar[str]

    def __init__(self, padding: Widths) -> None:
        super().__init__()
        self.padding = _widths(padding, self._count, self._kind())

    @classmethod
    def _kind(cls) -> str:
        """What errors call the layer."""
        kind = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}
        return f"{kind[cls._mode]}{cls._count}d"

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        value_of(input, self._kind())
        attrs = (self.padding, self._mode, self._kind(), self._count)
        return record(builders.pad_with_own, attrs, input)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class _ConstantPad(Module):
    """Padding with a number; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(self, padding: Widths, value: Number) -> None:
        super().__init__()
        self.padding = _widths(padding, self._count, f"ConstantPad{self._count}d")
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _with_number(input, self.padding, self.value, f"ConstantPad{self._count}d")

    def extra_repr(self) -> str:
        """The widths and the number."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(Module):
    """Padding with zeros; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(self, padding: Widths) -> None:
        super().__init__()
        self.padding = _widths(padding, self._count, f"ZeroPad{self._count}d")

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _with_number(input, self.padding, 0, f"ZeroPad{self._count}d")

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros put around signals.

    Takes at least one axis, and pads the last; negative widths take elements away.

    Args:
        padding: one width for all ends, or ``(left, right)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ZeroPad1d(2)(fb.ones((1, 1, 4))).shape
        (1, 1, 8)
    """

    _count = 1


class ZeroPad2d(_ZeroPad):
    """Zeros put around images.

    Takes at least 2 axes, and pads the last 2; negative widths take elements away.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ZeroPad2d(2)(fb.ones((1, 1, 4, 4))).shape
        (1, 1, 8, 8)
    """

    _count = 2


class ZeroPad3d(_ZeroPad):
    """Zeros put around volumes.

    Takes at least 3 axes, and pads the last 3; negative widths take elements away.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom, front, back)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ZeroPad3d(2)(fb.ones((1, 1, 4, 4, 4))).shape
        (1, 1, 8, 8, 8)
    """

    _count = 3


class ConstantPad1d(_ConstantPad):
    """A number put around signals; another number is no new program.

    Takes at least one axis, and pads the last; negative widths take elements away.

    Args:
        padding: one width for all ends, or ``(left, right)``.
        value: the number.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ConstantPad1d(2, 0.5)(fb.ones((1, 1, 4))).shape
        (1, 1, 8)
    """

    _count = 1


class ConstantPad2d(_ConstantPad):
    """A number put around images; another number is no new program.

    Takes at least 2 axes, and pads the last 2; negative widths take elements away.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom)``.
        value: the number.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ConstantPad2d(2, 0.5)(fb.ones((1, 1, 4, 4))).shape
        (1, 1, 8, 8)
    """

    _count = 2


class ConstantPad3d(_ConstantPad):
    """A number put around volumes; another number is no new program.

    Takes at least 3 axes, and pads the last 3; negative widths take elements away.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom, front, back)``.
        value: the number.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ConstantPad3d(2, 0.5)(fb.ones((1, 1, 4, 4, 4))).shape
        (1, 1, 8, 8, 8)
    """

    _count = 3


class ReflectionPad1d(_Pad):
    """Signals continued by their reflection, without the edge itself.

    Takes (N, C, L) or (C, L); widths must be smaller than the sizes.

    Args:
        padding: one width for all ends, or ``(left, right)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ReflectionPad1d(2)(fb.ones((1, 1, 4))).shape
        (1, 1, 8)
    """

    _count = 1
    _mode = "reflect"


class ReflectionPad2d(_Pad):
    """Images continued by their reflection, without the edge itself.

    Takes (N, C, H, W) or (C, H, W); widths must be smaller than the sizes.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ReflectionPad2d(2)(fb.ones((1, 1, 4, 4))).shape
        (1, 1, 8, 8)
    """

    _count = 2
    _mode = "reflect"


class ReflectionPad3d(_Pad):
    """Volumes continued by their reflection, without the edge itself.

    Takes (N, C, D, H, W) or (C, D, H, W); widths must be smaller than the sizes.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom, front, back)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ReflectionPad3d(2)(fb.ones((1, 1, 4, 4, 4))).shape
        (1, 1, 8, 8, 8)
    """

    _count = 3
    _mode = "reflect"


class ReplicationPad1d(_Pad):
    """Signals continued by repeating the edge.

    Takes (N, C, L) or (C, L).

    Args:
        padding: one width for all ends, or ``(left, right)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ReplicationPad1d(2)(fb.ones((1, 1, 4))).shape
        (1, 1, 8)
    """

    _count = 1
    _mode = "replicate"


class ReplicationPad2d(_Pad):
    """Images continued by repeating the edge.

    Takes (N, C, H, W) or (C, H, W).

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ReplicationPad2d(2)(fb.ones((1, 1, 4, 4))).shape
        (1, 1, 8, 8)
    """

    _count = 2
    _mode = "replicate"


class ReplicationPad3d(_Pad):
    """Volumes continued by repeating the edge.

    Takes (N, C, D, H, W) or (C, D, H, W).

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom, front, back)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ReplicationPad3d(2)(fb.ones((1, 1, 4, 4, 4))).shape
        (1, 1, 8, 8, 8)
    """

    _count = 3
    _mode = "replicate"


class CircularPad1d(_Pad):
    """Signals continued by themselves, from the other end.

    Takes (N, C, L) or (C, L); widths must be at most the sizes.

    Args:
        padding: one width for all ends, or ``(left, right)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.CircularPad1d(2)(fb.ones((1, 1, 4))).shape
        (1, 1, 8)
    """

    _count = 1
    _mode = "circular"


class CircularPad2d(_Pad):
    """Images continued by themselves, from the other end.

    Takes (N, C, H, W) or (C, H, W); widths must be at most the sizes.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.CircularPad2d(2)(fb.ones((1, 1, 4, 4))).shape
        (1, 1, 8, 8)
    """

    _count = 2
    _mode = "circular"


class CircularPad3d(_Pad):
    """Volumes continued by themselves, from the other end.

    Takes (N, C, D, H, W) or (C, D, H, W); widths must be at most the sizes.

    Args:
        padding: one width for all ends, or ``(left, right, top, bottom, front, back)``.

    Raises:
        ShapeError: where the widths do not fit the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.CircularPad3d(2)(fb.ones((1, 1, 4, 4, 4))).shape
        (1, 1, 8, 8, 8)
    """

    _count = 3
    _mode = "circular"
