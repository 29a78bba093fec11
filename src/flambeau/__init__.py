"""flambeau: a deep learning framework in one language.

Tensors follow the Python array API standard; what you write is recorded, and runs as fused
machine code when a value is needed.

>>> import flambeau as fb
>>> x = fb.asarray([1.0, 2.0, 3.0], requires_grad=True)
>>> fb.sum(x * x).backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from flambeau import fft, linalg, random
from flambeau.devices import Device, cpu, device, devices
from flambeau.dtypes import (
    DType,
    bfloat16,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from flambeau.dtypes import bool_ as bool
from flambeau.engine.executors import use_executor
from flambeau.ops.arithmetic import (
    abs,
    add,
    ceil,
    clip,
    conj,
    copysign,
    divide,
    floor,
    floor_divide,
    hypot,
    imag,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    positive,
    pow,
    real,
    reciprocal,
    remainder,
    round,
    rsqrt,
    sign,
    sqrt,
    square,
    subtract,
    trunc,
)
from flambeau.ops.creation import (
    asarray,
    empty,
    empty_like,
    from_dlpack,
    full,
    full_like,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from flambeau.ops.grad_mode import enable_grad, is_grad_enabled, no_grad
from flambeau.ops.info import __array_namespace_info__, can_cast, finfo, iinfo, isdtype, result_type
from flambeau.ops.logic import (
    allclose,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isclose,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    signbit,
)
from flambeau.ops.manipulation import (
    astype,
    bitcast,
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    flatten,
    flip,
    moveaxis,
    pad,
    permute_dims,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    tile,
    unstack,
)
from flambeau.ops.products import einsum, matmul, matrix_transpose, tensordot, vecdot
from flambeau.ops.ranges import arange, eye, linspace, meshgrid, tril, triu
from flambeau.ops.reductions import (
    all,
    any,
    count_nonzero,
    cumulative_max,
    cumulative_min,
    cumulative_prod,
    cumulative_sum,
    diff,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    softmax,
    std,
    sum,
    var,
)
from flambeau.ops.searching import (
    add_along_axis,
    argmax,
    argmin,
    argsort,
    nonzero,
    one_hot,
    put_along_axis,
    searchsorted,
    sort,
    take,
    take_along_axis,
    topk,
    where,
)
from flambeau.ops.sets import unique_all, unique_counts, unique_inverse, unique_values
from flambeau.ops.transcendental import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    relu,
    sigmoid,
    sin,
    sinh,
    tan,
    tanh,
)
from flambeau.tensor import Tensor

__version__ = "0.1.0"
__array_api_version__ = "2024.12"

e = math.e
inf = math.inf
nan = math.nan
pi = math.pi
newaxis = None

# Loaded when first used, so that importing flambeau stays quick.
_SUBMODULES = ("data", "errors", "io", "nn", "optim", "transforms")
_LATE = {
    name: module
    for module, names in {
        "flambeau.runtime.native": ("get_num_threads", "set_num_threads"),
        "flambeau.transforms": (
            "checkpoint", "compile", "custom_function", "grad", "gradcheck", "hessian", "jacobian", "jvp",
            "trace", "value_and_grad", "vjp", "vmap",
        ),
    }.items()
    for name in names
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"flambeau.{name}")
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module 'flambeau' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(module), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_LATE})
