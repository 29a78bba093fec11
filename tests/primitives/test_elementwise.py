"""Rules of elementwise primitives that no sample of the database reaches."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb

pytestmark = pytest.mark.usefixtures("both_executors")


@pytest.mark.parametrize("to", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "float64"])
def test_what_an_integer_cannot_hold_becomes_its_nearest_end(source, to):
    ends = np.iinfo(to)
    values = [np.inf, -np.inf, np.nan, -0.75, 2.5]
    if source != "float16":  # which holds nothing beyond 65504
        values += [1e30, -1e30]
    result = fb.asarray(values, dtype=getattr(fb, source)).astype(getattr(fb, to)).numpy()
    assert result.tolist() == [ends.max, ends.min, 0, 0, 2, ends.max, ends.min][: len(values)]


def test_the_ends_themselves_and_their_neighbours():
    x = np.array([2147483647.0, 2147483646.5, 2147483648.0, -2147483648.0, -2147483649.0])
    ends = [2147483647, 2147483646, 2147483647, -2147483648, -2147483648]
    assert fb.asarray(x).astype(fb.int32).numpy().tolist() == ends
