"""Adam."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.errors import OperandError
from flambeau.graph.builder import Var
from flambeau.optim.optimizer import Optimizer
from flambeau.primitives.elementwise import add, cast, div, mul, pow, sqrt, square, sub
from flambeau.tensor import Tensor


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square, corrected for their start at 0.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if len(betas) != 2 or not all(isinstance(beta, (int, float)) and 0 <= beta < 1 for beta in betas):
            raise OperandError(f"Adam: betas must be two numbers of at least 0 and below 1, not {betas!r}")
        super().__init__(
            params,
            (weight_decay != 0,),
            2,
            lr=lr,
            beta1=betas[0],
            beta2=betas[1],
            eps=eps,
            weight_decay=weight_decay,
        )

    @staticmethod
    def prepare(count: Var, numbers: dict[str, Var], flags: tuple[Any, ...]) -> Any:
        """The corrected step size and the correction of the second moment, in float64."""
        first = sub(1.0, pow(numbers["beta1"], count))
        second = sub(1.0, pow(numbers["beta2"], count))
        return numbers | {
            "size": div(numbers["lr"], first),
            "root": sqrt(second),
            "rest1": sub(1.0, numbers["beta1"]),
            "rest2": sub(1.0, numbers["beta2"]),
        }

    @staticmethod
    def update(
        parameter: Var, gradient: Var, state: Sequence[Var], shared: Any, flags: tuple[Any, ...]
    ) -> tuple[Var, Sequence[Var]]:
        """The new parameter and both moments."""
        n = {name: cast(value, parameter.dtype) for name, value in shared.items()}
        if flags[0]:
            gradient = add(gradient, mul(parameter, n["weight_decay"]))
        mean, power = state
        mean = add(mul(mean, n["beta1"]), mul(gradient, n["rest1"]))
        power = add(mul(power, n["beta2"]), mul(square(gradient), n["rest2"]))
        scale = add(div(sqrt(power), n["root"]), n["eps"])
        return sub(parameter, div(mul(mean, n["size"]), scale)), [mean, power]
