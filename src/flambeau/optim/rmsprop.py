"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed, mixed
from flambeau.primitives.elementwise import add, div, mul, sqrt, square, sub
from flambeau.tensor import Tensor


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of the gradient's square.

    ``centered`` subtracts the square of the gradient's running mean first.  Whether ``momentum`` is
    0 decides what is compiled; no other number does.

    Source: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; Graves,
    Generating Sequences With Recurrent Neural Networks, 2013 (centered).
    """

    switches = ("momentum",)
    fractions = ("alpha",)

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The mean square, and the mean and the momentum where they are used."""
        names = ["square_avg"]
        names += ["momentum_buffer"] if "momentum" in flags else []
        names += ["grad_avg"] if "centered" in flags else []
        return tuple(names)

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The share of new values."""
        return {"rest": sub(1.0, n["alpha"])}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and running means."""
        g = decayed(g, p, n)
        power = mixed(state["square_avg"], square(g), n["alpha"], n["rest"])
        new = {"square_avg": power}
        if "centered" in flags:
            mean = new["grad_avg"] = mixed(state["grad_avg"], g, n["alpha"], n["rest"])
            power = sub(power, square(mean))
        g = div(g, add(sqrt(power), n["eps"]))
        if "momentum" in flags:
            g = new["momentum_buffer"] = add(mul(state["momentum_buffer"], n["momentum"]), g)
        return sub(p, mul(g, n["lr"])), new
