"""Callback: what is called at the turns of a training, with Keras's hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flambeau.errors import OperandError

if TYPE_CHECKING:
    from flambeau.training.model import Model

Logs = dict[str, Any]

HOOKS = tuple(
    f"on_{what}_{when}"
    for what in ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("begin", "end")
)


class Callback:
    """Something that ``fit``, ``evaluate`` and ``predict`` call at their turns.

    Override the hooks that are of interest.  ``self.model`` is the model; ``self.params`` says how
    many ``epochs`` and ``steps`` there are.  Epochs and batches count from 0; ``logs`` has the loss and
    metrics so far.  A callback that keeps something between calls gives it in ``state_dict`` and
    takes it in ``load_state_dict``, so that a training that was interrupted goes on exactly.

    >>> import flambeau as fb
    >>> class Tell(fb.training.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> model = fb.Model(fb.nn.Linear(1, 1))
    >>> model.compile("sgd", "mse_loss")
    >>> history = model.fit(fb.ones((4, 1)), fb.ones((4, 1)), epochs=2, verbose=0, callbacks=[Tell()])
    0 ['loss']
    1 ['loss']
    """

    model: Model
    params: dict[str, Any]
    # Whether gradients shall be there after a step, to be looked at.
    needs_gradients = False
    # Whether its state is part of checkpoints.
    saved = True

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Training begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Training is over."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch begins."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch is over, validation included; what is put into ``logs`` goes into the history."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A step of training begins."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A step of training is over."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Evaluation or validation begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Evaluation or validation is over."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of evaluation begins."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of evaluation is over."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Prediction begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Prediction is over."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of prediction begins."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of prediction is over."""

    def on_train_error(self, error: BaseException) -> None:
        """Training ends by an error or an interrupt: what was opened is to be closed."""

    def state_dict(self) -> dict[str, Any]:
        """What is kept between calls, to be saved: numbers, text and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was saved."""


class LambdaCallback(Callback):
    """A callback made of functions, one for each hook that is of interest.

    >>> import flambeau as fb
    >>> shout = fb.training.callbacks.LambdaCallback(on_train_begin=lambda logs: print("begin!"))
    >>> shout.on_train_begin()
    begin!
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if name not in HOOKS:
                raise OperandError(f"LambdaCallback: there is no hook {name!r}; there are {', '.join(HOOKS)}")
            setattr(self, name, _with_logs(function))


def _with_logs(function: Callable[..., Any]) -> Callable[..., None]:
    def hook(*args: Any, logs: Logs | None = None) -> None:
        # A hook's last argument is its logs, which may be given by name or not at all.
        given = args if args and (args[-1] is None or isinstance(args[-1], dict)) else (*args, logs)
        function(*given)

    return hook


class CallbackList:
    """Callbacks that are called one after another."""

    def __init__(self, callbacks: Iterable[Callback], model: Model, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise OperandError(f"callbacks: {callback!r} is no callback")
            callback.set_model(model)
            callback.set_params(params)

    def __iter__(self) -> Iterator[Callback]:
        return iter(self.callbacks)

    def call(self, hook: str, *args: Any) -> None:
        """Call one hook of all."""
        for callback in self.callbacks:
            getattr(callback, hook)(*args)

    def state_dict(self) -> list[Any]:
        """The state of all, with their kinds."""
        return [[type(c).__name__, c.state_dict()] for c in self.callbacks if c.saved]

    def load_state_dict(self, state: list[Any]) -> None:
        """Give each its state; raises ``OperandError`` where they are others than when it was saved."""
        here = [c for c in self.callbacks if c.saved]
        saved, own = [kind for kind, _ in state], [type(c).__name__ for c in here]
        if saved != own:
            raise OperandError(
                f"the checkpoint was made with the callbacks {saved}, and these are {own}: "
                "to go on, fit needs the same ones"
            )
        for callback, (_, kept) in zip(here, state, strict=True):
            callback.load_state_dict(kept)
