"""Layers and losses as functions: what has no parameters of its own, under PyTorch's names.

Each is defined beside the layer that uses it.  What is at the top of the package, such as
``fb.relu`` and ``fb.softmax``, is there alone.
"""

from __future__ import annotations

from typing import NoReturn

from flambeau.nn.attention import scaled_dot_product_attention
from flambeau.nn.linear import linear
from flambeau.nn.loss import cross_entropy, mse_loss

__all__ = [
    "cross_entropy",
    "linear",
    "mse_loss",
    "scaled_dot_product_attention",
]

_AT_THE_TOP = frozenset(("log_softmax", "one_hot", "pad", "relu", "sigmoid", "softmax", "tanh"))


def __getattr__(name: str) -> NoReturn:
    if name in _AT_THE_TOP:
        raise AttributeError(f"flambeau.nn.functional has no {name!r}: use fb.{name}")
    raise AttributeError(f"module 'flambeau.nn.functional' has no attribute {name!r}")
