"""The data of the workloads: random with a fixed seed, the same for every framework."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.workloads.cases import PARAMETERS, Convolution

Arrays = tuple[np.ndarray, ...]


def inputs(name: str) -> Arrays:
    """The arrays of workload ``name``: examples, and labels where it trains; images are channels first."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    if name.startswith("matmul_"):
        n = int(name.removeprefix("matmul_"))
        return normal(n, n), normal(n, n)
    made: dict[str, Callable[[], Arrays]] = {
        "mlp_small": lambda: (normal(32, 20), normal(32, 1)),
        "mlp": lambda: (normal(128, 784), rng.integers(0, 10, 128)),
        "cnn": lambda: (normal(64, 1, 28, 28), rng.integers(0, 10, 64)),
        "resnet18_cifar": lambda: (normal(32, 3, 32, 32), rng.integers(0, 10, 32)),
        "resnet18_infer": lambda: (normal(1, 3, 224, 224),),
        "lstm": lambda: (rng.integers(0, 65, (32, 64)), rng.integers(0, 65, (32, 64))),
        "gpt": lambda: (rng.integers(0, 65, (8, 128)), rng.integers(0, 65, (8, 128))),
        "norm_softmax": lambda: (normal(4096, 1024),),
        "gelu": lambda: (normal(4_000_000),),
        "adam_update": lambda: tuple(normal(200_000) for _ in range(100)),  # parameters, then gradients
    }
    return made[name]() if name in made else (normal(64), normal(64))


def convolution_inputs(case: Convolution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images and gradients of the results, channels last, and filters as (out, in, height, width)."""
    rng = np.random.default_rng(0)
    places = (case.batch, case.size, case.size)
    images = rng.standard_normal((*places, case.before), np.float32)
    filters = rng.standard_normal((case.width, case.before, case.kernel, case.kernel), np.float32)
    gradients = rng.standard_normal((*places, case.width), np.float32)
    return images, filters, gradients


def images_last(arrays: Arrays) -> Arrays:
    """The same with images turned to channels last."""
    return tuple(np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a for a in arrays)


def check_parameters(name: str, count: int) -> None:
    """Raise unless a network has as many parameters as it should."""
    if count != PARAMETERS.get(name, count):
        raise AssertionError(f"{name} has {count} parameters, not {PARAMETERS[name]}")
