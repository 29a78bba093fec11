"""One step of training or evaluation, as a function of tensors.

Written define-by-run, as a user would write it.  ``fb.compile`` records it once and then skips its
Python; ``run_eagerly`` runs it as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambeau.dtypes import bfloat16, float32
from flambeau.ops.creation import asarray, zeros_like
from flambeau.ops.grad_mode import no_grad
from flambeau.tensor import Tensor
from flambeau.training import mixed
from flambeau.training.feeding import Batch, Inputs
from flambeau.training.losses import in_float32
from flambeau.training.metrics import Metric
from flambeau.transforms.compile import compile

if TYPE_CHECKING:
    from flambeau.training.model import Model

Measured = tuple[dict[str, Any], ...]


def call(module: Any, inputs: Inputs) -> Any:
    """The module's outputs."""
    return module(**inputs) if isinstance(inputs, dict) else module(*inputs)


def measure(metrics: list[Metric], outputs: Any, targets: Any, weights: Tensor | None) -> Measured:
    """What a batch adds to each metric."""
    with no_grad():
        return tuple([dict(metric.measure(targets, outputs, weights)) for metric in metrics])


class Steps:
    """The steps of one model as it was compiled, for one ``fit`` or ``evaluate``."""

    def __init__(
        self,
        model: Model,
        metrics: list[Metric],
        mixed_precision: bool = False,
        accumulate: int = 1,
        keep_gradients: bool = False,
    ) -> None:
        self.model = model
        self.metrics = metrics
        self.mixed_precision = mixed_precision
        self.accumulate = accumulate
        self.keep_gradients = keep_gradients
        self._waiting = 0  # examples whose gradients are accumulated
        self._batches = 0
        self._sums: list[tuple[Any, Tensor]] = []
        self._reached: set[int] = set()
        prepare = (lambda f: f) if model.run_eagerly else compile
        self._train = prepare(self.train_step)
        self._gather = prepare(self.gather_step)
        self._apply = prepare(self.apply_step)
        self._test = prepare(self.test_step)

    # -- the functions ------------------------------------------------------------------------

    def forward(self, inputs: Inputs) -> Any:
        """The outputs, in float32 where they were computed in bfloat16."""
        module = self.model.module
        if not self.mixed_precision:
            return call(module, inputs)
        with mixed.rounded(module):
            return in_float32(call(module, mixed.converted(inputs, float32, bfloat16)))

    def train_step(self, inputs: Inputs, targets: Any, weights: Tensor | None) -> tuple[Tensor, Measured]:
        """Forward, backward and update; the loss and what metrics measured."""
        model = self.model
        if self.keep_gradients:
            model.module.zero_grad()
        outputs = self.forward(inputs)
        loss = model.loss(outputs, targets, weights)
        measured = measure(self.metrics, outputs, targets, weights)
        loss.backward()
        self._update()
        return loss.detach(), measured

    def gather_step(
        self, inputs: Inputs, targets: Any, weights: Tensor | None, size: Tensor
    ) -> tuple[Tensor, Measured]:
        """Forward and backward; gradients, times the number of examples, are added up."""
        model = self.model
        outputs = self.forward(inputs)
        loss = model.loss(outputs, targets, weights)
        measured = measure(self.metrics, outputs, targets, weights)
        (loss * size.astype(loss.dtype)).backward()
        with no_grad():
            for p, total in self._sums:
                if p.grad is not None:
                    self._reached.add(id(p))
                    total += p.grad
        model.module.zero_grad()
        return loss.detach(), measured

    def apply_step(self, size: Tensor) -> None:
        """Update with the mean of the gradients that were added up."""
        with no_grad():
            for p, total in self._sums:
                if id(p) in self._reached:
                    p.grad = total / size.astype(total.dtype)
                    total[...] = 0.0
        self._update()

    def _update(self) -> None:
        model = self.model
        if model.global_clipnorm is not None:
            from flambeau.nn import utils

            utils.clip_grad_norm_(model.module.parameters(), model.global_clipnorm)
        model.optimizer.step()
        if not self.keep_gradients:
            model.module.zero_grad()

    def test_step(self, inputs: Inputs, targets: Any, weights: Tensor | None) -> tuple[Tensor, Measured]:
        """Forward alone."""
        with no_grad():
            outputs = call(self.model.module, inputs)
            loss = self.model.loss(outputs, targets, weights)
            return loss, measure(self.metrics, outputs, targets, weights)

    # -- running them -------------------------------------------------------------------------

    @property
    def between(self) -> bool:
        """Whether no gradients are being accumulated."""
        return self._batches == 0

    def train(self, batch: Batch) -> tuple[float, Measured]:
        """A step of training."""
        if self.accumulate == 1:
            loss, measured = self._train(batch.inputs, batch.targets, batch.weights)
            return loss.item(), measured
        if not self._sums:
            parameters = [p for p in self.model.module.parameters() if p.requires_grad]
            self._sums = [(p, zeros_like(p.detach())) for p in parameters]
            for _, total in self._sums:
                total.numpy()
        size = 1 if self.model.loss.summed else batch.size
        loss, measured = self._gather(batch.inputs, batch.targets, batch.weights, _number(size))
        self._waiting += size
        self._batches += 1
        value = loss.item()
        if self._batches == self.accumulate:
            self.flush()
        return value, measured

    def flush(self) -> None:
        """Update with the gradients that wait, if there are any."""
        if self._batches:
            self._apply(_number(1 if self.model.loss.summed else self._waiting))
            self._waiting = self._batches = 0

    def test(self, batch: Batch) -> tuple[float, Measured]:
        """A step of evaluation."""
        loss, measured = self._test(batch.inputs, batch.targets, batch.weights)
        return loss.item(), measured

    def backward(self, batch: Batch) -> None:
        """Forward and backward as in training, and nothing else."""
        outputs = self.forward(batch.inputs)
        self.model.loss(outputs, batch.targets, batch.weights).backward()
        for p in self.model.module.parameters():
            if p.grad is not None:
                p.grad.numpy()


def _number(n: int) -> Tensor:
    made: Tensor = asarray(float(n), dtype=float32)
    return made
