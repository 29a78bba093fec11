"""Module: what all layers and models are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError, WeightsError
from flambeau.nn.parameter import Parameter
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor


class Module:
    """A piece of a network: parameters, sub-modules, and ``forward``.

    Assign parameters and modules to attributes in ``__init__`` and write ``forward``; calling the
    module runs it.

    >>> import flambeau as fb
    >>> class Net(fb.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first = fb.nn.Linear(4, 8)
    ...     def forward(self, x):
    ...         return fb.relu(self.first(x))
    >>> Net()(fb.ones((2, 4))).shape
    (2, 8)
    """

    training: bool
    _parameters: dict[str, Parameter]
    _modules: dict[str, Module]
    _name: str

    def __init__(self) -> None:
        object.__setattr__(self, "_parameters", {})
        object.__setattr__(self, "_modules", {})
        object.__setattr__(self, "_name", "")
        self.training = True

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"call super().__init__() before assigning {name!r} in {type(self).__name__}"
            )
        if name in self._parameters and isinstance(value, Tensor) and not isinstance(value, Parameter):
            raise OperandError(
                f"{type(self).__name__}.{name} is a parameter, and a plain tensor would take its place "
                "unnoticed: assign fb.nn.Parameter(...), or change the values with load_state_dict "
                "or under no_grad"
            )
        if not isinstance(value, Parameter):
            self._parameters.pop(name, None)
        if not isinstance(value, Module):
            self._modules.pop(name, None)
        if isinstance(value, Parameter):
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._modules[name] = value
            object.__setattr__(value, "_name", name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._parameters.pop(name, None)
        self._modules.pop(name, None)
        object.__delattr__(self, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outer = THREAD.tape.layer
        THREAD.tape.layer = (*outer, self._name or type(self).__name__)
        try:
            return self.forward(*args, **kwargs)
        finally:
            THREAD.tape.layer = outer  # the tape may be another one by now

    # -- parameters ---------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all inside it, with dotted names, each once."""
        seen: set[int] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            for child, inner in reversed(module._modules.items()):
                stack.append((f"{name}.{child}" if name else child, inner))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, each once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, parameter in module._parameters.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield (f"{prefix}.{name}" if prefix else name), parameter

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters())

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters' values by dotted name."""
        return {name: p.detach() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the values of ``state``, all or none.

        Raises ``WeightsError`` unless names, shapes and dtypes fit exactly, listing all that do not.
        """
        for name, given in state.items():
            if not isinstance(given, Tensor):
                raise OperandError(
                    f"load_state_dict: tensors by name are needed, but {name!r} is {given!r:.80}"
                )
        own = dict(self.named_parameters())
        problems = [f"missing: {name} {own[name]._value.type}" for name in own if name not in state]
        problems += [f"unexpected: {name} {state[name]._value.type}" for name in state if name not in own]
        for name, parameter in own.items():
            fitting = parameter._value.type
            if name in state and state[name]._value.type != fitting:
                problems.append(
                    f"misfit: {name} is {fitting} in the model, {state[name]._value.type} in the weights"
                )
        if problems:
            listed = "\n  ".join(problems)
            raise WeightsError(f"the weights do not fit {type(self).__name__}:\n  {listed}")
        for name in own:
            state[name].numpy()  # what is still pending may fail, before anything is taken over
        for name, parameter in own.items():
            parameter._rebind(state[name].detach()._value)

    def train(self, mode: bool = True) -> Module:
        """Put the module, and all inside it, in training mode."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Put the module, and all inside it, in evaluation mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    # -- looks --------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What ``repr`` shows in parentheses."""
        own = [f"{name}={shape_text(p.shape)}" for name, p in self._parameters.items()]
        return ", ".join(own)

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._modules.items()]
        name = type(self).__name__
        if not children:
            return f"{name}({self.extra_repr()})"
        body = "\n  ".join(children)
        return f"{name}(\n  {body}\n)"
