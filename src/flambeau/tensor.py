"""Tensor: the user's handle on a recorded or computed value.

Operators record on the thread's tape; looking at the values evaluates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ref

import numpy as np

from flambeau.devices import Device, device
from flambeau.dtypes import DType, as_dtype
from flambeau.engine import indexing
from flambeau.engine.convert import from_array, number_dtype, to_numpy
from flambeau.engine.gradients import cotangents, record_add
from flambeau.engine.modes import grad_enabled
from flambeau.engine.segment import Segment
from flambeau.engine.tape import THREAD, Builder, Tape, Value, leaf, mark_leaf
from flambeau.errors import (
    DTypeError,
    FlambeauError,
    GradientError,
    OperandError,
    ShapeError,
    located,
)
from flambeau.graph.builder import Var
from flambeau.graph.types import Shape, Size
from flambeau.graph.where import caller
from flambeau.methods import Methods
from flambeau.primitives import contract, elementwise, views
from flambeau.primitives.control import stop_gradient

Number = bool | int | float | complex
_NUMBERS = frozenset((bool, int, float, complex))


def _operand(x: Any, partner: DType) -> Any:
    """What to record for an operand: a value, or a number with its dtype."""
    if isinstance(x, Tensor):
        return x._value
    if type(x) in _NUMBERS:
        return (x, number_dtype(x, partner))
    if isinstance(x, np.generic):
        return _operand(x.item(), partner) if x.dtype.kind in "biufc" else NotImplemented
    if isinstance(x, np.ndarray):
        return from_array(x)
    return NotImplemented


def apply(fn: Builder, attrs: tuple[Any, ...], *operands: Any) -> Tensor:
    """Record a single-output builder on tensors and numbers."""
    return Tensor(THREAD.tape.record(fn, attrs, [x._value if isinstance(x, Tensor) else x for x in operands]))


def _operator(fn: Builder, reflected: bool = False, floating: bool = False) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        value = self._value
        if isinstance(other, Tensor):
            operand: Any = other._value
        elif type(other) is float and value.type.dtype.floating:
            operand = (other, value.type.dtype)
        else:
            operand = _operand(other, value.type.dtype)
            if operand is NotImplemented:
                return NotImplemented
        # 2: the caller's frame is the user's
        return Tensor(THREAD.tape.record(fn, (), (operand, value) if reflected else (value, operand), 2))

    return method


def _in_place(fn: Builder) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        self._forbid_in_place()
        operand = _operand(other, self.dtype)
        if operand is NotImplemented:
            return NotImplemented
        made = THREAD.tape.record(fn, (), (self._value, operand))
        if made.type != self._value.type:
            raise _at(
                DTypeError(
                    f"in place: the result {made.type} does not fit the tensor {self._value.type}: "
                    "write x = x + y instead"
                )
            )
        self._rebind(made)
        return self

    return method


_power_any = _operator(elementwise.pow)


def _power(self: Tensor, other: Any) -> Any:
    if type(other) is int and -64 <= other <= 64 and (other >= 0 or self.dtype.inexact):
        return apply(elementwise.integer_pow, (other,), self)
    return _power_any(self, other)


def _same(x: Var) -> Var:
    return x


def _unary(fn: Builder) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return Tensor(THREAD.tape.record(fn, (), (self._value,)))

    return method


def _at(error: FlambeauError) -> FlambeauError:
    """The error with the user's line and the layer that was running."""
    return located(error, str(caller(THREAD.tape.layer)))


class Tensor(Methods):
    """An n-dimensional array of one dtype that records what is done with it.

    Make one with ``fb.asarray``, ``fb.zeros`` and the other creation functions.  A tensor is a
    handle: in-place operators and ``x[i] = v`` give the handle a new value and never change
    another tensor.

    >>> import flambeau as fb
    >>> x = fb.asarray([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_grad", "_hooks", "_value")

    __array_ufunc__ = None  # NumPy arrays leave mixed operators to the tensor

    def __init__(self, value: Value) -> None:
        if type(value) is not Value:
            raise _at(
                OperandError("make tensors with fb.asarray(...); Tensor() itself takes a recorded value")
            )
        self._value = value
        self._grad: Tensor | None = None
        self._hooks: list[Callable[[Tensor], Tensor | None]] | None = None

    if not TYPE_CHECKING:  # for a type checker, what is not there is not there

        def __getattr__(self, name: str) -> NoReturn:
            from flambeau.hints import METHODS, hint

            raise AttributeError(f"'Tensor' object has no attribute {name!r}{hint(METHODS, name)}")

    def _record(self, fn: Builder, attrs: tuple[Any, ...], *operands: Any) -> Any:
        """Record a builder on this tensor and others; one Tensor, or a tuple of them."""
        made = THREAD.tape.record(
            fn, attrs, [self._value, *[x._value if isinstance(x, Tensor) else x for x in operands]]
        )
        return tuple([Tensor(v) for v in made]) if type(made) is tuple else Tensor(made)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The sizes of the axes."""
        return self._value.type.shape

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._value.type.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._value.type.shape)

    @property
    def size(self) -> Size:
        """The number of elements."""
        return self._value.type.size

    @property
    def device(self) -> Device:
        """Where the tensor lives."""
        return self._value.device

    def __len__(self) -> int:
        if not self.shape:
            raise _at(OperandError("len: a tensor without axes has no length"))
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise _at(OperandError("a tensor without axes cannot be iterated over"))
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        value = self._value
        if isinstance(value.source, Tape) and value.source.abstract:
            return f"<tensor {value.type} in {value.source.abstract}>"
        body = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=200, edgeitems=3)
        parts = [body]
        if self.size == 0 and self.ndim != 1:
            parts.append(f"shape={views.shape_text(self.shape)}")
        if self.dtype.name not in ("float32", "int64", "bool", "complex64") or self.size == 0:
            parts.append(f"dtype={self.dtype.name}")
        if self.device.kind != "cpu":
            parts.append(f"device={str(self.device)!r}")
        if self.requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    # -- looking at values --------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The values as a read-only NumPy array that shares memory with the tensor."""
        return to_numpy(self._value)

    def item(self) -> Any:
        """The only element, as a Python number; raises ``ShapeError`` where there are others."""
        if self.size != 1:
            raise _at(
                ShapeError(
                    f"item: a tensor of shape {views.shape_text(self.shape)} has {self.size} elements, not 1"
                )
            )
        return self.numpy().reshape(()).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"a {self.dtype} tensor cannot be seen as {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def _only(self, what: str) -> Any:
        if self.size != 1:
            raise _at(
                OperandError(
                    f"{what}: a tensor of shape {views.shape_text(self.shape)} has {self.size} elements; "
                    "only one element has a value as a number"
                )
            )
        return self.numpy().reshape(()).item()

    def __bool__(self) -> bool:
        return bool(self._only("bool"))

    def __int__(self) -> int:
        return int(self._only("int"))

    def __float__(self) -> float:
        return float(self._only("float"))

    def __complex__(self) -> complex:
        return complex(self._only("complex"))

    def __index__(self) -> int:
        if self.dtype.kind not in ("int", "uint"):
            raise _at(OperandError(f"a {self.dtype} tensor cannot be an index: an integer is needed"))
        return int(self._only("index"))

    # -- gradients ----------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self._value.needs_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, wanted: bool = True) -> Tensor:
        """Make this tensor a leaf that gradients are taken to (or, with False, stop that)."""
        if wanted and not self.dtype.floating:
            raise _at(
                GradientError(f"requires_grad: only floating-point tensors have gradients, not {self.dtype}")
            )
        if wanted != self._value.needs_grad:
            if not wanted and not self.is_leaf:
                raise _at(
                    GradientError("requires_grad: only a leaf can stop needing gradients; use detach()")
                )
            self._value = self._as_leaf(self._value, wanted)
        return self

    def _as_leaf(self, value: Value, needs_grad: bool) -> Value:
        """A value of its own for this handle, with no history."""
        if value.data is not None:
            made = leaf(value.type, value.data, needs_grad)
        elif needs_grad:
            made = THREAD.tape.record(mark_leaf, (), (value,))
            made.needs_grad = True
        else:
            made = THREAD.tape.record(stop_gradient, (), (value,))
        if needs_grad:
            made.handle = ref(self)
        return made

    def _rebind(self, value: Value) -> None:
        """Give the handle a new value; a leaf that requires gradients stays one."""
        if self._value.needs_grad and self._value.handle is not None:
            value = self._as_leaf(value, True)
        self._value = value

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user rather than by a differentiable operation."""
        return not self._value.needs_grad or self._value.handle is not None

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by ``backward``, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise _at(OperandError(f"grad: a tensor or None is needed, not {type(value).__name__}"))
        if value is not None and (value.shape != self.shape or value.dtype is not self.dtype):
            raise _at(ShapeError(f"grad: {value._value.type} given for a tensor of {self._value.type}"))
        self._grad = value

    def backward(
        self, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to ``grad`` of every leaf it depends on.

        ``gradient`` is the weight of each element; it may be left out where there is one element.
        The graph is freed unless ``retain_graph``; ``create_graph`` makes gradients differentiable.
        Raises ``GradientError`` where there is no gradient, saying why.
        """
        if gradient is None and self.size != 1:
            raise _at(
                GradientError(
                    f"backward: a tensor of shape {views.shape_text(self.shape)} needs the argument "
                    "gradient; without it only a single element can be differentiated"
                )
            )
        if gradient is not None and not isinstance(gradient, Tensor):
            raise _at(
                OperandError(f"backward: gradient must be a tensor or None, not {type(gradient).__name__}")
            )
        if gradient is not None and gradient.shape != self.shape:
            raise _at(
                ShapeError(
                    f"backward: gradient of shape {views.shape_text(gradient.shape)} given for a tensor of "
                    f"shape {views.shape_text(self.shape)}"
                )
            )
        seed = None if gradient is None else gradient._value
        try:
            found = cotangents([self._value], [seed], retain_graph=retain_graph, create_graph=create_graph)
        except FlambeauError as error:
            raise _at(error) from None
        for target, g in found.items():
            owner = target.handle() if target.handle is not None else None
            if owner is not None:
                owner._accumulate(g)
        THREAD.tape.took_gradients()

    def _accumulate(self, g: Value) -> None:
        for hook in self._hooks or ():
            changed = hook(Tensor(g))
            if changed is not None:
                g = changed._value
        old = self._grad
        if old is None:
            self._grad = Tensor(g)
        else:
            token = grad_enabled.set(False) if not g.needs_grad else None
            try:
                self._grad = Tensor(record_add(old._value, g))
            finally:
                if token is not None:
                    grad_enabled.reset(token)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> None:
        """Call ``hook(gradient)`` when the gradient of this tensor is known; a result replaces it."""
        value = self._value
        if not value.needs_grad:
            raise _at(GradientError("register_hook: this tensor does not require gradients"))
        if value.handle is not None:
            self._hooks = [*(self._hooks or ()), hook]
            return
        source = value.source
        if not isinstance(source, (Tape, Segment)):
            raise _at(GradientError("register_hook: the graph of this tensor was freed"))

        def on_value(g: Value) -> Value:
            changed = hook(Tensor(g))
            return g if changed is None else changed._value

        source.hooks.setdefault(value.position, []).append(on_value)

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is not a leaf in ``grad`` as well."""
        if not self.is_leaf:
            owner = ref(self)

            def keep(g: Tensor) -> None:
                tensor = owner()
                if tensor is not None:
                    tensor._accumulate(g._value)

            self.register_hook(keep)

    def detach(self) -> Tensor:
        """The same values, constant to differentiation."""
        value = self._value
        if not value.needs_grad:
            return Tensor(value)
        if value.data is not None and not THREAD.tape.abstract:
            return Tensor(leaf(value.type, value.data))
        return Tensor(THREAD.tape.record(stop_gradient, (), (value,)))  # what is traced reads the tensor

    # -- moving and converting ----------------------------------------------------------------

    def astype(self, dtype: Any) -> Tensor:
        """The tensor converted to another dtype."""
        try:
            target = as_dtype(dtype)
        except TypeError as error:
            raise _at(DTypeError(f"astype: {error}")) from None
        return apply(elementwise.cast, (target,), self)

    def to(self, target: Any) -> Tensor:
        """The tensor on another device, or of another dtype."""
        if isinstance(target, (Device, str)) and (isinstance(target, Device) or target not in ("bool",)):
            try:
                device(target)
                return self
            except Exception:
                if isinstance(target, Device) or ":" in target:
                    raise
                return self.astype(target) if _is_dtype(target) else _reraise(target)
        return self.astype(target)

    def to_device(self, target: Device | str, /, *, stream: Any = None) -> Tensor:
        """The tensor on another device."""
        if stream is not None:
            raise _at(OperandError("to_device: the cpu has no streams"))
        device(target)
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        import flambeau

        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"flambeau implements the array API up to 2024.12, not {api_version}")
        return flambeau

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        array = self.numpy()
        if copy is False and (max_version is None or max_version[0] < 1):
            # asked for by name: the old protocol has no other way than memory that could be written to
            self._value.data.lend()
            array = self._value.data.view(self.dtype, self.shape)
        if copy is None and (max_version is None or max_version[0] < 1):
            copy = True  # a reader of the old protocol could not see that the memory is read-only
        if copy:
            array = array.copy()
        return array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=None)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickle, (self.numpy().copy(), self.requires_grad))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return _unpickle(self.numpy().copy(), self.requires_grad)

    # -- selecting ----------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        if type(key) is not int and type(key) is not slice:
            key = _values_in(key)
        fn, attrs, operands = indexing.select(self._value, key)
        return Tensor(THREAD.tape.record(fn, attrs, operands))

    def __setitem__(self, key: Any, new: Any) -> None:
        self._forbid_in_place()
        source = _operand(new, self.dtype)
        fn, attrs, operands = indexing.update(self._value, _values_in(key), source)
        self._rebind(THREAD.tape.record(fn, attrs, operands))

    def _forbid_in_place(self) -> None:
        if grad_enabled.get() and self._value.needs_grad and self._value.handle is not None:
            raise _at(
                GradientError(
                    "a leaf that requires gradients cannot be changed in place: its gradient would be lost; "
                    "use no_grad() to update it"
                )
            )

    # -- operators ----------------------------------------------------------------------------

    __add__ = _operator(elementwise.add)
    __radd__ = _operator(elementwise.add, reflected=True)
    __iadd__ = _in_place(elementwise.add)
    __sub__ = _operator(elementwise.sub)
    __rsub__ = _operator(elementwise.sub, reflected=True)
    __isub__ = _in_place(elementwise.sub)
    __mul__ = _operator(elementwise.mul)
    __rmul__ = _operator(elementwise.mul, reflected=True)
    __imul__ = _in_place(elementwise.mul)
    __truediv__ = _operator(elementwise.div)
    __rtruediv__ = _operator(elementwise.div, reflected=True)
    __itruediv__ = _in_place(elementwise.div)
    __floordiv__ = _operator(elementwise.floor_div)
    __rfloordiv__ = _operator(elementwise.floor_div, reflected=True)
    __ifloordiv__ = _in_place(elementwise.floor_div)
    __mod__ = _operator(elementwise.mod)
    __rmod__ = _operator(elementwise.mod, reflected=True)
    __imod__ = _in_place(elementwise.mod)
    __matmul__ = _operator(contract.matmul)
    __rmatmul__ = _operator(contract.matmul, reflected=True)
    __imatmul__ = _in_place(contract.matmul)
    __and__ = _operator(elementwise.bitwise_and)
    __rand__ = _operator(elementwise.bitwise_and, reflected=True)
    __iand__ = _in_place(elementwise.bitwise_and)
    __or__ = _operator(elementwise.bitwise_or)
    __ror__ = _operator(elementwise.bitwise_or, reflected=True)
    __ior__ = _in_place(elementwise.bitwise_or)
    __xor__ = _operator(elementwise.bitwise_xor)
    __rxor__ = _operator(elementwise.bitwise_xor, reflected=True)
    __ixor__ = _in_place(elementwise.bitwise_xor)
    __lshift__ = _operator(elementwise.shift_left)
    __rlshift__ = _operator(elementwise.shift_left, reflected=True)
    __ilshift__ = _in_place(elementwise.shift_left)
    __rshift__ = _operator(elementwise.shift_right)
    __rrshift__ = _operator(elementwise.shift_right, reflected=True)
    __irshift__ = _in_place(elementwise.shift_right)
    __pow__ = _power
    __rpow__ = _operator(elementwise.pow, reflected=True)
    __ipow__ = _in_place(elementwise.pow)
    __eq__ = _operator(elementwise.eq)
    __ne__ = _operator(elementwise.ne)
    __lt__ = _operator(elementwise.lt)
    __le__ = _operator(elementwise.le)
    __gt__ = _operator(elementwise.gt)
    __ge__ = _operator(elementwise.ge)
    __neg__ = _unary(elementwise.neg)
    __abs__ = _unary(elementwise.abs)
    __invert__ = _unary(elementwise.bitwise_not)
    __pos__ = _unary(_same)

    __hash__ = object.__hash__


def _is_dtype(name: Any) -> bool:
    try:
        as_dtype(name)
    except TypeError:
        return False
    return True


def _reraise(target: str) -> Any:
    return device(target)


def _unpickle(array: np.ndarray, requires_grad: bool) -> Tensor:
    return Tensor(from_array(array)).requires_grad_(requires_grad)


def _values_in(key: Any) -> Any:
    if isinstance(key, Tensor):
        return key._value
    if isinstance(key, tuple):
        return tuple([k._value if isinstance(k, Tensor) else k for k in key])
    return key
