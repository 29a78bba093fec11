"""What every layer has to stand: one case says what the layer is given, the tests do the rest.

A family adds a file to ``tests/nn/cases`` with a list ``CASES``, of entries such as::

    case("Linear", 5, 3, inputs=numbers(7, 5), output=(7, 3), shows="Linear(5, 3, bias=True)")

The positional arguments and those keyword arguments that ``Case`` does not know go to the layer,
and to the layer of the same name in PyTorch, which is loaded with the same state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

import flambeau as fb
from flambeau.tensor import Tensor
from tests.ops.families.case import numbers

__all__ = ["Case", "case", "numbers", "wholes"]

Array = np.ndarray
Wrong = tuple[tuple[Any, ...], type[Exception], str]
Refused = tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer, and what it is given.

    Attributes:
        layer: its name in ``fb.nn``
        args, options: what it is made with
        inputs: arrays; floating-point ones are cast to the dtype under test and differentiated
        output: the shape of the output, or a list of shapes where there are several
        shows: its repr, which must evaluate to an equal layer unless ``evaluable=False``
        variant: tells cases of a layer apart in the tests' names
        training: the mode it is run in
        batch: the axis of inputs and outputs that examples lie along, or None: examples alone and in a
            batch of any size must have the same bits, and the size may be symbolic
        independent: whether examples have nothing to do with each other
        dtypes: what it can be computed in
        traceable: False where ``forward`` updates buffers, which no transformation but compile allows
        finite: whether gradients are compared with finite differences
        strict: whether something that is no tensor is refused
        theirs: the name of PyTorch's layer where it is another, or a function of torch and a dtype that
            makes one; None where there is none
        call: how to call a layer, ours or theirs, where ``layer(*inputs)`` is not enough
        double: how far float64 may be from PyTorch's, relative to the largest element
        single: how far float32 may be from float64, relative to the largest element
        wrong: inputs that are refused, the error, and its message
        refused: arguments and options that no layer can be made of, the error, and its message
    """

    layer: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Array, ...]
    output: Any
    shows: str
    variant: str = ""
    evaluable: bool = True
    training: bool = True
    batch: int | None = 0
    independent: bool = True
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16")
    traceable: bool = True
    finite: bool = True
    strict: bool = True
    theirs: str | Callable[..., Any] | None = ""
    call: Callable[..., Any] | None = None
    double: float = 1e-9
    single: float = 2e-5
    wrong: Sequence[Wrong] = ()
    refused: Sequence[Refused] = ()

    @property
    def id(self) -> str:
        made = [*map(str, self.args), *[f"{k}={v}" for k, v in self.options.items()]]
        return f"{self.layer}-{self.variant or ','.join(made)}".replace(" ", "")

    def make(self, dtype: str = "float32") -> fb.nn.Module:
        """The layer, in the mode and dtype, with parameters that are nothing special."""
        kind = getattr(fb.nn, self.layer)
        typed = "dtype" in inspect.signature(kind).parameters
        fb.random.seed(1)
        exact = kind(*self.args, **self.options, **({"dtype": fb.float64} if typed else {}))
        layer: fb.nn.Module = kind(
            *self.args, **self.options, **({"dtype": getattr(fb, dtype)} if typed else {})
        )
        wanted = {name: t.dtype for name, t in layer.state_dict().items()}
        layer.load_state_dict({name: _moved(name, t, wanted[name]) for name, t in exact.state_dict().items()})
        return layer.train(self.training)

    def make_theirs(self, torch: Any, ours: fb.nn.Module, dtype: str) -> Any:
        """PyTorch's layer, in the same state and mode."""
        kind = getattr(torch, dtype)
        if callable(self.theirs):
            theirs = self.theirs(torch, kind)
        else:
            named = getattr(torch.nn, self.theirs or self.layer)
            options = dict(self.options)
            if "dtype" in inspect.signature(type(ours)).parameters:
                options["dtype"] = kind
            theirs = named(*self.args, **options)
        theirs.load_state_dict({name: torch.tensor(t.numpy()) for name, t in ours.state_dict().items()})
        return theirs.train(self.training)

    def typed(self, dtype: str) -> list[Array]:
        """The inputs, floating-point ones in ``dtype``."""
        target = getattr(fb, dtype).numpy
        return [a.astype(target) if a.dtype.kind == "f" else a for a in self.inputs]

    def tensors(self, dtype: str = "float32", requires_grad: bool = False) -> list[Tensor]:
        """The inputs as tensors."""
        return [
            fb.asarray(a, requires_grad=requires_grad and a.dtype.kind not in "iub")
            for a in self.typed(dtype)
        ]

    def run(self, layer: Any, *inputs: Any) -> list[Any]:
        """The outputs of a layer, ours or theirs, in a flat list."""
        made = layer(*inputs) if self.call is None else self.call(layer, *inputs)
        return list(_flat(made))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the outputs."""
        return list(self.output) if isinstance(self.output, list) else [self.output]


_OWN = {f.name for f in fields(Case)}


def case(layer: str, *args: Any, inputs: Any, **given: Any) -> Case:
    """A case; what ``Case`` does not know are options of the layer."""
    own = {name: value for name, value in given.items() if name in _OWN}
    options = {name: value for name, value in given.items() if name not in _OWN}
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    return Case(layer=layer, args=args, options=options, inputs=tuple(map(np.asarray, arrays)), **own)


def wholes(limit: int, *shape: int, seed: int = 0) -> Array:
    """Whole numbers below ``limit``."""
    return np.random.default_rng(seed).integers(0, limit, shape)


def _flat(made: Any) -> Iterator[Any]:
    if isinstance(made, (tuple, list)):
        for part in made:
            yield from _flat(part)
    elif made is not None:
        yield made


def _moved(name: str, value: Tensor, dtype: Any) -> Tensor:
    """Another value for an entry of a state, always the same; variances stay positive."""
    if not value.dtype.floating:
        return value
    low = 0.1 if name.rpartition(".")[2].endswith("var") else -0.4
    array = value.numpy().astype(np.float64) + numbers(*value.shape, low=low, high=0.5, seed=len(name))
    return fb.asarray(array.astype(np.float32).astype(dtype.numpy))


@contextmanager
def replaced(layer: fb.nn.Module, values: dict[str, Tensor]) -> Iterator[None]:
    """A layer that computes with other tensors in place of its parameters, for a ``with`` block."""
    before = dict(layer.named_parameters())
    try:
        _put(layer, values)
        yield
    finally:
        _put(layer, before)


def _put(layer: fb.nn.Module, values: dict[str, Any]) -> None:
    for path, value in values.items():
        owner, _, name = path.rpartition(".")
        module = layer.get_submodule(owner)
        module.__dict__[name] = value
        module._parameters[name] = value


def distance(actual: Array, expected: Array) -> float:
    """The largest difference, relative to the largest element where that is above 1."""
    a, b = (np.asarray(x).astype(np.float64) for x in (actual, expected))
    assert a.shape == b.shape
    if not a.size:
        return 0.0
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    same = (a == b) | np.isnan(a)
    if same.all():
        return 0.0
    scale = max(1.0, float(np.abs(b[np.isfinite(b)]).max(initial=0)))
    return float(np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b)).max()) / scale
