"""Module: what all layers and models are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from flambeau.devices import Device
from flambeau.dtypes import ALL
from flambeau.engine.tape import THREAD, Tape
from flambeau.errors import DTypeError, OperandError, TraceError
from flambeau.graph.where import NOWHERE, Where, caller
from flambeau.nn import state
from flambeau.nn.hooks import Hooks, RemovableHandle
from flambeau.nn.parameter import Parameter
from flambeau.ops.record import on, refuse, to_dtype
from flambeau.tensor import Tensor

_DTYPE_NAMES = {dtype.name for dtype in ALL}


class Module:
    """A piece of a network: parameters, buffers, sub-modules, and ``forward``.

    Assign parameters and modules to attributes in ``__init__``, name buffers (tensors that are no
    parameters but belong to the state) with ``register_buffer``, and write ``forward``; calling the
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
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module]
    _transient: set[str]  # buffers that are no part of the state_dict
    _before: Hooks
    _after: Hooks
    _name: str
    _made: Where  # the user's line that made it, shown where its sizes turn out to be wrong

    def __init__(self) -> None:
        own: list[tuple[str, Any]] = [("_parameters", {}), ("_buffers", {}), ("_modules", {})]
        own += [("_transient", set()), ("_before", {}), ("_after", {}), ("_name", ""), ("training", True)]
        own.append(("_made", caller()))
        for name, value in own:
            object.__setattr__(self, name, value)

    # -- attributes ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"call super().__init__() before assigning {name!r} in {type(self).__name__}"
            )
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            self._modules[name] = value
            value._take_name(name)
        elif name in self._buffers:
            value = self._new_buffer(name, value)
        elif name in self._parameters and isinstance(value, Tensor):
            refuse(
                OperandError(
                    f"{type(self).__name__}.{name} is a parameter, and a plain tensor would take its place "
                    "unnoticed: assign fb.nn.Parameter(...), or change the values with load_state_dict "
                    "or under no_grad"
                )
            )
        else:
            self._forget(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._forget(name)
        object.__delattr__(self, name)

    def _forget(self, name: str, but: str = "") -> None:
        """Take a name out of the tables (all but one, where it keeps its place)."""
        for table in ("_parameters", "_buffers", "_modules"):
            if table != but:
                self.__dict__[table].pop(name, None)
        self._transient.discard(name)

    def _new_buffer(self, name: str, value: Any) -> Tensor | None:
        """What a buffer's attribute is after ``value`` was assigned: the same handle with another value.

        The handle stays, so that a compiled step knows the buffer again that it updates.
        """
        if value is not None and not isinstance(value, Tensor):
            refuse(
                OperandError(
                    f"{type(self).__name__}.{name} is a buffer: a tensor or None is needed, "
                    f"not {type(value).__name__}"
                )
            )
        held = self._buffers[name]
        if value is not None:
            tape = value._value.source
            if isinstance(tape, Tape) and tape.abstract and not tape.abstract.startswith("compile("):
                refuse(
                    TraceError(
                        f"{type(self).__name__}.{name} is a buffer, and cannot be changed inside "
                        f"{tape.abstract}, whose values exist only while it is traced: use eval(), or "
                        "backward() outside of a transformation"
                    )
                )
        if value is None or held is None:
            self._buffers[name] = None if value is None else Tensor(value._value)
        elif held is not value:
            held._rebind(value._value)
        return self._buffers[name]

    def _check_name(self, what: str, name: Any, table: Mapping[str, Any]) -> None:
        kind = type(self).__name__
        if not isinstance(name, str) or not name or "." in name:
            refuse(OperandError(f"{kind}: a {what} needs a name without dots, not {name!r}"))
        if name not in table and hasattr(self, name):
            refuse(OperandError(f"{kind} has an attribute {name!r} already, which is no {what}"))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None leaves the attribute empty.

        >>> import flambeau as fb
        >>> layer = fb.nn.Module()
        >>> layer.register_parameter("scale", fb.nn.Parameter(fb.ones(2)))
        >>> [name for name, _ in layer.named_parameters()]
        ['scale']
        """
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            refuse(
                OperandError(
                    f"register_parameter: {name!r} needs an fb.nn.Parameter or None, "
                    f"not {type(param).__name__}"
                )
            )
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained, such as a running mean.

        The buffer takes the tensor's value; assigning another tensor to the attribute changes the
        buffer's value.  With ``persistent=False`` it is left out of ``state_dict``.

        >>> import flambeau as fb
        >>> counter = fb.nn.Module()
        >>> counter.register_buffer("seen", fb.asarray(0))
        >>> counter.seen = counter.seen + 1
        >>> counter.state_dict()
        {'seen': tensor(1)}
        """
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and (not isinstance(tensor, Tensor) or isinstance(tensor, Parameter)):
            refuse(
                OperandError(
                    f"register_buffer: {name!r} needs a tensor that is no parameter, or None, "
                    f"not {type(tensor).__name__}"
                )
            )
        self._buffers[name] = None if tensor is None else Tensor(tensor._value)
        (self._transient.discard if persistent else self._transient.add)(name)
        object.__setattr__(self, name, self._buffers[name])

    def register_module(self, name: str, module: Module) -> None:
        """Add a module under a name, as assigning it to the attribute does."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module) -> None:
        """Add a module under a name, as assigning it to the attribute does.

        >>> import flambeau as fb
        >>> net = fb.nn.Module()
        >>> net.add_module("first", fb.nn.Linear(2, 3))
        >>> net
        Module(
          (first): Linear(2, 3, bias=True)
        )
        """
        self._check_name("module", name, self._modules)
        if not isinstance(module, Module):
            refuse(OperandError(f"add_module: {name!r} needs a module, not {type(module).__name__}"))
        setattr(self, name, module)

    def _take_name(self, name: str) -> None:
        """Be called so in the paths of layers that errors and tables show."""
        object.__setattr__(self, "_name", name)

    # -- running ------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outer = THREAD.tape.layer
        THREAD.tape.layer = (*outer, self._name or type(self).__name__)
        try:
            if not self._before and not self._after:
                return self.forward(*args, **kwargs)
            return self._call_with_hooks(args, kwargs)
        finally:
            THREAD.tape.layer = outer  # the tape may be another one by now

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in tuple(self._before.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._after.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; what it returns replaces the arguments.

        None leaves them as they are; a tuple stands for all positional arguments, anything else for
        the only one.  ``remove()`` of the result takes the hook away.
        """
        return RemovableHandle(self._before, hook)

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns replaces the output.

        None leaves it as it is.

        >>> import flambeau as fb
        >>> layer = fb.nn.Linear(2, 3)
        >>> handle = layer.register_forward_hook(lambda module, args, output: print(output.shape))
        >>> y = layer(fb.ones((4, 2)))
        (4, 3)
        >>> handle.remove()
        """
        return RemovableHandle(self._after, hook)

    # -- what it is made of -------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one, with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all inside it, with dotted names; each once unless ``remove_duplicate=False``."""
        seen: set[int] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if remove_duplicate:
                if id(module) in seen:
                    continue
                seen.add(id(module))
            yield name, module
            for child, inner in reversed(module._modules.items()):
                stack.append((f"{name}.{child}" if name else child, inner))

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, table: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix, once) if recurse else [(prefix, self)]:
            for name, item in module.__dict__[table].items():
                if item is None or (once and id(item) in seen):
                    continue
                seen.add(id(item))
                yield (f"{path}.{name}" if path else name), item

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, each once unless ``remove_duplicate=False``.

        Without ``recurse`` those of sub-modules are left out.
        """
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with dotted names, each once unless ``remove_duplicate=False``."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name; the empty name is this one.  Raises ``AttributeError``."""
        module: Module = self
        for i, part in enumerate(target.split(".") if target else ()):
            inner = module._modules.get(part)
            if inner is None:
                place = ".".join(target.split(".")[:i]) or type(self).__name__
                raise AttributeError(f"get_submodule: {place} has no module {part!r}")
            module = inner
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name.  Raises ``AttributeError``."""
        found: Parameter = self._get("_parameters", "parameter", target)
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with a dotted name.  Raises ``AttributeError``."""
        found: Tensor = self._get("_buffers", "buffer", target)
        return found

    def _get(self, table: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path).__dict__[table].get(name)
        if found is None:
            raise AttributeError(f"get_{what}: {path or type(self).__name__} has no {what} {name!r}")
        return found

    # -- the whole of it ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """The values of parameters and persistent buffers by dotted name.

        What is shared by several modules appears under each of its names.
        """
        return state.values(self)

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> state.Differences:
        """Take over the values of ``state_dict``, all or none.

        Raises ``WeightsError`` unless names, shapes and dtypes fit exactly, listing all that do not.
        With ``strict=False`` names may be missing or unexpected, and which are is returned.
        """
        return state.load(self, state_dict, strict)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module inside this one, and on itself last.

        >>> import flambeau as fb
        >>> net = fb.nn.Sequential(fb.nn.Linear(2, 2), fb.nn.ReLU())
        >>> net = net.apply(lambda module: print(type(module).__name__))
        Linear
        ReLU
        Sequential
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, target: Any = None, *, device: Device | str | None = None, dtype: Any = None) -> Self:
        """Change floating-point parameters and buffers to a dtype, and all to a device, in place.

        ``target`` may be a dtype or a device.  Optimizers keep their parameters.

        >>> import flambeau as fb
        >>> fb.nn.Linear(2, 3).to(dtype=fb.float64).weight.dtype
        flambeau.float64
        """
        if isinstance(target, Device) or (isinstance(target, str) and target not in _DTYPE_NAMES):
            device = target
        elif target is not None:
            dtype = target
        on(device)
        if dtype is not None:
            wanted = to_dtype(dtype)
            if not wanted.floating:
                refuse(DTypeError(f"to: a floating-point dtype is needed for parameters, not {wanted}"))
            state.convert(self, wanted)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say of all parameters whether gradients are taken to them."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put the module, and all inside it, in training mode."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put the module, and all inside it, in evaluation mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    # -- copies and looks ---------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        kept.pop("_flambeau_compiled", None)  # compiled methods are recorded anew
        kept["_made"] = NOWHERE
        return kept

    def extra_repr(self) -> str:
        """What ``repr`` shows in parentheses."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._modules.items()]
        return self._look(children)

    def _look(self, children: list[str]) -> str:
        extra = self.extra_repr()
        name = type(self).__name__
        if not children and "\n" not in extra:
            return f"{name}({extra})"
        lines = [*extra.splitlines(), *children]
        body = "\n  ".join(lines)
        return f"{name}(\n  {body}\n)"
