"""Normalization layers."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import Case, case, numbers, wholes

ROWS = numbers(5, 6) * 3.0 + 10.0


def same(layer: str, *args: Any, x: Any, shows: str, **options: Any) -> Case:
    return case(layer, *args, inputs=x, output=x.shape, shows=f"{layer}({shows})", **options)


def running(layer: str, *shape: int, shows: str, variant: str, **options: Any) -> Case:
    """A layer over the batch that updates buffers in training, and whose rows depend on each other then."""
    training = options.get("training", True)
    tracked = options.get("track_running_stats", layer.startswith("Batch"))
    batch = layer.startswith("Batch")
    return same(
        layer,
        shape[1],
        x=numbers(*shape) * 2.0 + 1.0,
        shows=shows,
        variant=variant,
        independent=not batch or (not training and tracked),
        traceable=not (training and tracked),
        **options,
    )


BATCH = "3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True"
INSTANCE = "3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False"
PLAIN = "3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False"

CASES = [
    same("LayerNorm", 6, x=ROWS, shows="(6,), eps=1e-05, elementwise_affine=True",
         wrong=[((numbers(5, 7),), ShapeError, r"LayerNorm: an input of shape \(\.\.\., 6\) is needed, not \(5, 7\)"),
                ((wholes(3, 5, 6),), DTypeError, "LayerNorm: a floating-point tensor is needed, not int64")],
         refused=[(((),), {}, OperandError, r"LayerNorm: normalized_shape must be a size or a tuple of sizes, not \(\)"),
                  ((0,), {}, OperandError, "LayerNorm: normalized_shape must be a size or a tuple of sizes, not 0")]),
    same("LayerNorm", (3, 2), x=numbers(2, 5, 3, 2), shows="(3, 2), eps=1e-05, elementwise_affine=True"),
    same("LayerNorm", 6, bias=False, eps=0.1, x=ROWS, shows="(6,), eps=0.1, elementwise_affine=True, bias=False"),
    same("LayerNorm", 6, elementwise_affine=False, x=ROWS, shows="(6,), eps=1e-05, elementwise_affine=False"),
    same("LayerNorm", 33, x=numbers(3, 33), shows="(33,), eps=1e-05, elementwise_affine=True"),
    same("RMSNorm", 6, x=ROWS, shows="(6,), eps=None, elementwise_affine=True",
         wrong=[((numbers(6, 5),), ShapeError, r"RMSNorm: an input of shape \(\.\.\., 6\) is needed, not \(6, 5\)")]),
    same("RMSNorm", (3, 2), eps=1e-3, elementwise_affine=False, x=numbers(2, 5, 3, 2), shows="(3, 2), eps=0.001, elementwise_affine=False"),
    same("GroupNorm", 2, 6, x=ROWS, shows="2, 6, eps=1e-05, affine=True",
         wrong=[((numbers(5, 4),), ShapeError, r"GroupNorm: an input of shape \(N, 6, \.\.\.\) is needed, not \(5, 4\)")],
         refused=[((4, 6), {}, OperandError, "GroupNorm: 6 channels cannot be divided into 4 groups"),
                  ((0, 6), {}, OperandError, "GroupNorm: num_groups must be a size of at least 1, not 0")]),
    same("GroupNorm", 3, 6, x=numbers(2, 6, 2, 3), shows="3, 6, eps=1e-05, affine=True"),
    same("GroupNorm", 1, 4, 0.1, affine=False, x=numbers(2, 4, 5), shows="1, 4, eps=0.1, affine=False"),
    same("LocalResponseNorm", 3, x=numbers(2, 5, 2, 2), shows="3, alpha=0.0001, beta=0.75, k=1.0",
         wrong=[((numbers(3),), ShapeError, r"LocalResponseNorm: an input of shape \(N, C, \.\.\.\) is needed, not \(3,\)")],
         refused=[((0,), {}, OperandError, "LocalResponseNorm: size must be a size of at least 1, not 0")]),
    same("LocalResponseNorm", 4, 0.5, 1.5, 0.8, x=numbers(2, 5, 3), shows="4, alpha=0.5, beta=1.5, k=0.8"),
    running("BatchNorm1d", 5, 3, shows=BATCH, variant="train",
            wrong=[((numbers(5, 4),), ShapeError, r"BatchNorm1d: an input of shape \(N, 3\) or \(N, 3, L\) is needed, not \(5, 4\)"),
                   ((numbers(1, 3),), ShapeError, r"BatchNorm1d: an input of shape \(1, 3\) has one value for each channel"),
                   ((numbers(2, 3, 4, 5),), ShapeError, r"BatchNorm1d: an input of shape .* is needed, not \(2, 3, 4, 5\)")],
            refused=[((0,), {}, OperandError, "BatchNorm1d: num_features must be a size of at least 1, not 0"),
                     ((3,), {"momentum": "1"}, OperandError, "BatchNorm1d: momentum must be a number, not '1'")]),
    running("BatchNorm1d", 5, 3, shows=BATCH, variant="eval", training=False),
    running("BatchNorm1d", 3, 3, 4, shows="3, eps=1e-05, momentum=None, affine=True, track_running_stats=True", variant="average", momentum=None),
    running("BatchNorm1d", 5, 3, shows="3, eps=0.1, momentum=0.3, affine=False, track_running_stats=True", variant="plain", affine=False, eps=0.1, momentum=0.3),
    running("BatchNorm1d", 5, 3, shows="3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=False", variant="untracked", track_running_stats=False),
    running("BatchNorm1d", 5, 3, shows=PLAIN, variant="untracked-eval", track_running_stats=False, affine=False, training=False),
    running("BatchNorm2d", 4, 3, 2, 3, shows=BATCH, variant="train",
            wrong=[((numbers(5, 3, 2),), ShapeError, r"BatchNorm2d: an input of shape \(N, 3, H, W\) is needed, not \(5, 3, 2\)")]),
    running("BatchNorm2d", 4, 3, 2, 3, shows=BATCH, variant="eval", training=False),
    running("BatchNorm3d", 2, 3, 2, 1, 3, shows=BATCH, variant="train",
            wrong=[((numbers(5, 3),), ShapeError, r"BatchNorm3d: an input of shape \(N, 3, D, H, W\) is needed, not \(5, 3\)")]),
    running("BatchNorm3d", 2, 3, 2, 1, 3, shows=BATCH, variant="eval", training=False),
    running("InstanceNorm1d", 2, 3, 5, shows=INSTANCE, variant="train",
            wrong=[((numbers(2, 4, 5),), ShapeError, r"InstanceNorm1d: an input of shape \(N, 3, L\) or \(3, L\) is needed, not \(2, 4, 5\)"),
                   ((numbers(2, 3, 1),), ShapeError, r"InstanceNorm1d: an input of shape \(2, 3, 1\) has one value for each channel")]),
    running("InstanceNorm1d", 2, 3, 5, shows="3, eps=1e-05, momentum=0.2, affine=True, track_running_stats=True", variant="tracked", affine=True, track_running_stats=True, momentum=0.2),
    running("InstanceNorm1d", 2, 3, 5, shows="3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True", variant="tracked-eval", affine=True, track_running_stats=True, training=False),
    same("InstanceNorm1d", 3, x=numbers(3, 5), shows=INSTANCE, variant="one", batch=None),
    running("InstanceNorm2d", 2, 3, 2, 3, shows="3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=False", variant="train", affine=True),
    running("InstanceNorm2d", 2, 3, 2, 3, shows="3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=True", variant="tracked", track_running_stats=True),
    same("InstanceNorm2d", 3, x=numbers(3, 2, 4), shows="3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True", variant="one", batch=None, affine=True, track_running_stats=True, traceable=False),
    running("InstanceNorm3d", 2, 3, 2, 1, 3, shows=INSTANCE, variant="train"),
]  # fmt: skip
