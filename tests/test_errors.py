"""What is wrong is said in one sentence: the operation, the shapes or dtypes, the user's line, the layer."""

# ruff: noqa: E501 - a table, a case a line, because errors name the line

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import (
    DeviceError,
    DTypeError,
    FlambeauError,
    GradientError,
    OperandError,
    OutOfBoundsError,
    ShapeError,
    WeightsError,
)

nn = fb.nn


def evaluated(array: Any, dtype: Any = None) -> fb.Tensor:
    x = fb.asarray(array, dtype=dtype)
    x.numpy()
    return x


X = evaluated(np.ones((3, 4), np.float32))
CUBE, VECTOR, SCALAR = (
    evaluated(np.ones((2, 3, 4), np.float32)),
    evaluated(np.ones(5, np.float32)),
    evaluated(1.0),
)
SQUARE, WHOLE, TRUTH = (
    evaluated(np.ones((3, 3), np.float32)),
    evaluated([1, 2]),
    evaluated(np.ones((3, 4)) > 0),
)
COMPLEX, U64, I8 = evaluated([1j]), evaluated([1], fb.uint64), evaluated([1], fb.int8)


def ones(*shape: int) -> fb.Tensor:
    return fb.ones(shape)


def leaf() -> fb.Tensor:
    return fb.asarray([1.0, 2.0, 3.0], requires_grad=True)


@dataclass(frozen=True)
class Bad:
    """``run`` raises ``error``, also caught as ``builtin``; the message holds all of ``texts``."""

    run: Callable[[], Any]
    error: type[Exception]
    builtin: type[Exception]
    texts: tuple[str, ...]


def shape(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, ShapeError, ValueError, texts)


def dtype(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, DTypeError, TypeError, texts)


def operand(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, OperandError, TypeError, texts)


def index(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, OutOfBoundsError, IndexError, texts)


def device(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, DeviceError, RuntimeError, texts)


def gradient(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, GradientError, RuntimeError, texts)


def weights(run: Callable[[], Any], *texts: str) -> Bad:
    return Bad(run, WeightsError, ValueError, texts)


# --- found when the operation is written: the message ends with the line --------------------------

LOCATED = [
    # shapes
    shape(lambda: X + ones(3, 5), "add: shapes (3, 4) and (3, 5) cannot be broadcast together", "sizes 4 and 5 of axis -1"),
    shape(lambda: fb.multiply(X, ones(2, 4)), "mul", "(3, 4) and (2, 4)", "sizes 3 and 2 of axis -2"),
    shape(lambda: fb.where(TRUTH, X, VECTOR), "where: shapes (3, 4) and (5,)"),
    shape(lambda: fb.clip(X, VECTOR, None), "clip: shapes (3, 4) and (5,)"),
    shape(lambda: X @ ones(3, 4), "matmul: shapes (3, 4) and (3, 4) do not fit: contracted sizes 4 and 3"),
    operand(lambda: X.matmul(3), "matmul: a tensor is needed, not int"),
    operand(lambda: fb.sum(X, axis=True), "an axis or a size must be an integer, not True"),
    operand(lambda: X.mean(axis=1.0), "an axis or a size must be an integer, not 1.0"),
    operand(lambda: fb.sum(leaf()).backward(3), "backward: gradient must be a tensor or None, not int"),
    shape(lambda: fb.matmul(X, SCALAR), "matmul: shapes (3, 4) and ()", "at least one axis"),
    shape(lambda: VECTOR @ X, "matmul: shapes (5,) and (3, 4)", "5 and 3"),
    shape(lambda: CUBE @ ones(3, 4, 5), "matmul: the leading axes of shapes (2, 3, 4) and (3, 4, 5)"),
    shape(lambda: fb.concat([X, ones(2, 5)]), "concat: shapes (3, 4) and (2, 5) differ elsewhere than on axis 0"),
    shape(lambda: fb.concat([X, ones(3)]), "concat: shapes (3, 4) and (3,)"),
    shape(lambda: fb.concat([X, X], axis=2), "concat: axis 2 is out of range for a tensor with 2 axes"),
    shape(lambda: fb.stack([X, ones(4, 3)]), "stack: shapes (3, 4) and (4, 3) differ"),
    shape(lambda: X.reshape((5, 2)), "reshape: a tensor of shape (3, 4) has 12 elements, shape (5, 2) has 10"),
    shape(lambda: fb.reshape(X, (5, -1)), "reshape: 12 elements do not divide into shape (5, -1)"),
    shape(lambda: fb.reshape(X, (-1, -1)), "reshape: (-1, -1)", "at most one size may be -1"),
    shape(lambda: fb.broadcast_to(X, (3, 5)), "broadcast_to: shape (3, 4) cannot be broadcast to (3, 5)"),
    shape(lambda: fb.broadcast_to(X, (4,)), "broadcast_to: shape (3, 4) cannot be broadcast to (4,)"),
    shape(lambda: fb.broadcast_arrays(X, VECTOR), "broadcast_arrays: shapes (3, 4) and (5,)"),
    shape(lambda: X.__setitem__(0, VECTOR), "x[...] = value: shape (5,) cannot be broadcast to (4,)"),
    shape(lambda: X.__setitem__(slice(0, 2), X), "x[...] = value: shape (3, 4) cannot be broadcast to (2, 4)"),
    shape(lambda: X.__setitem__(WHOLE, X), "x[...] = value: shape (3, 4) cannot be broadcast to (2, 4)"),
    shape(lambda: X.__setitem__(TRUTH, VECTOR), "x[...] = value: shape (5,) cannot be broadcast to (12,)"),
    operand(lambda: X.__setitem__(0, "a"), "x[...] = value: the value must be a tensor, an array or a number"),
    shape(lambda: fb.squeeze(X, 0), "squeeze: axis 0 of shape (3, 4) has size 3, not 1"),
    shape(lambda: VECTOR.T, "T: a matrix is needed, not shape (5,)"),
    shape(lambda: VECTOR.mT, "matrix_transpose: shape (5,)"),
    shape(lambda: fb.tril(VECTOR), "tril: matrices are needed, not shape (5,)"),
    shape(lambda: fb.split(X, (1, 1)), "split: sizes (1, 1) add up to 2, axis 0 has size 3"),
    shape(lambda: fb.split(X, 0), "split: axis 0 with size 3 cannot be cut into parts of 0"),
    shape(lambda: fb.pad(X, ((1, 2),)), "pad: ((1, 2),) is no pair of widths for each of 2 axes"),
    shape(lambda: fb.pad(X, -9), "pad: padding (-9, -9) takes more from axis 0 of size 3"),
    operand(lambda: fb.pad(X, 1.5), "pad: widths must be integers, not 1.5"),
    shape(lambda: fb.repeat(X, -1), "repeat", "-1"),
    shape(lambda: fb.repeat(X, WHOLE, axis=0), "repeat: 2 counts for axis 0 of size 3"),
    shape(lambda: fb.repeat(X, WHOLE, axis=7), "repeat: axis 7 is out of range for a tensor with 2 axes"),
    shape(lambda: fb.roll(X, (1, 2), axis=0), "roll: 2 shifts for 1 axes"),
    operand(lambda: fb.roll(X, 1.5), "roll: shifts must be integers, not 1.5"),
    shape(lambda: fb.tile(X, -1), "tile: -1 in shape (-1,) is no size"),
    shape(lambda: fb.meshgrid(X, X), "meshgrid: vectors are needed, not shape (3, 4)"),
    shape(lambda: fb.zeros((2, -1)), "zeros: -1 in shape (2, -1) is no size"),
    operand(lambda: fb.zeros((2.5,)), "zeros: sizes must be integers, not 2.5"),
    shape(lambda: fb.eye(-1), "eye: -1"),
    shape(lambda: fb.einsum("ij,jk->ik", X, X), "einsum: 'j' in 'ij,jk->ik' has sizes 4 and 3"),
    shape(lambda: fb.einsum("i->i", X), "einsum: 'i' in 'i->i' does not name the axes of a tensor with 2 axes"),
    operand(lambda: fb.einsum("ij,j", X), "einsum: 'ij,j' is about 2 tensors, 1 were given"),
    operand(lambda: fb.einsum(X, X), "einsum: subscripts such as 'ij,jk->ik' come first, not Tensor"),
    shape(lambda: fb.tensordot(X, X, axes=1), "tensordot: shapes (3, 4) and (3, 4) do not fit", "axis 1 of the first has size 4"),
    shape(lambda: fb.vecdot(X, VECTOR), "vecdot: shapes (3, 4) and (5,) differ along axis -1"),
    shape(lambda: fb.linalg.outer(X, X), "outer: two vectors are needed, not (3, 4) and (3, 4)"),
    shape(lambda: fb.linalg.cross(X, X), "cross: axis -1 of shape (3, 4) must have size 3"),
    shape(lambda: fb.linalg.inv(X), "inv: square matrices are needed, not shape (3, 4)"),
    shape(lambda: fb.linalg.det(VECTOR), "det: matrices are needed, not shape (5,)"),
    shape(lambda: fb.linalg.solve(SQUARE, VECTOR), "solve: shapes (3, 3) and (5,) do not fit"),
    shape(lambda: fb.linalg.solve(SQUARE, ones(4, 2)), "solve: shapes (3, 3) and (4, 2) do not fit"),
    shape(lambda: fb.linalg.eigh(X), "eigh: square matrices are needed, not shape (3, 4)"),
    shape(lambda: fb.linalg.pinv(VECTOR), "pinv: matrices are needed, not shape (5,)"),
    shape(lambda: fb.linalg.matrix_rank(VECTOR), "matrix_rank: matrices are needed, not shape (5,)"),
    shape(lambda: fb.linalg.trace(VECTOR), "trace: matrices are needed, not shape (5,)"),
    shape(lambda: fb.linalg.diagonal(VECTOR), "diagonal: matrices are needed, not shape (5,)"),
    shape(lambda: fb.linalg.matrix_power(X, 2), "matrix_power: square matrices are needed, not shape (3, 4)"),
    operand(lambda: fb.linalg.matrix_power(SQUARE, 1.5), "matrix_power: the exponent must be an integer, not 1.5"),
    operand(lambda: fb.linalg.matrix_norm(X, ord="no"), "matrix_norm: there is no norm 'no'"),
    operand(lambda: fb.linalg.qr(X, mode="full"), "qr: mode must be 'reduced' or 'complete', not 'full'"),
    shape(lambda: fb.searchsorted(X, 1.0), "searchsorted: a sorted vector is needed, not shape (3, 4)"),
    shape(lambda: fb.nonzero(SCALAR), "nonzero: a tensor without axes has no indices"),
    shape(lambda: fb.topk(X, 9), "topk: 9 of the 4 elements along axis -1"),
    shape(lambda: fb.fft.fft(X, n=0), "fft: the length along axis 1 must be at least 1, not 0"),
    shape(lambda: fb.take_along_axis(X, WHOLE, axis=0), "take_along_axis: indices of shape (2,)", "(3, 4)"),
    shape(lambda: nn.functional.cross_entropy(X, WHOLE), "cross_entropy: logits of shape (3, 4) need targets of shape (3,), not (2,)"),
    shape(lambda: nn.functional.mse_loss(X, ones(4)), "mse_loss: shapes (3, 4) and (4,) differ"),
    # axes
    shape(lambda: fb.sum(X, axis=2), "sum: axis 2 is out of range for a tensor with 2 axes"),
    shape(lambda: X.sum(axis=-3), "sum: axis -3 is out of range for a tensor with 2 axes"),
    shape(lambda: fb.mean(X, axis=5), "mean: axis 5 is out of range"),
    shape(lambda: fb.sum(X, axis=(0, 0)), "sum: an axis is named twice in (0, 0)"),
    shape(lambda: fb.max(X, axis=(0, -2)), "max: an axis is named twice in (0, -2)"),
    operand(lambda: fb.sum(X, axis=1.5), "sum: an axis must be an integer, or a tuple of integers, not 1.5"),
    operand(lambda: fb.sum(X, axis="a"), "sum: an axis must be an integer", "'a'"),
    operand(lambda: fb.flip(X, axis=1.5), "flip: an axis must be an integer", "1.5"),
    shape(lambda: fb.softmax(X, axis=2), "softmax: axis 2 is out of range"),
    shape(lambda: fb.sort(X, axis=-3), "sort: axis -3 is out of range"),
    shape(lambda: fb.argmax(X, axis=2), "argmax: axis 2 is out of range"),
    shape(lambda: fb.cumulative_sum(X), "cumulative_sum: a tensor of shape (3, 4) needs the argument axis"),
    shape(lambda: fb.take(X, WHOLE), "take: a tensor of shape (3, 4) needs the argument axis"),
    shape(lambda: fb.permute_dims(X, (0, 0)), "permute_dims: an axis is named twice in (0, 0)"),
    shape(lambda: fb.permute_dims(X, (0,)), "permute_dims: (0,) does not order the axes of shape (3, 4)"),
    index(lambda: fb.expand_dims(X, 5), "expand_dims: axis 5 is out of range for a result with 3 axes"),
    shape(lambda: fb.moveaxis(X, 0, (0, 1)), "moveaxis: 1 axes cannot move to 2 places"),
    shape(lambda: fb.unstack(X, axis=4), "unstack: axis 4 is out of range"),
    shape(lambda: fb.flatten(X, start_axis=3), "flatten: axis 3 is out of range"),
    shape(lambda: fb.max(fb.zeros((0, 3)), axis=0), "max: axis 0 of shape (0, 3) is empty"),
    shape(lambda: fb.argmin(fb.zeros((0, 3)), axis=0), "argmin: axis 0 of shape (0, 3) is empty"),
    # dtypes
    dtype(lambda: U64 + I8, "add: uint64 and int8 have no common integer dtype"),
    dtype(lambda: TRUTH - TRUTH, "sub: is not defined for bool"),
    dtype(lambda: -TRUTH, "neg: is not defined for bool"),
    dtype(lambda: X & X, "bitwise_and: is not defined for float32"),
    dtype(lambda: fb.bitwise_invert(X), "is not defined for float32"),
    dtype(lambda: COMPLEX < COMPLEX, "lt: is not defined for complex64"),
    dtype(lambda: fb.sort(COMPLEX), "sort: is not defined for complex64"),
    dtype(lambda: fb.floor(COMPLEX), "floor: is not defined for complex64"),
    dtype(lambda: fb.imag(X), "imag: is not defined for float32"),
    dtype(lambda: I8 + 300, "the number 300 does not fit int8 (from -128 to 127)"),
    dtype(lambda: U64 + (-1), "the number -1 does not fit uint64"),
    dtype(lambda: fb.add(I8, -129), "the number -129 does not fit int8"),
    dtype(lambda: fb.asarray([300], dtype=fb.int8), "asarray: the number 300 does not fit int8"),
    dtype(lambda: fb.asarray(2**70), "asarray: the number 1180591620717411303424 fits neither int64 nor uint64"),
    dtype(lambda: fb.asarray([1j], dtype=fb.float32), "asarray: complex128 values cannot be stored as float32"),
    dtype(lambda: X.__setitem__(0, COMPLEX), "cast: complex64 has no float32 value"),
    dtype(lambda: fb.astype(X, "float31"), "not a dtype: 'float31'; one of bool, int8"),
    dtype(lambda: fb.bitcast(X, fb.float64), "bitcast: float32 and float64 do not have the same bits"),
    dtype(lambda: nn.functional.cross_entropy(X, ones(3)), "cross_entropy: needs float logits and integer targets, not float32 and float32"),
    dtype(lambda: fb.one_hot(X, 3), "one_hot: integers are needed, not float32"),
    dtype(lambda: fb.take(X, X, axis=0), "gather: an index must be an integer tensor, not float32"),
    dtype(lambda: fb.random.uniform(3, dtype=fb.int32), "uniform: a floating-point dtype is needed, not int32"),
    # what is no tensor
    operand(lambda: fb.exp(2.0), "exp: a tensor is needed, not float; make one with fb.asarray"),
    operand(lambda: fb.sum([1, 2]), "sum: a tensor is needed, not list"),
    operand(lambda: fb.add(X, "a"), "add: a tensor or a number is needed, not str"),
    operand(lambda: fb.add(1, 2), "add: at least one operand must be a tensor"),
    operand(lambda: fb.concat([]), "concat: at least one tensor is needed"),
    operand(lambda: fb.concat(3), "concat: a sequence of tensors is needed, not int"),
    operand(lambda: fb.stack([X, 3]), "stack: a tensor is needed, not int"),
    operand(lambda: fb.std(X, correction="a"), "std: a number is needed, not str"),
    operand(lambda: fb.asarray([[1, 2], [3]]), "asarray: the nested sequence is ragged"),
    operand(lambda: fb.asarray(["a"]), "asarray: cannot make a tensor of list ['a']"),
    operand(lambda: fb.arange(0, 1, 0), "arange: the step must not be 0"),
    operand(lambda: nn.functional.mse_loss(X, 2.0), "mse_loss: a tensor is needed, not float"),
    operand(lambda: nn.Parameter(3), "Parameter: a tensor is needed, not int"),
    operand(lambda: nn.Linear(-1, 2), "Linear: in_features must be a size, not -1"),
    operand(lambda: nn.Linear(2, 2.5), "Linear: out_features must be a size, not 2.5"),
    operand(lambda: nn.Sequential(nn.ReLU(), 3), "Sequential: argument 1 is 3, not a module"),
    # indices
    index(lambda: X[3], "index 3 is out of range for axis 0 of size 3"),
    index(lambda: X[-4], "index -4 is out of range for axis 0 of size 3"),
    index(lambda: X[0, 4], "index 4 is out of range for axis 1 of size 4"),
    index(lambda: X[0, 0, 0], "too many indices: 3 for a tensor of shape (3, 4)"),
    index(lambda: SCALAR[0], "too many indices: 1 for a tensor of shape ()"),
    index(lambda: X[1.5], "1.5 of type float cannot be an index"),
    index(lambda: X["a"], "'a' of type str cannot be an index"),
    index(lambda: X[X], "a float32 tensor cannot be an index"),
    index(lambda: X[evaluated([True, False])], "a bool index of shape (2,) does not fit the axes of shape (3,)"),
    index(lambda: X[..., ...], "an index may hold only one ellipsis"),
    index(lambda: X[[[0], [1, 2]]], "index: the nested list [[0], [1, 2]] is ragged"),
    operand(lambda: X[::0], "slice: slice step cannot be zero"),
    operand(lambda: X[1.0:2], "slice: slice indices must be integers"),
    shape(lambda: X[evaluated([0, 1]), evaluated([0, 1, 2])], "index: shapes (2,) and (3,) cannot be broadcast together"),
    index(lambda: X.__setitem__(7, 1.0), "index 7 is out of range for axis 0 of size 3"),
    # devices
    device(lambda: fb.zeros(3, device="cuda"), "device 'cuda' is not available", "no executor for NVIDIA GPUs", "available: cpu"),
    device(lambda: fb.asarray([1], device="mps"), "device 'mps' is not available", "Apple GPUs"),
    device(lambda: fb.ones(3, device="quantum"), "there is no device called 'quantum'; available: cpu"),
]  # fmt: skip


def place_of(run: Callable[[], Any]) -> str:
    """How an error names the line of a function of one line."""
    number = run.__code__.co_firstlineno
    return f"\n  at test_errors.py:{number} in <lambda>: {linecache.getline(__file__, number).strip()}"


def check(bad: Bad) -> str:
    with pytest.raises(bad.error) as caught:
        bad.run()
    assert isinstance(caught.value, bad.builtin)
    assert isinstance(caught.value, fb.errors.FlambeauError)
    message = str(caught.value)
    for text in bad.texts:
        assert text in message
    return message


def named(bad: Bad) -> str:
    source = linecache.getline(__file__, bad.run.__code__.co_firstlineno)
    found = re.search(r"lambda: (.*?), (?:f?\"|f?')", source)
    return found.group(1) if found else source.strip()


@pytest.mark.parametrize("bad", LOCATED, ids=named)
def test_names_operation_operands_and_line(bad: Bad) -> None:
    assert check(bad).endswith(place_of(bad.run))


@pytest.mark.parametrize("bad", LOCATED[::10], ids=named)
def test_names_the_line_each_time(bad: Bad) -> None:
    """An error leaves nothing behind that would hide or change the next one."""
    assert check(bad) == check(bad)
    assert fb.sum(X).item() == 12.0


# --- raised by the very call the user sees in the traceback ---------------------------------------


def twice() -> None:
    g = leaf()
    y = fb.sum(g * g)
    y.backward()
    y.backward()


def changed_leaf() -> None:
    g = leaf()
    g += 1.0


def changed_dtype() -> None:
    z = fb.ones(3, dtype=fb.int64)
    z += 1.5


def grown() -> None:
    z = ones(3)
    z += ones(2, 3)


def load(**state: Any) -> None:
    nn.Linear(3, 2).load_state_dict(state)


def parameter() -> nn.Parameter:
    return nn.Parameter(fb.ones(2))


CALLS = [
    gradient(lambda: X.backward(), "backward: a tensor of shape (3, 4) needs the argument gradient"),
    gradient(lambda: (leaf() * 2).backward(), "backward: a tensor of shape (3,) needs the argument gradient"),
    shape(lambda: (leaf() * 2).backward(ones(4)), "backward: gradient of shape (4,) given for a tensor of shape (3,)"),
    gradient(lambda: fb.sum(X).backward(), "no gradient", "does not depend on a tensor with requires_grad=True"),
    gradient(lambda: fb.sum(WHOLE).backward(), "no gradient", "int64", "only floating-point tensors have gradients"),
    gradient(twice, "already taken and its graph freed", "retain_graph=True"),
    gradient(changed_leaf, "a leaf that requires gradients cannot be changed in place", "no_grad()"),
    gradient(lambda: leaf().__setitem__(0, 1.0), "a leaf that requires gradients cannot be changed in place"),
    dtype(changed_dtype, "in place: the result float32[3] does not fit the tensor int64[3]"),
    dtype(grown, "in place: the result float32[2, 3] does not fit the tensor float32[3]"),
    gradient(lambda: fb.asarray([1j], requires_grad=True), "requires_grad: only floating-point tensors have gradients, not complex64"),
    gradient(lambda: fb.asarray([1]).requires_grad_(), "requires_grad", "not int64"),
    gradient(lambda: (leaf() * 2).requires_grad_(False), "requires_grad: only a leaf", "detach()"),
    gradient(lambda: X.register_hook(print), "register_hook: this tensor does not require gradients"),
    shape(lambda: setattr(leaf(), "grad", ones(2)), "grad: float32[2] given for a tensor of float32[3]"),
    gradient(lambda: fb.grad(lambda a: a)(leaf()), "grad", "shape (3,)", "a gradient needs a single element"),
    gradient(lambda: fb.grad(lambda a: fb.sum(a))(WHOLE), "argument 0 is int64"),
    gradient(lambda: nn.Parameter(WHOLE), "requires_grad", "not int64"),
    shape(lambda: X.item(), "item: a tensor of shape (3, 4) has 12 elements, not 1"),
    operand(lambda: bool(X), "bool: a tensor of shape (3, 4) has 12 elements"),
    operand(lambda: int(X), "int: a tensor of shape (3, 4) has 12 elements"),
    operand(lambda: float(X), "float: a tensor of shape (3, 4) has 12 elements"),
    operand(lambda: len(SCALAR), "len: a tensor without axes has no length"),
    operand(lambda: list(SCALAR), "a tensor without axes cannot be iterated over"),
    operand(lambda: [1, 2][SCALAR], "a float32 tensor cannot be an index"),
    device(lambda: X.to("cuda"), "device 'cuda' is not available", "no executor for NVIDIA GPUs"),
    device(lambda: X.to("cuda:1"), "device 'cuda:1' is not available"),
    device(lambda: X.to_device("tpu"), "device 'tpu' is not available", "TPUs"),
    device(lambda: fb.device("cuda"), "device 'cuda' is not available", "available: cpu"),
    device(lambda: fb.device("quantum"), "there is no device called 'quantum'; available: cpu"),
    weights(lambda: load(), "the weights do not fit Linear", "missing: weight float32[2, 3]", "missing: bias float32[2]"),
    weights(lambda: load(weight=ones(3, 2), bias=ones(2)), "misfit: weight is float32[2, 3] in the model, float32[3, 2] in the weights"),
    weights(lambda: load(weight=ones(2, 3), bias=ones(2), extra=ones(1)), "unexpected: extra float32[1]"),
    weights(lambda: load(weight=ones(2, 3), bias=fb.ones(2, dtype=fb.float64)), "misfit: bias is float32[2] in the model, float64[2]"),
    operand(lambda: fb.optim.SGD([parameter()], lr=-1), "SGD: lr must be a number of at least 0, not -1"),
    operand(lambda: fb.optim.SGD([parameter()], lr=float("nan")), "SGD: lr must be a number", "nan"),
    operand(lambda: fb.optim.SGD([parameter()], lr="a"), "SGD: lr must be a number of at least 0, not 'a'"),
    operand(lambda: fb.optim.SGD([parameter()], momentum=-1), "SGD: momentum must be a number of at least 0, not -1"),
    operand(lambda: fb.optim.Adam([parameter()], eps=-1), "Adam: eps must be a number of at least 0, not -1"),
    operand(lambda: fb.optim.Adam([parameter()], betas=(1.5, 0.9)), "Adam: betas"),
    operand(lambda: fb.optim.SGD([]), "SGD: there are no parameters to optimize"),
    operand(lambda: fb.optim.SGD([3]), "SGD: parameters must be floating-point leaf tensors, not 3"),
    operand(lambda: fb.optim.Adam([leaf() * 2]), "Adam: parameters must be floating-point leaf tensors"),
]  # fmt: skip


@pytest.mark.parametrize("bad", CALLS, ids=named)
def test_says_what_is_wrong_with_a_call(bad: Bad) -> None:
    message = check(bad)
    if "\n  at " in message:
        assert "\n  at test_errors.py:" in message


# --- layers ---------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.fc(x)


class Square(nn.Module):
    def forward(self, x: Any) -> Any:
        return x @ x


class Pick(nn.Module):
    def forward(self, x: Any, i: Any) -> Any:
        return fb.exp(x)[i] * 2.0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.square = Square()
        self.pick = Pick()

    def forward(self, x: Any, part: str, *rest: Any) -> Any:
        return getattr(self, part)(x, *rest)


LAYERS = [
    (lambda: Net()(ones(3, 5), "block"), ShapeError, "Linear: an input of shape (..., 4) is needed, not (3, 5); the weight has shape (2, 4)", "in forward: return self.fc(x)", "Net.block.fc"),
    (lambda: Net()(WHOLE, "block"), DTypeError, "Linear: the input is int64, the weights are float32", "in forward: return self.fc(x)", "Net.block.fc"),
    (lambda: Net()(SCALAR, "block"), ShapeError, "Linear: an input of shape (..., 4) is needed, not ()", "in forward: return self.fc(x)", "Net.block.fc"),
    (lambda: Net()(np.ones((3, 4)), "block"), OperandError, "Linear: a tensor is needed, not ndarray", "in forward: return self.fc(x)", "Net.block.fc"),
    (lambda: Net()(X, "square"), ShapeError, "matmul: shapes (3, 4) and (3, 4) do not fit", "in forward: return x @ x", "Net.square"),
    (lambda: Net()(X, "pick", 9), OutOfBoundsError, "index 9 is out of range for axis 0 of size 3", "in forward: return fb.exp(x)[i] * 2.0", "Net.pick"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(4, 2))(X), ShapeError, "Linear: an input of shape (..., 4) is needed, not (3, 3)", "in <lambda>: ", "Sequential.2"),
    (lambda: nn.ReLU()(TRUTH), DTypeError, "relu: is not defined for bool", "in <lambda>: ", "ReLU"),
    (lambda: nn.ReLU()(3.0), OperandError, "ReLU: a tensor is needed, not float", "in <lambda>: ", "ReLU"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "error", "text", "place", "layer"), LAYERS, ids=[c[2][:40] for c in LAYERS])
def test_names_the_layer(
    run: Callable[[], Any], error: type[Exception], text: str, place: str, layer: str
) -> None:
    with pytest.raises(error) as caught:
        run()
    first, where, path = str(caught.value).split("\n")
    assert text in first
    assert re.fullmatch(rf"  at test_errors\.py:\d+ {re.escape(place)}.*", where)
    assert path == f"  in layer {layer}"
    assert fb.asarray(1.0).item() == 1.0
    with pytest.raises(ShapeError) as after:
        X @ X
    assert "in layer" not in str(after.value)


# --- found when values are computed ---------------------------------------------------------------


def late(x: Any, i: Any) -> Any:
    y = fb.exp(x)[i]  # the line that is named
    return y * 2.0


@pytest.mark.usefixtures("both_executors")
def test_index_found_late_names_the_line() -> None:
    made = late(X, evaluated([0, 7]))
    with pytest.raises(OutOfBoundsError) as caught:
        made.numpy()
    assert isinstance(caught.value, IndexError)
    first, where = str(caught.value).split("\n")
    assert first == "gather: index 7 is out of range for axis 0 of size 3"
    assert re.fullmatch(
        r"  at test_errors\.py:\d+ in late: y = fb\.exp\(x\)\[i\]  # the line that is named", where
    )


@pytest.mark.usefixtures("both_executors")
def test_index_found_late_names_the_line_of_this_time() -> None:
    """A plan that is used again names the line that recorded this time."""
    good, wrong = evaluated([0, 1]), evaluated([1, 9])
    fb.take(X, good, axis=0).numpy()
    with pytest.raises(
        IndexError, match=r"index 9 is out of range.*\n.*: fb\.take\(X, wrong, axis=0\)\.numpy\(\)  # first"
    ):
        fb.take(X, wrong, axis=0).numpy()  # first
    with pytest.raises(
        IndexError, match=r"index 9 is out of range.*\n.*: fb\.take\(X, wrong, axis=0\)\.numpy\(\)  # second"
    ):
        fb.take(X, wrong, axis=0).numpy()  # second


@pytest.mark.usefixtures("both_executors")
def test_index_found_late_names_the_layer() -> None:
    made = Net()(X, "pick", evaluated([1, -4]))
    with pytest.raises(OutOfBoundsError) as caught:
        made.numpy()
    first, where, path = str(caught.value).split("\n")
    assert "index -4 is out of range for axis 0 of size 3" in first
    assert "in forward: return fb.exp(x)[i] * 2.0" in where
    assert path == "  in layer Net.pick"


@pytest.mark.usefixtures("both_executors")
@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda: fb.linalg.inv(fb.zeros((2, 2))).numpy(), "inv: singular matrix, among operands of shape (2, 2)"),
        (lambda: fb.linalg.solve(fb.zeros((2, 2)), fb.ones(2)).numpy(), "solve: singular matrix"),
        (lambda: fb.linalg.cholesky(-fb.eye(2)).numpy(), "cholesky: matrix is not positive definite"),
    ],
)  # fmt: skip
def test_matrices_that_have_no_result(run: Callable[[], Any], text: str) -> None:
    with pytest.raises(np.linalg.LinAlgError) as caught:
        run()
    assert isinstance(caught.value, fb.errors.FlambeauError)
    assert isinstance(caught.value, ValueError)
    assert text in str(caught.value)
    assert str(caught.value).endswith(place_of(run))


@pytest.mark.usefixtures("both_executors")
def test_negative_powers_of_integers() -> None:
    made = WHOLE ** evaluated([-1, 2])
    with pytest.raises(OperandError, match=r"pow: integers have no negative powers.*\n  at test_errors\.py"):
        made.numpy()


@pytest.mark.usefixtures("both_executors")
def test_what_numpy_raises_names_operation_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What NumPy computes in every executor; the compiler writes kernels for most other operations."""
    from flambeau.primitives.fft import fft_p

    def overflowing(*_: Any, **__: Any) -> Any:
        raise OverflowError("too large to convert")

    monkeypatch.setattr(fft_p, "reference", overflowing)
    made = fb.fft.rfft(X * 2.0)
    with pytest.raises(FlambeauError, match=r"fft: too large .*float32\[3, 4\]\n  at test_errors\.py"):
        made.numpy()


@pytest.mark.usefixtures("both_executors")
def test_what_did_not_fail_goes_on() -> None:
    """Tensors that were there before a step that failed are still there after it."""
    x = fb.asarray([1.0, 2.0, 3.0], requires_grad=True)
    y = fb.sum(x * x)
    assert y.item() == 14.0
    with pytest.raises(IndexError):
        x[evaluated([5])].numpy()
    y.backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0, 6.0])


def test_what_was_pending_with_a_failure_goes_on() -> None:
    x = fb.ones((3, 4)) * 2.0
    with pytest.raises(IndexError):
        x[evaluated([7])].numpy()
    assert fb.sum(x).item() == 24.0
