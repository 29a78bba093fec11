"""The state of a module: what its ``state_dict`` holds, how it is loaded, and changed to another dtype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flambeau.dtypes import DType
from flambeau.engine.modes import grad_enabled
from flambeau.errors import OperandError, WeightsError
from flambeau.tensor import Tensor

if TYPE_CHECKING:
    from flambeau.nn.module import Module


class Differences(NamedTuple):
    """What ``load_state_dict`` found missing, and what it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def entries(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers, module by module, under every name they have."""
    for path, part in module.named_modules(remove_duplicate=False):
        lead = f"{path}." if path else ""
        for name, parameter in part._parameters.items():
            yield lead + name, parameter
        for name, buffer in part._buffers.items():
            if buffer is not None and name not in part._transient:
                yield lead + name, buffer


def values(module: Module) -> dict[str, Tensor]:
    """The values of parameters and persistent buffers by dotted name, as constants."""
    return {name: tensor.detach() for name, tensor in entries(module)}


def load(module: Module, given: Mapping[str, Tensor], strict: bool) -> Differences:
    """Take over the values that were given, all or none."""
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise OperandError(f"load_state_dict: tensors by name are needed, but {name!r} is {tensor!r:.80}")
    own = dict(entries(module))
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    problems: list[str] = []
    if strict:
        problems += [f"missing: {name} {own[name]._value.type}" for name in missing]
        problems += [f"unexpected: {name} {given[name]._value.type}" for name in unexpected]
    for name, tensor in own.items():
        fitting = tensor._value.type
        if name in given and given[name]._value.type != fitting:
            problems.append(
                f"misfit: {name} is {fitting} in the model, {given[name]._value.type} in the weights"
            )
    if problems:
        listed = "\n  ".join(problems)
        raise WeightsError(f"the weights do not fit {type(module).__name__}:\n  {listed}")
    chosen = [name for name in own if name in given]
    for name in chosen:
        given[name].numpy()  # what is still pending may fail, before anything is taken over
    for name in chosen:
        own[name]._rebind(given[name].detach()._value)
    return Differences(missing, unexpected)


def convert(module: Module, dtype: DType) -> None:
    """Change floating-point parameters, their gradients, and buffers to ``dtype``, in place."""
    token = grad_enabled.set(False)
    try:
        for _, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.dtype.floating and tensor.dtype is not dtype:
                gradient = tensor._grad
                tensor._rebind(_converted(tensor, dtype))
                if gradient is not None:
                    tensor._grad = Tensor(_converted(gradient, dtype))
    finally:
        grad_enabled.reset(token)


def _converted(tensor: Tensor, dtype: DType) -> Any:
    made = tensor.detach().astype(dtype)
    made.numpy()
    return made._value
