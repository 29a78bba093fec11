"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed, mixed
from flambeau.primitives.elementwise import add, div, maximum, mul, pow, sqrt, square, sub
from flambeau.tensor import Tensor


def corrections(n: Vars) -> Vars:
    """What undoes the start of the running means at 0, and the shares of new values, in float64."""
    return {
        "first": sub(1.0, pow(n["beta1"], n["step"])),
        "second": sub(1.0, pow(n["beta2"], n["step"])),
        "rest1": sub(1.0, n["beta1"]),
        "rest2": sub(1.0, n["beta2"]),
    }


def shrink(n: Vars) -> Var:
    """The factor of decoupled weight decay."""
    return sub(1.0, mul(n["lr"], n["weight_decay"]))


def moments(g: Var, state: Vars, n: Vars) -> tuple[Var, Var]:
    """The running means of the gradient and of its square."""
    mean = mixed(state["exp_avg"], g, n["beta1"], n["rest1"])
    return mean, mixed(state["exp_avg_sq"], square(g), n["beta2"], n["rest2"])


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square, corrected for their start at 0.

    ``weight_decay`` adds ``weight_decay * p`` to the gradient, or with ``decoupled_weight_decay``
    shrinks the parameter (``AdamW``).  ``amsgrad`` divides by the largest mean of squares so far.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015; Reddi et al., On the
    Convergence of Adam and Beyond, 2018 (amsgrad).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """Both moments, and the largest second one for amsgrad."""
        return ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if "amsgrad" in flags else []))

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The corrected step size and the correction of the second moment."""
        fixed = corrections(n)
        return fixed | {
            "size": div(n["lr"], fixed["first"]),
            "root": sqrt(fixed["second"]),
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
        new = {"exp_avg": mean, "exp_avg_sq": power}
        if "amsgrad" in flags:
            power = new["max_exp_avg_sq"] = maximum(state["max_exp_avg_sq"], power)
        scale = add(div(sqrt(power), n["root"]), n["eps"])
        return sub(p, div(mul(mean, n["size"]), scale)), new


class AdamW(Adam):
    """``Adam`` whose weight decay shrinks parameters instead of changing gradients.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
