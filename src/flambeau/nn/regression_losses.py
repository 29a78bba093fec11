"""Losses between numbers."""

from __future__ import annotations

from flambeau.nn.loss import Loss, number_of, operand, record_loss, reduction_of
from flambeau.primitives import losses
from flambeau.tensor import Tensor


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared difference of tensors of one shape: its mean, its sum, or each ("none").

    >>> import flambeau as fb
    >>> fb.nn.functional.mse_loss(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 4.0]))
    tensor(2.)
    """
    return record_loss("mse_loss", losses.mse_loss, (reduction_of("mse_loss", reduction),), input, target)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute difference of tensors of one shape; the gradient at 0 is 0."""
    return record_loss("l1_loss", losses.l1_loss, (reduction_of("l1_loss", reduction),), input, target)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``0.5 * d**2 / beta`` for differences below ``beta``, ``abs(d) - 0.5 * beta`` above.

    Source: R. Girshick, "Fast R-CNN", ICCV 2015.
    """
    name = "smooth_l1_loss"
    beta = number_of(name, "beta", beta, least=0)
    if beta == 0:
        return record_loss(name, losses.l1_loss, (reduction_of(name, reduction),), input, target)
    attrs = (reduction_of(name, reduction),)
    return record_loss(name, losses.smooth_l1_loss, attrs, input, target, operand(beta))


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """``0.5 * d**2`` for differences below ``delta``, ``delta * (abs(d) - 0.5 * delta)`` above.

    Source: P. J. Huber, "Robust estimation of a location parameter", 1964.
    """
    delta = number_of("huber_loss", "delta", delta, above=0)
    attrs = (reduction_of("huber_loss", reduction),)
    return record_loss("huber_loss", losses.huber_loss, attrs, input, target, operand(delta))


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log likelihood of counts under Poisson distributions with means ``exp(input)``.

    Without ``log_input`` the input is the mean, and ``eps`` keeps its logarithm finite.  ``full`` adds
    Stirling's approximation of ``log(target!)`` for targets above 1.
    """
    name = "poisson_nll_loss"
    eps = number_of(name, "eps", eps, least=0)
    attrs = (bool(log_input), bool(full), eps, reduction_of(name, reduction))
    return record_loss(name, losses.poisson_nll_loss, attrs, input, target)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log likelihood of targets under normal distributions with means ``input``.

    ``var`` has the shape of the input, 1 as its last size, or no last axis; or it is a number.
    Variances below ``eps`` count as ``eps``, with the gradient as it is; negative ones give NaN.
    ``full`` adds the constant ``0.5 * log(2 * pi)``.

    Source: D. A. Nix, A. S. Weigend, "Estimating the mean and variance of the target probability
    distribution", 1994.
    """
    name = "gaussian_nll_loss"
    eps = number_of(name, "eps", eps, above=0)
    spread = var if isinstance(var, Tensor) else operand(number_of(name, "var", var, least=0))
    attrs = (bool(full), eps, reduction_of(name, reduction))
    return record_loss(name, losses.gaussian_nll_loss, attrs, input, target, spread)


class MSELoss(Loss):
    """``mse_loss`` as a module.

    >>> import flambeau as fb
    >>> fb.nn.MSELoss(reduction="sum")(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 4.0]))
    tensor(4.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return mse_loss(input, target, self.reduction)


class L1Loss(Loss):
    """``l1_loss`` as a module."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return l1_loss(input, target, self.reduction)


class SmoothL1Loss(Loss):
    """``smooth_l1_loss`` as a module."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number_of("SmoothL1Loss", "beta", beta, least=0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(Loss):
    """``huber_loss`` as a module."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number_of("HuberLoss", "delta", delta, above=0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return huber_loss(input, target, self.reduction, self.delta)


class PoissonNLLLoss(Loss):
    """``poisson_nll_loss`` as a module."""

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = number_of("PoissonNLLLoss", "eps", eps, least=0)

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return poisson_nll_loss(log_input, target, self.log_input, self.full, self.eps, self.reduction)


class GaussianNLLLoss(Loss):
    """``gaussian_nll_loss`` as a module."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = number_of("GaussianNLLLoss", "eps", eps, above=0)

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """The loss."""
        return gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
