"""The database of samples on the native executor, against the NumPy rules of the same operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.engine.checking import from_array

from flambeau.compiler.partition import partition
from flambeau.compiler.simplify import simplify
from flambeau.compiler.verify import verify_kernel
from flambeau.engine.native import NativeExecutor, supports
from flambeau.errors import FlambeauError
from flambeau.graph.graph import Graph, compact
from flambeau.graph.primitive import REGISTRY
from flambeau.graph.verifier import verify
from samples import SAMPLES, Sample
from samples.evaluate import run, trace, type_of

# What is called on the host whatever its dtype: linear algebra beyond products, transforms of complex
# numbers, and what makes complex numbers or takes them apart.
ON_HOST = frozenset((
    "cholesky", "cofactor", "det", "eigh", "inv", "qr", "slogdet", "solve", "svd", "triangular_solve",
    "fft", "complex", "conj", "imag", "real",
))  # fmt: skip
# Gone before a program is cut into kernels; known before it runs; and those whose bodies are cut themselves.
APART = frozenset(("split", "fresh", "stop_gradient", "call", "iota", "size", "constant"))
NATIVE = sorted(set(SAMPLES) - ON_HOST)
EXECUTOR = NativeExecutor()
TOLERANCE = {"float64": 1e-13, "float32": 1e-5, "float16": 2.0**-9, "bfloat16": 2.0**-6}


def flushed(array: np.ndarray) -> np.ndarray:
    """Denormal numbers count as zero in kernels."""
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        return array
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, np.copysign(0, array), array).astype(
        array.dtype
    )


def versions(sample: Sample) -> list[list[np.ndarray]]:
    """The operands of a sample, and the same in float32 where they are float64."""
    arrays = [flushed(a) for a in sample.arrays()]
    with np.errstate(all="ignore"):
        narrow = [flushed(a.astype(np.float32)) if a.dtype == np.float64 else a for a in arrays]
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


def close(got: np.ndarray, want: np.ndarray, what: str, loose: float | None = None) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype), what
    tolerance = TOLERANCE.get(got.dtype.name)
    if tolerance is not None and loose is not None:
        tolerance = max(tolerance, loose)
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


def is_real(graph: Graph) -> bool:
    """Whether no value of a graph is complex."""
    return all(t.dtype.kind != "complex" for t in graph.types)


@pytest.mark.parametrize("name", NATIVE)
def test_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NumPy has it, and of real numbers never on the host."""
    entry = EXECUTOR.kernels.entry

    def checked(kernel: Any) -> str:
        verify_kernel(kernel)
        return entry(kernel)

    monkeypatch.setattr(EXECUTOR.kernels, "entry", checked)
    for sample in SAMPLES[name]:
        for arrays in versions(sample):
            try:
                graph = trace(sample.function, *[type_of(a) for a in arrays])
            except FlambeauError:
                continue  # mixes the narrower dtype with what the sample fixes
            if is_real(graph):
                graph = simplify(graph)
                assert not on_host(graph), sample.id
            with np.errstate(all="ignore"):
                wanted = run(graph, *arrays)
            for got, want in zip(compiled(graph, arrays), wanted, strict=True):
                close(got, want, f"{sample.id} in {arrays[0].dtype if arrays else ''}", sample.tolerance)


def test_every_primitive_is_compiled_or_said_not_to_be() -> None:
    held = {"scan", "cond", "while_loop", "host_call", "custom"}  # by what is in them
    assert set(SAMPLES) >= ON_HOST
    assert set(REGISTRY) <= {*SAMPLES, *held, *APART}
