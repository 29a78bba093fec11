"""The database of samples on the native executor, against the NumPy rules of the same operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.engine.checking import from_array

from flambeau.compiler.partition import partition
from flambeau.compiler.verify import verify_kernel
from flambeau.engine.native import NativeExecutor, supports
from flambeau.errors import FlambeauError
from flambeau.graph.graph import Graph, compact
from flambeau.graph.verifier import verify
from samples import SAMPLES, Sample
from samples.evaluate import run, trace, type_of

NATIVE = (
    "reduce_window",
    "select_and_scatter",
    "conv_general",
    "dot_general",
    "pad",
    "concatenate",
    "reverse",
    "slice",
    "gather",
    "scatter",
    "scatter_add",
    "in_range",
    "dynamic_slice",
    "dynamic_update_slice",
    "random_bits",
    "argmax",
    "argmin",
    "reduce_all",
    "reduce_any",
    "cumsum",
    "cumprod",
    "cummax",
    "cummin",
    "linear_recurrence",
    "shift_left",
    "shift_right",
)
EXECUTOR = NativeExecutor()
TOLERANCE = {"float64": 1e-13, "float32": 1e-5, "float16": 2.0**-9, "bfloat16": 2.0**-6}


def versions(sample: Sample) -> list[list[np.ndarray]]:
    """The operands of a sample, and the same in float32 where they are float64."""
    arrays = sample.arrays()
    narrow = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]
    return (
        [arrays] if all(a.dtype == b.dtype for a, b in zip(arrays, narrow, strict=True)) else [arrays, narrow]
    )


def compiled(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The results of a graph, run by machine code."""
    graph = compact(graph)
    verify(graph)
    executable = EXECUTOR.prepare(graph, frozenset(), 0)
    made = executable.submit([from_array(np.ascontiguousarray(a)) for a in arrays]).wait()
    return [b.view(t.dtype.numpy, t.shape) for b, t in zip(made, graph.output_types, strict=True)]


def close(got: np.ndarray, want: np.ndarray, what: str) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype), what
    tolerance = TOLERANCE.get(got.dtype.name)
    if tolerance is None:
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    wide_got, wide_want = got.astype(np.float64), want.astype(np.float64)
    finite = np.abs(wide_want[np.isfinite(wide_want)])
    scale = tolerance * max(1.0, float(finite.max()) if finite.size else 1.0)
    np.testing.assert_allclose(wide_got, wide_want, rtol=tolerance, atol=scale, err_msg=what)


def on_host(graph: Graph) -> set[str]:
    """What of a graph is called on the host."""
    graph = compact(graph)
    groups = partition(graph, supports).groups
    nodes = [graph.nodes[i] for g in groups if g.kind == "host" for i in g.nodes]
    return {n.primitive.name for n in nodes if n.inputs}


@pytest.mark.parametrize("name", NATIVE)
def test_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EXECUTOR.kernels.entry

    def checked(kernel: Any) -> str:
        verify_kernel(kernel)
        return entry(kernel)

    monkeypatch.setattr(EXECUTOR.kernels, "entry", checked)
    native = 0
    for sample in SAMPLES[name]:
        for arrays in versions(sample):
            try:
                graph = trace(sample.function, *[type_of(a) for a in arrays])
            except FlambeauError:
                continue  # mixes the narrower dtype with what the sample fixes
            with np.errstate(all="ignore"):
                wanted = run(graph, *arrays)
            native += name not in on_host(graph)
            for got, want in zip(compiled(graph, arrays), wanted, strict=True):
                close(got, want, f"{sample.id} in {arrays[0].dtype if arrays else ''}")
    assert native
