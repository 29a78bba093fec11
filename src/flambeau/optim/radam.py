"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.adam import corrections, moments, shrink
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed
from flambeau.primitives.elementwise import add, div, gt, mul, pow, select, sqrt, sub
from flambeau.tensor import Tensor


class RAdam(Optimizer):
    """``Adam`` that does not divide by the mean square until enough gradients are in it.

    Source: Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """Both moments."""
        return ("exp_avg", "exp_avg_sq")

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The corrected step size, and the rectification: 0 while it is not to be used."""
        fixed = corrections(n)
        first, second = fixed["first"], fixed["second"]
        longest = sub(div(2.0, fixed["rest2"]), 1.0)
        length = sub(longest, div(mul(mul(n["step"], 2.0), pow(n["beta2"], n["step"])), second))
        known = gt(length, 5.0)
        safe = select(known, length, longest)
        above = mul(mul(sub(safe, 4.0), sub(safe, 2.0)), longest)
        below = mul(mul(sub(longest, 4.0), sub(longest, 2.0)), safe)
        return fixed | {
            "size": div(n["lr"], first),
            "rectified": select(known, sqrt(mul(div(above, below), second)), 0.0),
            "shrink": shrink(n),
        }

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and moments."""
        if "decoupled_weight_decay" in flags:
            p = mul(p, n["shrink"])
        else:
            g = decayed(g, p, n)
        mean, power = moments(g, state, n)
        scaled = div(n["rectified"], add(sqrt(power), n["eps"]))
        factor = select(gt(n["rectified"], 0.0), scaled, 1.0)
        return sub(p, mul(mul(mean, n["size"]), factor)), {"exp_avg": mean, "exp_avg_sq": power}
