"""Model: training, evaluation and prediction around a module, with Keras's methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flambeau.errors import DTypeError, OperandError, ShapeError, TraceError
from flambeau.graph.types import TensorType
from flambeau.io import load_weights, save_weights
from flambeau.io.weights import FilePath
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.grad_mode import no_grad
from flambeau.ops.manipulation import concat
from flambeau.optim import Optimizer
from flambeau.tensor import Tensor
from flambeau.training import check, feeding, optimizers
from flambeau.training.callbacks.backup import BackupAndRestore
from flambeau.training.callbacks.callback import Callback, CallbackList
from flambeau.training.explained import StepExplainer
from flambeau.training.feeding import ArrayFeed, Batch, Feed, LoaderFeed
from flambeau.training.history import History
from flambeau.training.losses import Loss
from flambeau.training.metrics import Metric
from flambeau.training.metrics import names as metric_names
from flambeau.training.progress import Report, verbosity
from flambeau.training.run import Run
from flambeau.training.step import Steps, call
from flambeau.training.summary import summary_of
from flambeau.transforms import tree
from flambeau.transforms.compile import compile
from flambeau.transforms.explain import Explanation


class Model:
    """A module together with how it is trained.

    >>> import flambeau as fb
    >>> fb.random.seed(0)
    >>> x = fb.random.normal((256, 2))
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(fb.int64)
    >>> net = fb.nn.Sequential(fb.nn.Linear(2, 32), fb.nn.ReLU(), fb.nn.Linear(32, 2))
    >>> model = fb.Model(net)
    >>> model.compile(fb.optim.Adam(model.parameters(), lr=0.01), "cross_entropy", ["accuracy"])
    >>> history = model.fit(x, y, epochs=20, validation_split=0.25, verbose=0)
    >>> history.history["val_accuracy"][-1] > 0.9
    True
    """

    optimizer: Optimizer
    loss: Loss
    run: Run
    batch: Batch

    def __init__(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise OperandError(f"Model: a module is needed, not a {type(module).__name__}")
        self.module = module
        self.history = History()
        self.explanation: Explanation | None = None  # of a training step, where fit was asked for one
        self.stop_training = False
        self.run_eagerly = False
        self.global_clipnorm: float | None = None
        self.batch_loss = float("nan")
        self.notes: dict[str, Any] = {}
        self._compiled = False
        self._given: list[str | Metric] = []
        self._metrics: list[Metric] | None = None
        self._example: tuple[Any, ...] | dict[str, Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def parameters(self) -> Iterator[Parameter]:
        """The module's parameters, for an optimizer."""
        return self.module.parameters()

    def compile(
        self,
        optimizer: str | Optimizer,
        loss: Any,
        metrics: Sequence[str | Metric] = (),
        *,
        global_clipnorm: float | None = None,
        run_eagerly: bool = False,
    ) -> None:
        """Say how to train.

        ``optimizer`` and ``loss`` are objects or names such as ``"adam"`` and ``"cross_entropy"``;
        a loss may be any function ``loss(outputs, targets)`` that gives one number.  ``metrics`` are
        objects of ``fb.training.metrics`` or their names; ``"accuracy"`` is chosen by the targets.
        Gradients are scaled down to ``global_clipnorm`` where their norm is above it.  With
        ``run_eagerly`` the Python of each step is run anew instead of being recorded once: for
        models whose Python does something else from step to step.

        Raises ``OperandError`` for what is not there.
        """
        for metric in metrics:
            metric_names.check(metric)
        names = [m if isinstance(m, str) else m.name for m in metrics]
        if len({"loss", *names}) <= len(names):
            raise OperandError(f"compile: metrics need different names, other than 'loss', not {names}")
        self.loss = Loss(loss)
        self.optimizer = optimizers.resolve(optimizer, self.module)
        self._given = list(metrics)
        self._metrics = None
        self.global_clipnorm = global_clipnorm
        self.run_eagerly = run_eagerly
        self._compiled = True

    # -- training -----------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Iterable[Callback] = (),
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        validation_batch_size: int | None = None,
        gradient_accumulation_steps: int = 1,
        mixed_precision: bool = False,
        explain: bool = False,
    ) -> History:
        """Train for ``epochs`` passes over the data, and return the figures of each.

        Args:
            x: A tensor or array, or a tuple (positional) or dict (named) of them for a module with
                several arguments; or a loader, which gives ``(x, y)`` or ``(x, y, sample_weight)``.
            y: Targets, unless ``x`` is a loader.
            batch_size: Examples in a step; the last one of an epoch may have fewer.
            epochs: The number of the last epoch, counted from ``initial_epoch``.
            verbose: 0 silent, 1 a progress bar, 2 a line for each epoch; ``"auto"`` is 1 on a
                terminal and 2 elsewhere.
            callbacks: Objects of ``fb.training.callbacks``.
            validation_split: The share of the examples, from the end, to evaluate with after each epoch.
            validation_data: ``(x, y)``, ``(x, y, sample_weight)`` or a loader to evaluate with.
            shuffle: Whether arrays are taken in a new random order in each epoch.
            class_weight: A weight for each class of integer or one-hot targets.
            sample_weight: A weight for each example.
            initial_epoch: The epoch to begin with.
            validation_batch_size: Examples in a step of validation; by default ``batch_size``.
            gradient_accumulation_steps: How many batches make up one update; gradients are averaged
                over all their examples, as in one large batch.
            mixed_precision: Compute in bfloat16, with float32 parameters, norms and losses.
            explain: Print the kernels of a training step (the second, where there are several), as
                ``fb.explain`` does; they are kept as ``explanation``.

        Raises:
            ShapeError: Before the first step, where layers, data and loss do not fit; the message names
                the layer, the line and the shapes.
            OperandError: For arguments that cannot be worked with.
        """
        self._require("fit")
        for name, value, low in (
            ("epochs", epochs, 0),
            ("initial_epoch", initial_epoch, 0),
            ("gradient_accumulation_steps", gradient_accumulation_steps, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise OperandError(f"fit: {name} must be a whole number of at least {low}, not {value!r}")
        if validation_split and validation_data is not None:
            raise OperandError("fit: give validation_split or validation_data, not both")
        if validation_split:
            if feeding.is_loader(x):
                raise OperandError("fit: a loader cannot be split: give validation_data")
            parts = (feeding.as_inputs(x), feeding.as_tensors(y), _weights(sample_weight))
            (x, y, sample_weight), validation_data = feeding.split_off(validation_split, *parts)
        feed = self._feed("fit", x, y, sample_weight, batch_size, shuffle, class_weight)
        validation = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            validation = self._validation(validation_data, size)
        given = list(callbacks)
        if not self.module.training:
            self.module.train()
        keep = any(isinstance(c, Callback) and c.needs_gradients for c in given)
        accumulate = gradient_accumulation_steps

        def look(batch: Batch) -> Steps:
            return Steps(self, self._look(batch, mixed_precision), mixed_precision, accumulate, keep)

        self.history = History()
        self.stop_training = False
        self.run = Run(self, look, feed, validation, epochs, initial_epoch)
        if explain:
            steps = None if feed.steps is None else feed.steps * (epochs - initial_epoch)
            self.run.explainer = StepExplainer(accumulate, steps)
            self.explanation = self.run.explainer.explanation
        self.run.train(self._callbacks(given, verbose, epochs, feed.steps))
        return self.history

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        verbose: str | int = 0,
        sample_weight: Any = None,
        callbacks: Iterable[Callback] = (),
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on data: numbers in the order of ``compile``, or by name.

        ``x`` and ``y`` are as in ``fit``.  Without metrics the result is the loss alone.
        """
        self._require("evaluate")
        feed = self._feed("evaluate", x, y, sample_weight, batch_size, False, None)

        def look(batch: Batch) -> Steps:
            return Steps(self, self._look(batch, False))

        run = Run(self, look, feed)
        logs = run.evaluate(feed, self._callbacks(callbacks, verbose, 1, feed.steps))
        if return_dict:
            return logs
        figures = list(logs.values())
        return figures if len(figures) > 1 else figures[0]

    def predict(
        self,
        x: Any,
        batch_size: int = 32,
        verbose: str | int = 0,
        callbacks: Iterable[Callback] = (),
    ) -> Any:
        """The outputs for data, batch by batch, put together; in evaluation mode, without gradients.

        ``x`` is as in ``fit``; of what a loader gives, the first part is taken.

        >>> import flambeau as fb
        >>> fb.Model(fb.nn.Linear(3, 2)).predict(fb.ones((100, 3))).shape
        (100, 2)
        """
        if feeding.is_loader(x):
            feed: Feed = LoaderFeed(x, targets=False)
        else:
            feed = ArrayFeed(feeding.as_inputs(x), None, None, _size(batch_size), False)
        hooks = self._callbacks(callbacks, verbose, 1, feed.steps)
        forward: Any = self._forward if self.run_eagerly else compile(self._forward)
        made: list[Any] = []
        feed.begin()
        hooks.call("on_predict_begin", {})
        with self.evaluating():
            for i, batch in enumerate(feed):
                hooks.call("on_predict_batch_begin", i, {})
                made.append(tree.flatten(forward(batch.inputs)))
                for leaf in made[-1][0]:
                    leaf.numpy()
                hooks.call("on_predict_batch_end", i, {})
        hooks.call("on_predict_end", {})
        if not made:
            raise OperandError("predict: there is not a single batch")
        leaves = [concat([leaves[i] for leaves, _ in made]) for i in range(len(made[0][0]))]
        return made[0][1].unflatten(leaves)

    def _forward(self, inputs: Any) -> Any:
        with no_grad():
            return call(self.module, inputs)

    def backward(self, batch: Batch) -> None:
        """Forward and backward of the training that runs, on one batch, without an update."""
        assert self.run.steps is not None
        self.run.steps.backward(batch)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block the module is in evaluation mode; then each part is as it was."""
        before = [(m, m.training) for m in self.module.modules()]
        self.module.eval()
        try:
            yield
        finally:
            for m, mode in before:
                m.training = mode

    # -- looks and files ----------------------------------------------------------------------

    def summary(self, x: Any = None) -> str:
        """What the model is made of, as a table of its layers: shapes, parameters, FLOPs and memory.

        ``x`` is an example of the inputs, or its shape; after ``fit`` it may be left out.  Nothing is
        computed.  The text is returned: print it.

        >>> import flambeau as fb
        >>> net = fb.nn.Sequential(fb.nn.Linear(4, 8), fb.nn.ReLU(), fb.nn.Linear(8, 2))
        >>> print(fb.Model(net).summary((32, 4)))
        layer  type    output   parameters   FLOPs
        ------------------------------------------
        0      Linear  (32, 8)          40   2.3 k
        1      ReLU    (32, 8)           0     256
        2      Linear  (32, 2)          18  1.09 k
        <BLANKLINE>
        Sequential for inputs of shape (32, 4): output (32, 2)
        parameters: 58
        FLOPs of a forward pass: 3.65 k
        memory: 232 B of parameters and buffers, 232 B of gradients, 2.25 KiB of layers' outputs
        """
        example = self._example if x is None else x
        if example is None:
            raise OperandError("summary: an example of the inputs is needed, or their shape")
        with self.evaluating():
            return summary_of(self.module, example)

    def save_weights(self, path: FilePath, metadata: Mapping[str, str] | None = None) -> None:
        """Write the module's weights to a safetensors file."""
        save_weights(path, self.module.state_dict(), metadata)

    def load_weights(self, path: FilePath) -> None:
        """Read the module's weights from a safetensors file."""
        self.module.load_state_dict(load_weights(path))

    def __repr__(self) -> str:
        return f"Model({self.module!r})"

    # -- helpers ------------------------------------------------------------------------------

    @property
    def metric_names(self) -> list[str]:
        """The names of the metrics, in order."""
        return [m if isinstance(m, str) else m.name for m in self._given]

    def _require(self, what: str) -> None:
        if not self._compiled:
            raise OperandError(f"{what}: call compile(optimizer, loss) first")

    def _feed(
        self,
        name: str,
        x: Any,
        y: Any,
        weights: Any,
        batch_size: int,
        shuffle: bool,
        class_weight: Mapping[int, float] | None,
    ) -> Feed:
        if feeding.is_loader(x):
            if y is not None or weights is not None:
                raise OperandError(f"{name}: a loader gives targets and weights itself")
            return LoaderFeed(x, class_weight)
        if y is None:
            raise OperandError(f"{name}: y is needed, what is to be predicted")
        targets, weights = feeding.as_tensors(y), _weights(weights)
        if class_weight is not None:
            weights = feeding.class_weights(class_weight, targets, weights)
        return ArrayFeed(feeding.as_inputs(x), targets, weights, _size(batch_size), shuffle)

    def _validation(self, data: Any, batch_size: int) -> Feed:
        if isinstance(data, (tuple, list)):
            if not 2 <= len(data) <= 3:
                raise OperandError("fit: validation_data must be (x, y), (x, y, sample_weight) or a loader")
            return self._feed("fit", data[0], data[1], data[2] if data[2:] else None, batch_size, False, None)
        return self._feed("fit", data, None, None, batch_size, False, None)

    def _callbacks(
        self, given: Iterable[Callback], verbose: str | int, epochs: int, steps: int | None
    ) -> CallbackList:
        """The callbacks in the order they are called in: the report first, backups last."""
        level = verbosity(verbose)
        callbacks = list(given)
        ordered = [c for c in callbacks if not isinstance(c, BackupAndRestore)]
        ordered += [c for c in callbacks if isinstance(c, BackupAndRestore)]
        if level:
            ordered = [Report(level), *ordered]
        return CallbackList(ordered, self, {"epochs": epochs, "steps": steps, "verbose": level})

    def _look(self, batch: Batch, mixed_precision: bool) -> list[Metric]:
        """Look at the types of everything before the first step; the metrics that names mean."""
        self._example = check.types_of(batch.inputs)
        probe = Steps(self, [], mixed_precision)

        def whole(inputs: Any, targets: Any, weights: Any) -> Any:
            outputs = probe.forward(inputs)
            self.loss(outputs, targets, weights)
            return outputs

        try:
            outputs = check.record(whole, batch.inputs, batch.targets, batch.weights)
        except (ShapeError, DTypeError) as error:
            check.name_origin(error, self.module)
            raise
        except TraceError:
            if not self.run_eagerly:
                raise
            outputs = check.run(whole, batch.inputs, batch.targets, batch.weights)
        if self._metrics is None:
            truth = check.types_of(batch.targets)
            for metric in self._given:
                if isinstance(metric, str) and not (
                    isinstance(truth, TensorType) and isinstance(outputs, TensorType)
                ):
                    raise OperandError(
                        f"compile: the metric {metric!r} needs one tensor of targets and one of outputs"
                    )
            self._metrics = [metric_names.resolve(m, truth, outputs, self.loss.logits) for m in self._given]
        return self._metrics


def _weights(weights: Any) -> Tensor | None:
    return None if weights is None else feeding.as_weights(weights)


def _size(batch_size: Any) -> int:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise OperandError(f"batch_size must be a whole number of at least 1, not {batch_size!r}")
    return batch_size
