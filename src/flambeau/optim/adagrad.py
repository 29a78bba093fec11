"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed
from flambeau.primitives.elementwise import add, div, mul, sqrt, square, sub
from flambeau.tensor import Tensor


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    Source: Duchi, Hazan and Singer, Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization, 2011.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The sum of squares."""
        return ("sum",)

    @staticmethod
    def initial(name: str, group: Mapping[str, Any]) -> float:
        """What the sum starts from."""
        return float(group["initial_accumulator_value"]) if name == "sum" else 0.0

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The step size, which ``lr_decay`` makes smaller."""
        return {"size": div(n["lr"], add(mul(sub(n["step"], 1.0), n["lr_decay"]), 1.0))}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and sum."""
        g = decayed(g, p, n)
        total = add(state["sum"], square(g))
        return sub(p, div(mul(g, n["size"]), add(sqrt(total), n["eps"]))), {"sum": total}
