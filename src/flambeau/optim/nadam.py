"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flambeau.graph.builder import Var
from flambeau.optim.adam import corrections, moments, shrink
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.rule import Flags, Vars, decayed
from flambeau.primitives.elementwise import add, div, mul, pow, sqrt, sub
from flambeau.primitives.views import constant
from flambeau.tensor import Tensor


class NAdam(Optimizer):
    """``Adam`` that looks ahead along its momentum, which grows over the first steps.

    Source: Dozat, Incorporating Nesterov Momentum into Adam, 2016.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
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
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """Both moments."""
        return ("exp_avg", "exp_avg_sq")

    @staticmethod
    def scalars(flags: Flags) -> tuple[str, ...]:
        """The count of steps and the product of all momenta so far."""
        return ("step", "mu_product")

    @staticmethod
    def initial(name: str, group: Mapping[str, Any]) -> float:
        """The product starts at 1."""
        return 1.0 if name == "mu_product" else 0.0

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """The momenta of this step and of the next, and the sizes of the two parts of a step."""
        fixed = corrections(n)

        def momentum(step: Var) -> Var:
            power = pow(constant(0.96, step.dtype), mul(step, n["momentum_decay"]))
            return mul(n["beta1"], sub(1.0, mul(power, 0.5)))

        now, after = momentum(n["step"]), momentum(add(n["step"], 1.0))
        product = mul(n["mu_product"], now)
        return fixed | {
            "mu_product": product,
            "root": sqrt(fixed["second"]),
            "along_gradient": div(mul(n["lr"], sub(1.0, now)), sub(1.0, product)),
            "along_mean": div(mul(n["lr"], after), sub(1.0, mul(product, after))),
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
        scale = add(div(sqrt(power), n["root"]), n["eps"])
        step = add(mul(g, n["along_gradient"]), mul(mean, n["along_mean"]))
        return sub(p, div(step, scale)), {"exp_avg": mean, "exp_avg_sq": power}
