"""Layers and losses as functions: what has no parameters of its own, under PyTorch's names.

Each is defined beside the layer that uses it.  What is at the top of the package, such as
``fb.relu`` and ``fb.softmax``, is there alone.
"""

from __future__ import annotations

from typing import NoReturn

from flambeau.nn.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from flambeau.nn.attention import scaled_dot_product_attention
from flambeau.nn.avg_pooling import avg_pool1d, avg_pool2d, avg_pool3d, lp_pool1d, lp_pool2d, lp_pool3d
from flambeau.nn.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from flambeau.nn.convolution import conv1d, conv2d, conv3d
from flambeau.nn.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from flambeau.nn.embedding import embedding
from flambeau.nn.linear import bilinear, linear
from flambeau.nn.loss import cross_entropy, mse_loss
from flambeau.nn.max_pooling import (
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from flambeau.nn.norms import group_norm, layer_norm, local_response_norm, rms_norm
from flambeau.nn.padding import pad
from flambeau.nn.piecewise import hardshrink, hardsigmoid, hardswish, hardtanh, relu6, softshrink, threshold
from flambeau.nn.rectifiers import celu, elu, gelu, leaky_relu, mish, prelu, rrelu, selu, silu
from flambeau.nn.running_norms import batch_norm, instance_norm
from flambeau.nn.shuffling import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle, unfold
from flambeau.nn.sigmoids import logsigmoid, softplus, softsign, tanhshrink
from flambeau.nn.similarity import cosine_similarity, pairwise_distance
from flambeau.nn.softmax import glu, softmin
from flambeau.nn.upsampling import interpolate

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "feature_alpha_dropout",
    "fold",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu6",
    "rms_norm",
    "rrelu",
    "scaled_dot_product_attention",
    "selu",
    "silu",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
    "unfold",
]

_AT_THE_TOP = frozenset(("log_softmax", "one_hot", "relu", "sigmoid", "softmax", "tanh"))


def __getattr__(name: str) -> NoReturn:
    if name in _AT_THE_TOP:
        raise AttributeError(f"flambeau.nn.functional has no {name!r}: use fb.{name}")
    raise AttributeError(f"module 'flambeau.nn.functional' has no attribute {name!r}")
