"""Stopping before all epochs are over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau import random
from flambeau.engine.convert import from_array
from flambeau.errors import NonFiniteError
from flambeau.tensor import Tensor
from flambeau.training.callbacks.callback import Callback, Logs
from flambeau.training.callbacks.monitor import Monitor


class EarlyStopping(Callback):
    """Stop when a figure has not got better for ``patience`` epochs.

    ``min_delta`` is the least change that counts, ``baseline`` what has to be beaten.  With
    ``restore_best_weights`` the model ends with the weights of its best epoch.  Epochs before
    ``start_from_epoch`` do not count.

    >>> import flambeau as fb
    >>> stop = fb.training.callbacks.EarlyStopping("loss", patience=2)
    >>> model = fb.Model(fb.nn.Linear(1, 1))
    >>> model.compile(fb.optim.SGD(model.parameters(), lr=0.0), "mse_loss")
    >>> x = fb.ones((4, 1))
    >>> len(model.fit(x, x, epochs=10, verbose=0, callbacks=[stop]).epoch)
    3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self.patience = patience
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._begin()

    def _begin(self) -> None:
        self.monitor.best = None
        self.wait = 0
        self.stopped_epoch: int | None = None
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Tensor] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitor.read(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.monitor.improved(value):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.module.state_dict()
            if self.monitor.better(value, self.baseline):
                self.wait = 0
                return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.restore_best_weights and self.best_weights is not None:
            self.model.module.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            **self.monitor.state_dict(),
            "wait": self.wait,
            "stopped_epoch": self.stopped_epoch,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state_dict(state)
        self.wait, self.stopped_epoch = state["wait"], state["stopped_epoch"]
        self.best_epoch, self.best_weights = state["best_epoch"], state["best_weights"]


class TerminateOnNaN(Callback):
    """Stop with an error when the loss is NaN or infinite, saying where that arose.

    The step that failed is done again with the weights from before it, watching every operation:
    the ``NonFiniteError`` names the operation, the line and the layer, in the forward pass or in its
    gradient.  Where an update of the optimizer made the first NaN, it names the parameter.  Weights
    from before the last two steps are kept for that.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Any, ...]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._kept = []

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        module = self.model.module
        # Views of memory, not tensors: those would share the values that a compiled step replaces.
        values = {name: p.numpy() for name, p in module.named_parameters()}
        buffers = [b.numpy() for b in module.buffers()]
        generator = random.default_generator().state
        self._kept = [*self._kept[-1:], (values, buffers, generator, self.model.batch)]

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if math.isfinite(self.model.batch_loss):
            return
        self.model.stop_training = True
        after = [{name: p.numpy() for name, p in self.model.module.named_parameters()}]
        before = [kept[0] for kept in self._kept]
        for kept, reached in zip(self._kept, [*before[1:], *after], strict=True):
            self._do_again(kept)
            for name, value in reached.items():
                if not _finite(value) and all(_finite(v) for v in kept[0].values()):
                    optimizer = type(self.model.optimizer).__name__
                    raise NonFiniteError(
                        f"training failed: a step of {optimizer} made {name} {_what(value)}, "
                        f"of finite gradients; try a smaller learning rate"
                    )
        raise NonFiniteError(
            f"training failed: the loss is {self.model.batch_loss}; where that arose could not be found: "
            "the weights or the data held no finite numbers before"
        )

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._kept = []

    def on_train_error(self, error: BaseException) -> None:
        self._kept = []

    def _do_again(self, kept: tuple[Any, ...]) -> None:
        from flambeau.transforms.anomaly import detect_anomaly

        values, buffers, generator, batch = kept
        module = self.model.module
        for name, p in module.named_parameters():
            p._rebind(from_array(values[name]))
        for b, old in zip(module.buffers(), buffers, strict=True):
            b._rebind(from_array(old))
        random.default_generator().state = generator
        try:
            with detect_anomaly():
                self.model.backward(batch)
        except NonFiniteError as error:
            raise NonFiniteError(f"training failed: {error}") from None
        finally:
            module.zero_grad()


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array.astype(np.float32) if array.dtype.itemsize == 2 else array).all())


def _what(array: np.ndarray) -> str:
    return "NaN" if np.isnan(array.astype(np.float64)).any() else "infinite"
