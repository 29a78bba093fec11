"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed, mixed
from flambeau.primitives.elementwise import add, div, mul, sqrt, square, sub
from flambeau.tensor import Tensor


class Adadelta(Optimizer):
    """Steps in the units of the parameters: scaled by the running size of earlier steps.

    Source: Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012.
    """

    fractions = ("rho",)

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The mean squares of gradients and of steps."""
        return ("square_avg", "acc_delta")

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The share of new values."""
        return {"rest": sub(1.0, n["rho"])}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and mean squares."""
        g = decayed(g, p, n)
        power = mixed(state["square_avg"], square(g), n["rho"], n["rest"])
        delta = mul(div(sqrt(add(state["acc_delta"], n["eps"])), sqrt(add(power, n["eps"]))), g)
        moved = mixed(state["acc_delta"], square(delta), n["rho"], n["rest"])
        return sub(p, mul(delta, n["lr"])), {"square_avg": power, "acc_delta": moved}
