"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.adam import shrink
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, mixed
from flambeau.primitives.elementwise import mul, sign, sub
from flambeau.tensor import Tensor


class Lion(Optimizer):
    """Steps of one size for all elements, along the sign of a mix of momentum and gradient.

    ``p = p * (1 - lr * weight_decay) - lr * sign(beta1 * m + (1 - beta1) * g)``, then
    ``m = beta2 * m + (1 - beta2) * g``.

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms, 2023.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The momentum."""
        return ("exp_avg",)

    @staticmethod
    def scalars(flags: Flags) -> tuple[str, ...]:
        """None."""
        return ()

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The shares of new values and the factor of weight decay."""
        return {"rest1": sub(1.0, n["beta1"]), "rest2": sub(1.0, n["beta2"]), "shrink": shrink(n)}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and momentum."""
        momentum = state["exp_avg"]
        step = sign(mixed(momentum, g, n["beta1"], n["rest1"]))
        momentum = mixed(momentum, g, n["beta2"], n["rest2"])
        return sub(mul(p, n["shrink"]), mul(step, n["lr"])), {"exp_avg": momentum}
