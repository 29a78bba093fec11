"""Random programs: compiled against NumPy node by node, fused against unfused, whole against piecemeal.

Every program runs on the checking executor: graphs and kernels obey their grammars, each output has
the bits of its nodes run one at a time, and each node agrees with its NumPy rule.
"""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from tests.engine.checking import CheckedExecutor, Coverage, checked, same_bits
from tests.engine.programs import Program

FEW = 160
MANY = 10_000
CLOSE = {"float32": 2e-3, "float64": 1e-7}


def examine(executor: CheckedExecutor, seed: int, piecemeal: bool) -> None:
    """One program, run whole and, if wanted, with every value looked at when it is made."""
    executor.checks = True
    try:
        program = Program(seed)
        results, gradients = program.results(), program.gradients()
    except Exception as error:
        error.add_note(f"random program {seed}")
        raise
    if not piecemeal:
        return
    executor.checks = False
    again = Program(seed, eager=True)
    for i, (x, y) in enumerate(zip(results, again.results(), strict=True)):
        same_bits(x, y, f"result {i} of random program {seed}, looked at piece by piece")
    for x, y in zip(gradients, again.gradients(), strict=True):
        np.testing.assert_allclose(x, y, CLOSE[x.dtype.name], CLOSE[x.dtype.name], err_msg=f"seed {seed}")


def sweep(seeds: range) -> Coverage:
    with checked() as executor:
        for seed in seeds:
            examine(executor, seed, piecemeal=seed % 4 == 0)
    return executor.coverage


def test_random_programs(capsys: pytest.CaptureFixture[str]) -> None:
    coverage = sweep(range(FEW))
    with capsys.disabled():
        print(f"\n{coverage.report()}")
    wanted = [
        "add",
        "mul",
        "select",
        "cast",
        "tanh",
        "reduce_sum",
        "reduce_max",
        "reduce_prod",
        "dot_general",
        "gt",
        "bitwise_and",
        "pad",
        "concatenate",
        "gather",
        "dynamic_slice",
        "dynamic_update_slice",
        "conv_general",
        "reduce_window",
        "select_and_scatter",
        "cumsum",
        "argmax",
    ]
    assert all(coverage.compiled[name] for name in wanted)
    assert not any(coverage.host[name] for name in wanted)
    assert len(coverage.pairs) > 150
    pairs = [
        ("mul", "add"),
        ("sub", "exp"),
        ("dot_general", "add"),
        ("square", "reduce_sum"),
        ("reduce_sum", "div"),
    ]
    assert all(coverage.pairs[pair] for pair in pairs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(FEW, FEW + MANY, 500))
def test_many_random_programs(first: int) -> None:
    sweep(range(first, first + 500))


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_recordings_mean_the_same_to_both_executors(seed: int) -> None:
    """From what was written to a graph: whole programs on NumPy, looked at piece by piece and at the end."""
    with fb.use_executor("reference"):
        whole, pieces = Program(seed), Program(seed, eager=True)
        for x, y in zip(
            [*whole.results(), *whole.gradients()], [*pieces.results(), *pieces.gradients()], strict=True
        ):
            if x.dtype.kind == "f":
                np.testing.assert_allclose(x, y, CLOSE[x.dtype.name], CLOSE[x.dtype.name])
            else:
                np.testing.assert_array_equal(x, y)


def test_a_wrong_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from flambeau.compiler import scalar_ops

    monkeypatch.setitem(scalar_ops._EMITTERS, "add", scalar_ops._EMITTERS["sub"])
    with checked(), pytest.raises(AssertionError, match="add"):
        (fb.asarray(np.arange(5.0)) + fb.asarray(np.ones(5))).numpy()


def test_wrong_fusion_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A multiply and an add contracted to one rounding differ in the last bit."""
    from flambeau.compiler import tasks
    from flambeau.compiler.kernel import Instr

    finish = tasks.finish

    def contracted(family, body, *rest):  # type: ignore[no-untyped-def]
        made = finish(family, body, *rest)
        ops = [i.op for i in body.instrs]
        if ops == ["load", "load", "mul", "load", "add", "store"]:
            dtype = body.instrs[0].dtype
            body.instrs[4] = Instr("fma", dtype, (0, 1, 3))
            made = finish(family, body, *rest)
        return made

    monkeypatch.setattr(tasks, "finish", contracted)
    rng = np.random.default_rng(0)
    x, y, z = (fb.asarray(rng.standard_normal(1000).astype(np.float32)) for _ in range(3))
    with checked(), pytest.raises(AssertionError, match="bits differ"):
        (x * y + z).numpy()
