"""Single kernels in TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from benchmarks.worker import Step
from benchmarks.workloads.cases import CHAIN, convolution
from benchmarks.workloads.inputs import convolution_inputs, inputs
from benchmarks.workloads.tensorflow_models import compiled


def chain(x: Any, y: Any) -> Any:
    for _ in range(CHAIN):
        x = x * 1.0001
        x = x + y
    return x


def gradient(x: Any, y: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(chain(x, y))
    return tape.gradient(total, x)


def operations(mode: str, name: str) -> Step:
    x, y = map(tf.constant, inputs(name))
    if name == "op_single":
        return lambda: (x + y, None)[1]
    function: Any = gradient if name == "op_overhead_grad" else chain
    if mode != "TensorFlow eager":
        function = compiled(function, name)
    return lambda: (float(function(x, y)[0]), None)[1]


def convolve(name: str) -> Step:
    case = convolution(name)
    images, filters, gradients = convolution_inputs(case)
    x, w, g = map(tf.constant, (images, filters.transpose(2, 3, 1, 0).copy(), gradients))
    ones = (1, 1, 1, 1)
    raw = tf.raw_ops
    shared: Any = {"strides": ones, "padding": "SAME", "data_format": "NHWC"}
    passes: Any = {
        "forward": lambda: raw.Conv2D(input=x, filter=w, **shared),
        "data": lambda: raw.Conv2DBackpropInput(input_sizes=images.shape, filter=w, out_backprop=g, **shared),
        "weight": lambda: raw.Conv2DBackpropFilter(input=x, filter_sizes=w.shape, out_backprop=g, **shared),
    }
    run = passes[case.which]
    return lambda: (run(), None)[1]


def adam_update(name: str) -> Step:
    arrays = inputs(name)
    variables = [keras.Variable(a) for a in arrays[:50]]
    gradients = [tf.constant(a) for a in arrays[50:]]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)
    run = compiled(lambda: optimizer.apply(gradients, variables), name)
    return lambda: (run(), None)[1]


def build(mode: str, name: str) -> Step:
    if name.startswith("op_"):
        return operations(mode, name)
    if name.startswith("conv_"):
        return convolve(name)
    if name == "adam_update":
        return adam_update(name)
    x, y = map(tf.constant, inputs(name))
    return lambda: (tf.matmul(x, y), None)[1]
