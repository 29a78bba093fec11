"""What flambeau raises: the built-in exceptions people already catch, with a precise message.

A message is one sentence about the operation and its operands; ``located`` adds where in the
user's program the operation was written.
"""

from __future__ import annotations


class FlambeauError(Exception):
    """The base of every error that flambeau itself raises."""


class ShapeError(FlambeauError, ValueError):
    """Operands whose shapes, axes or sizes do not fit the operation."""


class DTypeError(FlambeauError, TypeError):
    """Operands whose dtypes do not fit the operation."""


class OperandError(FlambeauError, TypeError):
    """An argument of a kind the operation does not take."""


class OutOfBoundsError(FlambeauError, IndexError):
    """An index that lies outside the axis it selects from."""


class DeviceError(FlambeauError, RuntimeError):
    """A device that is not there, or operands on different devices."""


class GradientError(FlambeauError, RuntimeError):
    """A gradient that does not exist, with the reason."""


class TraceError(FlambeauError, RuntimeError):
    """A function that cannot be recorded as a graph, with the line that prevents it."""


class CaptureError(TraceError):
    """A compiled function that depends on something it was not given, and which changed."""


class NonFiniteError(FlambeauError, ArithmeticError):
    """A NaN or infinity where none is allowed, with the operation that made it."""


class RegistrationError(FlambeauError, TypeError):
    """A primitive that lacks one of its rules."""


class VerificationError(FlambeauError, AssertionError):
    """A graph or kernel that breaks the grammar: a defect in flambeau, not in the user's program."""


class WeightsError(FlambeauError, ValueError):
    """A weight file that is damaged, hostile, or does not fit the model."""


def located(error: FlambeauError, where: str) -> FlambeauError:
    """The same error with the place of the operation appended to its message (once)."""
    if where and error.args and "\n  at " not in str(error.args[0]):
        error.args = (f"{error.args[0]}\n  {where}", *error.args[1:])
    return error
