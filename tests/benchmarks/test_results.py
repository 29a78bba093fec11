"""Ratios, merging, the tables and the plot; and that the pages say what the kept results say."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.results import Entry, Results

from benchmarks import page, plot, results


def entry(case: str = "mlp", threads: int = 2, date: str = "2026-01-01", **modes: Any) -> dict[str, Any]:
    names = {"ours": "flambeau", "compiled": "flambeau compiled", "eager": "PyTorch eager", "jax": "JAX"}
    held = {
        names[k]: v if isinstance(v, dict) else {"times": v, "first": 0.5, "peak": 100e6}
        for k, v in modes.items()
    }
    return {"case": case, "threads": threads, "date": date, "seconds": 0.5, "modes": held}


def test_a_ratio_is_the_median_of_those_within_rounds() -> None:
    e = Entry(
        **entry(ours=[2.0, 3.0, 4.0], compiled=[1.0, 2.0, 3.0], eager=[2.0, 2.0, 9.0], jax=[9.0, 9.0, 1.0])
    )
    assert e.fastest_peer() == "PyTorch eager"  # by the median
    assert e.speed("flambeau compiled", "PyTorch eager") == 2.0
    assert e.speed("flambeau", "PyTorch eager") == 1.0
    assert e.best_of_ours == "flambeau compiled"
    assert e.speed("flambeau", None) is None


def test_what_was_measured_once_is_no_fastest_peer() -> None:
    once = {"times": [0.5], "first": 0.5, "peak": 1, "once": True}
    e = Entry(**entry(ours=[1.0, 1.0], eager=once, jax=[2.0, 2.0]))
    assert e.fastest_peer() == "JAX"
    assert e.speed("PyTorch eager", "JAX") == 4.0
    assert e.best_of_ours == "flambeau"


def test_failures_are_told() -> None:
    found = Results()
    found.add([entry(ours=[1.0], compiled=[1.0], eager=[2.0], jax={"failed": "gave up after 25 s"})])
    assert "JAX: gave up after 25 s: mlp" in page.sections(found)


def test_results_are_kept_and_merged(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    found = Results(["Processor: one"], {1: (1e11, 3e10)}, 0.0, 5)
    found.add([entry("mlp", ours=[1.0], eager=[2.0]), entry("gelu", ours=[1.0], eager=[3.0])])
    results.save(found, kept)
    again = results.load(kept)
    again.add([entry("gelu", date="2026-02-02", ours=[1.0], eager=[4.0])])
    results.save(again, kept)
    last = results.load(kept)
    assert set(last.entries) == {("mlp", 2), ("gelu", 2)}
    assert last.speed("gelu", 2) == pytest.approx(4.0) and last.speed("mlp", 2) == pytest.approx(2.0)
    assert last.mean_speed(2) == pytest.approx(8.0**0.5)
    assert last.limits == found.limits and last.machine == found.machine
    assert "Measured before the rest: mlp (2026-01-01)" in page.sections(last)


def test_the_mean_leaves_the_smallest_out_and_counts_products_once() -> None:
    found = Results()
    found.add(
        [
            entry("mlp_small", ours=[1.0], eager=[100.0]), entry("mlp", ours=[1.0], eager=[2.0]),
            entry("matmul_128", ours=[1.0], eager=[1.0]), entry("matmul_256", ours=[1.0], eager=[4.0]),
        ]
    )  # fmt: skip
    assert found.speed("matmul", 2) == pytest.approx(2.0)
    assert found.mean_speed(2) == pytest.approx(2.0)


def test_memory_above_pytorchs_is_named() -> None:
    found = Results()
    ours = {"times": [1.0], "first": 1.0, "peak": 300e6}
    found.add([entry("mlp", ours=ours, eager=[1.0])])
    assert "mlp, define-by-run (300 MB to 100 MB)" in page.memory_note(found, 2)
    found.add([entry("mlp", ours=[1.0], eager=[1.0])])
    assert page.memory_note(found, 2).startswith("No training workload")


def test_a_page_keeps_what_is_around_its_results() -> None:
    text = f"before\n{page.BEGIN}\n\nold\n\n{page.END}\nafter\n"
    put = page.put(text, "new")
    assert put == f"before\n{page.BEGIN}\n\nnew\n\n{page.END}\nafter\n" and page.put(put, "new") == put
    with pytest.raises(SystemExit, match="no place for results"):
        page.put("nothing", "new")


def test_the_plot_is_a_picture_with_a_mark_for_each_mode() -> None:
    found = Results()
    found.add([entry("mlp", ours=[1.0], compiled=[0.5], eager=[1e6], jax=[2.0])])
    root = ElementTree.fromstring(plot.svg(found))
    titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
    assert {"flambeau compiled: 4.00", "flambeau: 2.00", "JAX: 1.00", "PyTorch eager: 0.00"} <= set(titles)
    assert plot.place(1e-9) == plot.place(1 / 16) < plot.place(1.0) < plot.place(1e9)


@pytest.mark.skipif(not results.KEPT.exists(), reason="nothing was measured yet")
def test_the_pages_and_the_picture_say_what_was_measured() -> None:
    found = results.load()
    for path, text in ((page.PAGE, page.sections(found)), (page.README, page.readme(found))):
        assert page.put(path.read_text(), text) == path.read_text(), (
            f"{path.name}: run python -m benchmarks --write"
        )
    assert plot.PICTURE.read_text() == plot.svg(found)
