"""``gradcheck``: gradients by the rules against gradients by differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import float64
from flambeau.engine.convert import from_array
from flambeau.errors import GradientError, OperandError
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.gradient import vjp
from flambeau.transforms.tracing import Function, name_of


def gradcheck(
    f: Function, inputs: Sequence[Any], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-4
) -> bool:
    """Compare the gradients of ``f(*inputs)`` with central differences; True, or an error.

    All floating-point inputs must be float64; their elements are moved by ``eps`` one at a time.
    Results that are tensors with several elements are weighted with fixed random numbers.  Raises
    ``GradientError`` with the input, the index and both values where they differ by more than
    ``atol + rtol * |difference quotient|``.

    >>> import flambeau as fb
    >>> fb.gradcheck(lambda x: x * x, (fb.asarray([1.0, 2.0], dtype=fb.float64),))
    True
    """
    label = f"gradcheck({name_of(f)})"
    arguments = tuple(inputs)
    leaves, structure = tree.flatten(arguments)
    paths = list(structure.paths())
    moving = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.dtype.floating]
    for i in moving:
        if leaves[i].dtype is not float64:
            raise OperandError(f"{label}: input {paths[i]} is {leaves[i].dtype}; differences need float64")

    def of_moving(*xs: Any) -> Any:
        items = list(leaves)
        for i, x in zip(moving, xs, strict=True):
            items[i] = x
        results, shape = tree.flatten(f(*structure.unflatten(items)))
        kept = [y for y in results if isinstance(y, Tensor) and y.dtype.floating]
        if not kept:
            raise GradientError(f"{label}: the function returned {shape!r} without a floating-point tensor")
        return kept

    start = [leaves[i].detach() for i in moving]
    values, pull = vjp(of_moving, *start)
    random = np.random.default_rng(0)
    weights = [random.uniform(0.5, 1.5, y.shape).astype(y.dtype.numpy) for y in values]
    gradients = pull([Tensor(from_array(w)) for w in weights])

    def total(arrays: Sequence[Any]) -> float:
        made = of_moving(*[Tensor(from_array(a)) for a in arrays])
        return float(
            sum((y.numpy().astype(np.float64) * w).sum() for y, w in zip(made, weights, strict=True))
        )

    arrays = [x.numpy().copy() for x in start]
    for place, gradient in enumerate(gradients):
        known = gradient.numpy()
        for index in np.ndindex(arrays[place].shape):
            at = arrays[place][index]
            arrays[place][index] = at + eps
            above = total(arrays)
            arrays[place][index] = at - eps
            below = total(arrays)
            arrays[place][index] = at
            expected = (above - below) / (2 * eps)
            found = float(known[index])
            if not abs(found - expected) <= atol + rtol * abs(expected):
                raise GradientError(
                    f"{label}: the gradient of input {paths[moving[place]]} at index {index} is {found:.9g}, "
                    f"but differences give {expected:.9g}"
                )
    return True


def gradgradcheck(
    f: Function, inputs: Sequence[Any], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-4
) -> bool:
    """Compare the second derivatives of ``f(*inputs)`` with differences of the first; see ``gradcheck``."""
    arguments = tuple(inputs)
    leaves, structure = tree.flatten(arguments)
    moving = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.dtype.floating]
    random = np.random.default_rng(1)
    shapes = [
        y._value.type for y in tree.flatten(f(*arguments))[0] if isinstance(y, Tensor) and y.dtype.floating
    ]
    weights = [Tensor(from_array(random.uniform(0.5, 1.5, t.shape).astype(t.dtype.numpy))) for t in shapes]

    def gradients(*xs: Any) -> Any:
        def of_moving(*moved: Any) -> Any:
            items = list(leaves)
            for i, x in zip(moving, moved, strict=True):
                items[i] = x
            results = tree.flatten(f(*structure.unflatten(items)))[0]
            return [y for y in results if isinstance(y, Tensor) and y.dtype.floating]

        count = len(moving)
        return list(vjp(of_moving, *xs[:count])[1](list(xs[count:])))

    gradients.__name__ = f"the gradient of {name_of(f)}"
    return gradcheck(gradients, [*[leaves[i] for i in moving], *weights], eps, atol, rtol)
