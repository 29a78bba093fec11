"""Where the default generators of random numbers are, to be saved and restored."""

from __future__ import annotations

import random as python_random
from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau import random


def random_state() -> dict[str, Any]:
    """Where the default generators of flambeau, Python and NumPy are."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "flambeau": random.default_generator().state,
        "python": python_random.getstate(),
        "numpy": [kind, np.asarray(keys), position, has_gauss, gauss],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the default generators where they were."""
    key, counter = state["flambeau"]
    random.default_generator().state = (key, counter)
    version, words, gauss = state["python"]
    python_random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(state["numpy"]))
