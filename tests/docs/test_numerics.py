"""The page on numbers says of every elementary function what is true of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tests.compiler.exact import IN_FLOAT64, Found, worst

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("measure_functions", ROOT / "tools" / "measure_functions.py")
assert SPEC is not None and SPEC.loader is not None
TOOL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TOOL)

ROWS = TOOL.rows(TOOL.PAGE.read_text())


def test_every_function_is_on_the_page() -> None:
    assert list(ROWS) == sorted(IN_FLOAT64)


@pytest.mark.parametrize("name", sorted(IN_FLOAT64))
def test_the_worst_case_is_as_bad_as_the_page_says_and_no_other_is_worse(name: str) -> None:
    row = ROWS[name]
    at = np.array([float.fromhex(row.at)], np.float32)
    assert f"{worst(name, at).error:.3f}" == row.error
    bits = np.random.default_rng(8).integers(0, 2**32, 100_000, dtype=np.uint32)
    sampled = worst(
        name, np.concatenate([bits.view(np.float32), np.linspace(-9, 9, 50_001, dtype=np.float32)])
    )
    assert sampled.error <= float(row.error) + 5e-4


def test_rows_are_put_in_their_places() -> None:
    page = f"before\n\n{TOOL.HEAD}\nafter\n"
    one = TOOL.row("tan", Found(1.5, 2.0, 0.25))
    two = TOOL.row("exp", Found(0.75, -1.0, 0.0))
    made = TOOL.put(TOOL.put(page, [one]), [two])
    assert made == f"before\n\n{TOOL.HEAD}{two.text()}{one.text()}\nafter\n"
    assert TOOL.rows(made) == {"exp": two, "tan": one}
    again = TOOL.row("tan", Found(1.25, 2.0, 0.0))
    assert TOOL.put(made, [again]) == made.replace(one.text(), again.text())
