"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed, mixed
from flambeau.primitives.elementwise import add, mul, sub
from flambeau.tensor import Tensor


class SGD(Optimizer):
    """Steps against the gradient, with momentum and weight decay.

    ``v = momentum * v + (1 - dampening) * g``, ``p = p - lr * v``, where ``g`` includes
    ``weight_decay * p``; with ``nesterov``, ``p = p - lr * (g + momentum * v)``.  The first step
    starts from ``v = g``, as in PyTorch.  ``maximize`` steps along the gradient.

    Whether ``momentum`` and ``dampening`` are 0 decides what is compiled; no other number does.

    Source: Sutskever et al., On the importance of initialization and momentum, 2013.
    """

    switches = ("momentum", "dampening")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise where the options do not go together."""
        super().check(group)
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            self._refuse(
                "nesterov looks ahead along the momentum, so momentum must be above 0 and dampening 0"
            )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The momentum, where there is one."""
        return ("momentum_buffer",) if "momentum" in flags else ()

    @staticmethod
    def scalars(flags: Flags) -> tuple[str, ...]:
        """None."""
        return ()

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The share of the new gradient in the momentum."""
        return {"rest": sub(1.0, n["dampening"])} if "dampening" in flags else {}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and momentum."""
        g = decayed(g, p, n)
        if "momentum" in flags:
            v = state["momentum_buffer"]  # zero at first, so v = g
            if "dampening" in flags and "first" not in flags:
                v = mixed(v, g, n["momentum"], n["rest"])
            else:
                v = add(mul(v, n["momentum"]), g)
            state = {"momentum_buffer": v}
            g = add(g, mul(v, n["momentum"])) if "nesterov" in flags else v
        return sub(p, mul(g, n["lr"])), state
