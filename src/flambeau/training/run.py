"""A run of ``fit``: the loop, its position, and how both are saved and restored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from flambeau.errors import OperandError
from flambeau.io.checkpoint import Checkpoint, Checkpoints
from flambeau.training import feeding
from flambeau.training.callbacks.backup import BackupAndRestore
from flambeau.training.callbacks.callback import CallbackList, Logs
from flambeau.training.explained import StepExplainer
from flambeau.training.feeding import Batch, Feed
from flambeau.training.generators import random_state, set_random_state
from flambeau.training.metrics import Mean, Metric
from flambeau.training.step import Measured, Steps

if TYPE_CHECKING:
    from flambeau.training.model import Model


class Run:
    """One training: where it is, and what it needs to go on from there.

    ``epoch`` is the epoch that is running or comes next, ``batch`` how many of its batches are done.
    """

    def __init__(
        self,
        model: Model,
        look: Callable[[Batch], Steps],
        feed: Feed,
        validation: Feed | None = None,
        epochs: int = 0,
        initial_epoch: int = 0,
    ) -> None:
        self.model = model
        self.look = look
        self.steps: Steps | None = None
        self.feed = feed
        self.validation = validation
        self.epochs = epochs
        self.epoch = initial_epoch
        self.batch = 0
        self.loss = Mean("loss")
        self.callbacks: CallbackList
        self.explainer: StepExplainer | None = None
        self._example: Any = None  # shapes and dtypes of the batch that was looked at
        example = feed.example()
        if example is not None:
            self.prepare(example)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, known once a batch has been looked at."""
        return [] if self.steps is None else self.steps.metrics

    def prepare(self, batch: Batch) -> Steps:
        """The steps; at first the model is looked at with a batch, and nothing is computed."""
        if self.steps is None:
            self._example = feeding.described(batch)
            self.steps = self.look(batch)
        return self.steps

    # -- the loop -----------------------------------------------------------------------------

    def train(self, callbacks: CallbackList) -> None:
        """All epochs from the position on."""
        self.callbacks = callbacks
        model = self.model
        try:
            callbacks.call("on_train_begin", {})
            while self.epoch < self.epochs and (self.batch or not model.stop_training):
                self._epoch()
            callbacks.call("on_train_end", {})
        except BaseException as error:
            callbacks.call("on_train_error", error)
            raise

    def _epoch(self) -> None:
        callbacks, model = self.callbacks, self.model
        if not self.batch:
            self._reset()
            self.feed.begin()
            callbacks.call("on_epoch_begin", self.epoch, {})
        if not model.stop_training:
            for batch in self.feed:
                self._step(batch)
                if model.stop_training:
                    break
        if not self.batch:
            raise OperandError("fit: there is not a single batch to train on")
        if self.steps is not None:
            self.steps.flush()
        logs = self.logs()
        if self.validation is not None:
            found = self.evaluate(self.validation, callbacks)
            logs |= {f"val_{name}": value for name, value in found.items()}
        self.epoch += 1
        self.batch = 0
        # The position is that after the epoch while its end is told: there checkpoints are made.
        backups = [c for c in callbacks if isinstance(c, BackupAndRestore)]
        for callback in callbacks:
            if callback not in backups:
                callback.on_epoch_end(self.epoch - 1, logs)
        model.history.add(self.epoch - 1, logs)
        for callback in backups:
            callback.on_epoch_end(self.epoch - 1, logs)

    def _step(self, batch: Batch) -> None:
        callbacks, model = self.callbacks, self.model
        model.batch = batch
        steps = self.prepare(batch)
        callbacks.call("on_train_batch_begin", self.batch, {})
        with nullcontext() if self.explainer is None else self.explainer.step():
            loss, measured = steps.train(batch)
        model.batch_loss = loss
        self._add(loss, measured, batch)
        self.batch += 1
        callbacks.call("on_train_batch_end", self.batch - 1, self.logs())

    def evaluate(self, feed: Feed, callbacks: CallbackList) -> Logs:
        """Loss and metrics of a whole feed."""
        self._reset()
        feed.begin()
        callbacks.call("on_test_begin", {})
        with self.model.evaluating():
            for i, batch in enumerate(feed):
                steps = self.prepare(batch)
                callbacks.call("on_test_batch_begin", i, {})
                self._add(*steps.test(batch), batch)
                callbacks.call("on_test_batch_end", i, self.logs())
        logs = self.logs()
        callbacks.call("on_test_end", logs)
        return logs

    def _reset(self) -> None:
        self.loss.reset_state()
        for metric in self.metrics:
            metric.reset_state()

    def _add(self, loss: float, measured: Measured, batch: Batch) -> None:
        summed = self.model.loss.summed
        self.loss.add({"total": loss if summed else loss * batch.size, "count": 1 if summed else batch.size})
        for metric, sums in zip(self.metrics, measured, strict=True):
            metric.add(sums)

    def logs(self) -> Logs:
        """The loss and the metrics so far."""
        return {"loss": self.loss.result()} | {m.name: m.result() for m in self.metrics}

    # -- its state ----------------------------------------------------------------------------

    @property
    def between_steps(self) -> bool:
        """Whether the state is whole: no gradients wait to be added to others."""
        return self.steps is None or self.steps.between

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint of everything."""
        model = self.model
        weights = model.module.state_dict()
        state = {
            "epoch": self.epoch,
            "batch": self.batch,
            "stop_training": model.stop_training,
            "random": random_state(),
            "feed": self.feed.state_dict(),
            "validation": None if self.validation is None else self.validation.state_dict(),
            "loss": self.loss.state_dict(),
            "metrics": [[m.name, m.state_dict()] for m in self.metrics],
            "history": model.history.state_dict(),
            "callbacks": self.callbacks.state_dict(),
            "transient": {name: b for name, b in model.module.named_buffers() if name not in weights},
            "notes": model.notes,
            "example": self._example,
        }
        checkpoints.save(weights, model.optimizer.state_dict(), state)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint was made."""
        model, state = self.model, checkpoint.state
        names, own = [name for name, _ in state["metrics"]], model.metric_names
        if names != own:
            raise OperandError(f"the checkpoint was made with the metrics {names}, and these are {own}")
        model.module.load_state_dict(checkpoint.weights)
        buffers = dict(model.module.named_buffers())
        for name, value in state["transient"].items():
            buffers[name]._rebind(value._value)
        model.optimizer.load_state_dict(checkpoint.optimizer)
        self.callbacks.load_state_dict(state["callbacks"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        model.stop_training = state["stop_training"]
        self.feed.load_state_dict(state["feed"])
        if self.validation is not None and state["validation"] is not None:
            self.validation.load_state_dict(state["validation"])
        self.loss.load_state_dict(state["loss"])
        if state["example"] is not None:
            self.prepare(feeding.example_of(state["example"]))
        for metric, (_, sums) in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state_dict(sums)
        model.history.load_state_dict(state["history"])
        set_random_state(state["random"])
