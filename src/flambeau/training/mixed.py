"""Mixed precision: bfloat16 in the middle, float32 where it matters.

Parameters stay float32, and so do their gradients and the optimizer's state; a forward pass sees
them rounded to bfloat16, whose range is that of float32, so that losses need no scaling.  Layers
that normalize compute in float32, and so does the loss.

Source: P. Micikevicius et al., "Mixed precision training", ICLR 2018; D. Kalamkar et al., "A study of
bfloat16 for deep learning training", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flambeau import nn
from flambeau.dtypes import DType, bfloat16, float32
from flambeau.engine.tape import THREAD
from flambeau.nn.module import Module
from flambeau.primitives.elementwise import cast
from flambeau.tensor import Tensor
from flambeau.transforms import tree

_NORMS = (
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LayerNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "RMSNorm",
    "LocalResponseNorm",
)


@contextmanager
def rounded(module: Module) -> Iterator[None]:
    """Within the block, the module computes in bfloat16."""
    norms = tuple([getattr(nn, name) for name in _NORMS if hasattr(nn, name)])
    kept = {id(p) for m in module.modules() if isinstance(m, norms) for p in m.parameters(recurse=False)}
    chosen = [p for p in module.parameters() if p.dtype is float32 and id(p) not in kept]
    values = [p._value for p in chosen]
    with ExitStack() as hooks:
        for m in module.modules():
            if isinstance(m, norms):
                hooks.callback(m.register_forward_pre_hook(_widen).remove)
                hooks.callback(m.register_forward_hook(_narrow).remove)
        try:
            for p in chosen:
                p._value = THREAD.tape.record(cast, (bfloat16,), (p._value,))
            yield
        finally:
            for p, value in zip(chosen, values, strict=True):
                p._value = value


def converted(x: Any, source: DType, target: DType) -> Any:
    """All tensors of dtype ``source`` in a tree, in ``target``."""

    def one(leaf: Any) -> Any:
        return leaf.astype(target) if isinstance(leaf, Tensor) and leaf.dtype is source else leaf

    return tree.map_leaves(one, x)


def _widen(module: Module, args: tuple[Any, ...]) -> Any:
    return converted(args, bfloat16, float32)


def _narrow(module: Module, args: tuple[Any, ...], output: Any) -> Any:
    return converted(output, float32, bfloat16)
