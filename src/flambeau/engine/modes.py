"""Whether operations are recorded for gradients: a context variable, so it follows async tasks."""

from __future__ import annotations

from contextvars import ContextVar

grad_enabled: ContextVar[bool] = ContextVar("flambeau_grad_enabled", default=True)
