"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.errors import OperandError
from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.primitives.elementwise import add, cast, mul, sub
from flambeau.tensor import Tensor


class SGD(Optimizer):
    """Steps against the gradient, with momentum and weight decay.

    ``v = momentum * v + g``, ``p = p - lr * v``, where ``g`` includes
    ``weight_decay * p``; with ``nesterov``, ``p = p - lr * (g + momentum * v)``.  The first step
    starts from ``v = g``, as in PyTorch.

    Source: Sutskever et al., On the importance of initialization and momentum, 2013.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and not momentum:
            raise OperandError("SGD: nesterov looks ahead along the momentum, so momentum must be above 0")
        flags = (momentum != 0, weight_decay != 0, nesterov)
        super().__init__(
            params, flags, int(momentum != 0), lr=lr, momentum=momentum, weight_decay=weight_decay
        )

    @staticmethod
    def update(
        parameter: Var, gradient: Var, state: Sequence[Var], shared: Any, flags: tuple[Any, ...]
    ) -> tuple[Var, Sequence[Var]]:
        """The new parameter and momentum."""
        has_momentum, has_decay, nesterov = flags
        lr, momentum, decay = (cast(shared[n], parameter.dtype) for n in ("lr", "momentum", "weight_decay"))
        if has_decay:
            gradient = add(gradient, mul(parameter, decay))
        if has_momentum:
            velocity = add(mul(state[0], momentum), gradient)  # zero at first, so v = g
            gradient = add(gradient, mul(velocity, momentum)) if nesterov else velocity
            state = [velocity]
        return sub(parameter, mul(gradient, lr)), state
