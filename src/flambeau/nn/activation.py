"""Activations as layers."""

from __future__ import annotations

from flambeau.engine.tape import THREAD
from flambeau.nn.module import Module
from flambeau.ops.record import value_of
from flambeau.primitives import elementwise
from flambeau.tensor import Tensor


class ReLU(Module):
    """``max(x, 0)``, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        return Tensor(THREAD.tape.record(elementwise.relu, (), (value_of(x, "ReLU"),)))
