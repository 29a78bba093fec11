"""Initial values of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau import random
from flambeau.dtypes import DType, default_float
from flambeau.nn.parameter import Parameter


def uniform(shape: Sequence[int], bound: float, dtype: DType = default_float) -> Parameter:
    """A parameter drawn uniformly from [-bound, bound)."""
    values: Any = random.uniform(tuple(shape), low=-bound, high=bound, dtype=dtype)
    return Parameter(values)


def fan_in_bound(fan_in: int) -> float:
    """The bound that PyTorch draws weights and biases of linear layers from: 1/sqrt(fan_in).

    Source: He et al., Delving Deep into Rectifiers, 2015, with a = sqrt(5).
    """
    return 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
