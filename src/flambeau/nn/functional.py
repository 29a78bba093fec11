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
from flambeau.nn.class_losses import cross_entropy, multi_margin_loss, nll_loss
from flambeau.nn.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from flambeau.nn.convolution import conv1d, conv2d, conv3d
from flambeau.nn.ctc import ctc_loss
from flambeau.nn.distance_losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from flambeau.nn.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from flambeau.nn.embedding import embedding
from flambeau.nn.linear import bilinear, linear
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
from flambeau.nn.probability_losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    kl_div,
    multilabel_soft_margin_loss,
    soft_margin_loss,
)
from flambeau.nn.rectifiers import celu, elu, gelu, leaky_relu, mish, prelu, rrelu, selu, silu
from flambeau.nn.regression_losses import (
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
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
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "feature_alpha_dropout",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu6",
    "rms_norm",
    "rrelu",
    "scaled_dot_product_attention",
    "selu",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
]

_AT_THE_TOP = frozenset(("log_softmax", "one_hot", "relu", "sigmoid", "softmax", "tanh"))


def __getattr__(name: str) -> NoReturn:
    if name in _AT_THE_TOP:
        raise AttributeError(f"flambeau.nn.functional has no {name!r}: use fb.{name}")
    raise AttributeError(f"module 'flambeau.nn.functional' has no attribute {name!r}")
