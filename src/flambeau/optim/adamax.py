"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed, mixed
from flambeau.primitives.elementwise import abs, add, div, maximum, mul, pow, sub
from flambeau.tensor import Tensor


class Adamax(Optimizer):
    """``Adam`` with the largest recent gradient in place of the mean square.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, section 7.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The mean gradient and the largest recent one."""
        return ("exp_avg", "exp_inf")

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The corrected step size and the share of new values."""
        first = sub(1.0, pow(n["beta1"], n["step"]))
        return {"size": div(n["lr"], first), "rest": sub(1.0, n["beta1"])}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter, mean and maximum."""
        g = decayed(g, p, n)
        mean = mixed(state["exp_avg"], g, n["beta1"], n["rest"])
        largest = maximum(mul(state["exp_inf"], n["beta2"]), add(abs(g), n["eps"]))
        return sub(p, div(mul(mean, n["size"]), largest)), {"exp_avg": mean, "exp_inf": largest}
