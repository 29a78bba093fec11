"""Whether operations are recorded for gradients."""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import Token

from flambeau.engine.modes import grad_enabled


class _GradMode(ContextDecorator):
    """Sets the mode inside a ``with`` block or a decorated function; may be nested and reused."""

    wanted: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> _GradMode:
        return type(self)()  # every call of a decorated function gets a state of its own

    def __enter__(self) -> None:
        self._tokens.append(grad_enabled.set(self.wanted))

    def __exit__(self, *exc: object) -> None:
        grad_enabled.reset(self._tokens.pop())


class no_grad(_GradMode):
    """Operations inside a ``with no_grad():`` block, or a decorated function, have no gradient.

    >>> import flambeau as fb
    >>> x = fb.asarray([1.0, 2.0], requires_grad=True)
    >>> with fb.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    wanted = False


class enable_grad(_GradMode):
    """Turns gradients on again inside a ``no_grad`` block.

    >>> import flambeau as fb
    >>> x = fb.asarray([1.0, 2.0], requires_grad=True)
    >>> with fb.no_grad():
    ...     with fb.enable_grad():
    ...         y = x * 2
    >>> y.requires_grad
    True
    """

    wanted = True


def is_grad_enabled() -> bool:
    """Whether operations recorded here and now can be differentiated.

    >>> import flambeau as fb
    >>> fb.is_grad_enabled()
    True
    """
    return grad_enabled.get()
