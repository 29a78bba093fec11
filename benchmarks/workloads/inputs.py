"""The data of the workloads: random with a fixed seed, the same for every framework."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = tuple[np.ndarray, ...]

PARAMETERS = {"cnn": 1_199_882, "resnet18_cifar": 11_173_962}
NAMES = (
    "mlp_small", "mlp", "cnn", "resnet18_cifar", "resnet18_infer", "lstm", "gpt", "norm_softmax", "gelu",
)  # fmt: skip
TRAINED = frozenset({"mlp_small", "mlp", "cnn", "resnet18_cifar", "lstm", "gpt"})


def inputs(name: str) -> Arrays:
    """The arrays of workload ``name``: examples, and labels where it trains."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

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
    }
    return made[name]()


def check_parameters(name: str, count: int) -> None:
    """Raise unless a network has as many parameters as it should."""
    if count != PARAMETERS.get(name, count):
        raise AssertionError(f"{name} has {count} parameters, not {PARAMETERS[name]}")
