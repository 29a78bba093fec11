"""The workloads in TensorFlow with Keras layers and optimizers: one ``tf.function`` a step, channels last.

``JITTED`` are compiled by XLA as well, because that is faster there; convolutions are faster without.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from benchmarks.worker import Step
from benchmarks.workloads.cases import TRAINED
from benchmarks.workloads.inputs import check_parameters, images_last, inputs

JITTED = frozenset(
    {"mlp_small", "mlp", "norm_softmax", "gelu", "adam_update", "op_overhead", "op_overhead_grad"}
)


def set_threads(count: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def compiled(function: Callable[..., Any], name: str) -> Any:
    """``function`` as a graph, compiled by XLA where that is faster."""
    return tf.function(function, jit_compile=name in JITTED)


class Block(layers.Layer):
    """A block of a decoder: attention, then two dense layers, each after a normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = layers.LayerNormalization(epsilon=1e-5)
        self.qkv = layers.Dense(3 * width)
        self.out = layers.Dense(width)
        self.norm2 = layers.LayerNormalization(epsilon=1e-5)
        self.up = layers.Dense(4 * width)
        self.down = layers.Dense(width)

    def call(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = tf.split(self.qkv(self.norm1(x)), 3, -1)
        q, k, v = (tf.transpose(tf.reshape(t, (batch, length, self.heads, -1)), (0, 2, 1, 3)) for t in parts)
        scores = tf.matmul(q, k, transpose_b=True) * (width // self.heads) ** -0.5
        seen = tf.linalg.band_part(tf.ones((length, length), tf.bool), -1, 0)
        mixed = tf.matmul(tf.nn.softmax(tf.where(seen, scores, -1e9)), v)
        x = x + self.out(tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (batch, length, width)))
        return x + self.down(tf.nn.gelu(self.up(self.norm2(x)), approximate=True))


class Gpt(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.token = layers.Embedding(65, 256)
        self.position = layers.Embedding(128, 256)
        self.blocks = [Block(256, 8) for _ in range(4)]
        self.norm = layers.LayerNormalization(epsilon=1e-5)
        self.out = layers.Dense(65)

    def call(self, x: Any) -> Any:
        x = self.token(x) + self.position(tf.range(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


def conv(x: Any, width: int, size: int, stride: int = 1) -> Any:
    if size > 1 and stride > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(width, size, stride, padding=padding, use_bias=False)(x)


def norm(x: Any) -> Any:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def resnet18(stem: int, classes: int) -> Any:
    """``stem`` is the size of the first filters: 3 keeps the size of the images, 7 divides it by four."""
    given = keras.Input((32, 32, 3) if stem == 3 else (224, 224, 3))
    x = layers.ReLU()(norm(conv(given, 64, stem, 1 if stem == 3 else 2)))
    if stem == 7:
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    before = 64
    for width in (64, 128, 256, 512):
        for _ in range(2):
            stride = 1 if before == width else 2
            y = norm(conv(layers.ReLU()(norm(conv(x, width, 3, stride))), width, 3))
            short = x if before == width else norm(conv(x, width, 1, stride))
            x = layers.ReLU()(layers.Add()([y, short]))
            before = width
    return keras.Model(given, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def network(name: str) -> Any:
    if name == "mlp_small":
        return keras.Sequential(
            [layers.Dense(64, activation="tanh"), layers.Dense(64, activation="tanh"), layers.Dense(1)]
        )
    if name == "mlp":
        return keras.Sequential(
            [layers.Dense(512, activation="relu"), layers.Dense(256, activation="relu"), layers.Dense(10)]
        )
    if name == "cnn":
        return keras.Sequential(
            [
                layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(2), layers.Dropout(0.25), layers.Flatten(),
                layers.Dense(128, activation="relu"), layers.Dense(10),
            ]
        )  # fmt: skip
    if name == "resnet18_cifar":
        return resnet18(3, 10)
    if name == "lstm":
        return keras.Sequential(
            [layers.Embedding(65, 128), layers.LSTM(256, return_sequences=True), layers.Dense(65)]
        )
    return Gpt()


def optimizer_of(name: str) -> Any:
    if name == "mlp_small":
        return keras.optimizers.SGD(0.01, momentum=0.9)
    if name == "resnet18_cifar":
        return keras.optimizers.SGD(0.01, momentum=0.9)
    if name == "gpt":
        return keras.optimizers.AdamW(3e-4, weight_decay=0.01)
    return keras.optimizers.Adam(1e-3, global_clipnorm=1.0 if name == "lstm" else None)


def training(name: str) -> Step:
    x, y = (tf.constant(a) for a in images_last(inputs(name)))
    model = network(name)
    model(x)
    variables = model.trainable_variables
    check_parameters(name, sum(v.numpy().size for v in variables))
    optimizer = optimizer_of(name)
    optimizer.build(variables)
    decay = 5e-4 if name == "resnet18_cifar" else 0.0  # added to the gradients: Keras has no such argument

    def loss_of(x: Any, y: Any) -> Any:
        found = model(x, training=True)
        if name == "mlp_small":
            return tf.reduce_mean(tf.square(found - y))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, found))

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(x, y)
        gradients = tape.gradient(loss, variables)
        if decay:
            gradients = [g + decay * v for g, v in zip(gradients, variables, strict=True)]
        optimizer.apply(gradients, variables)
        return loss

    run = compiled(step, name)
    return lambda: (float(run(x, y)),)


def inference(name: str) -> Step:
    (x,) = (tf.constant(a) for a in images_last(inputs(name)))
    if name == "gelu":
        run = compiled(lambda x: tf.nn.gelu(x, approximate=False), name)
        return lambda: (run(x), None)[1]
    if name == "norm_softmax":
        norm = layers.LayerNormalization(epsilon=1e-5)
        norm.build(x.shape)
        run = compiled(lambda x: norm(tf.nn.softmax(x)), name)
        return lambda: (run(x), None)[1]
    model = resnet18(7, 1000)
    run = compiled(lambda x: model(x, training=False)[0, 0], name)
    return lambda: (float(run(x)), None)[1]


def build(mode: str, name: str) -> Step:
    keras.utils.set_random_seed(0)
    if name in TRAINED:
        return training(name)
    if name in ("gelu", "norm_softmax", "resnet18_infer"):
        return inference(name)
    from benchmarks.workloads.tensorflow_kernels import build as build_kernel

    return build_kernel(mode, name)
