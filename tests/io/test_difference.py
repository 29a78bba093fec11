"""``fb.digests`` and ``fb.diff``: planted differences are found, at the first place and by name."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import flambeau as fb
from flambeau.engine.gaps import digest, gap_between
from flambeau.errors import OperandError, OutOfBoundsError, WeightsError
from flambeau.nn import functional as F
from flambeau.primitives.elementwise import _relu


class Net(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = fb.nn.Linear(6, 5)
        self.fc2 = fb.nn.Linear(5, 3)

    def forward(self, x):
        return self.fc2(fb.relu(self.fc1(x)))


class Training:
    def __init__(self, seed: int = 0, lr: float = 0.1, change: float | None = None) -> None:
        fb.random.seed(seed)
        self.net = Net()
        self.optimizer = fb.optim.SGD(self.net.parameters(), lr=lr, momentum=0.9)
        self.x = fb.asarray(np.linspace(-1, 1, 24).reshape(4, 6).astype(np.float32))
        self.y = fb.arange(4) % 3
        if change is not None:  # one element of one weight
            state = {name: t.numpy().copy() for name, t in self.net.state_dict().items()}
            state["fc2.weight"][1, 2] = change
            self.net.load_state_dict({name: fb.asarray(a) for name, a in state.items()})

    def step(self) -> fb.Tensor:
        loss = F.cross_entropy(self.net(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


def test_equal_runs_have_equal_bits() -> None:
    one, two = Training(), Training()
    a, b = fb.digests(one.step), fb.digests(two.step)
    found = fb.diff(a, b)
    assert not found and found.first is None
    assert re.fullmatch(
        r"no difference: \d+ operations, \d+ inputs, \d+ numbers and \d+ results have the same bits",
        str(found),
    )
    kinds = {row.kind for row in a.rows}
    assert kinds == {"input", "number", "operation", "result"}


def test_recording_changes_nothing() -> None:
    plain, watched = Training(), Training()
    for i in range(3):
        expected = plain.step()
        found = fb.digests(watched.step) if i == 1 else None
        result = watched.step() if found is None else found.result
        assert result.item() == expected.item()
    assert not fb.diff(plain.net, watched.net)
    assert not fb.diff(plain.optimizer, watched.optimizer)


def test_one_changed_weight_is_named_where_it_is_first_read() -> None:
    one, two = Training(change=0.25), Training(change=float(np.nextafter(np.float32(0.25), np.float32(1))))
    a, b = fb.digests(one.step, keep=True), fb.digests(two.step, keep=True)
    found = fb.diff(a, b)
    first = found.first
    assert found and first is not None
    assert first.kind == "input" and first.row.name == "parameter" and first.row.shape == (3, 5)
    assert first.row.layer == "Net.fc2" and first.row.line.startswith("test_difference.py:")
    assert (
        first.gap is not None and first.gap.count == 1 and first.gap.ulps == 1 and first.gap.index == (1, 2)
    )
    assert re.match(
        r"first difference: input 4 of \d+, a parameter first read in layer Net.fc2 "
        r"\(test_difference\.py:\d+\), float32 \(3, 5\): 1 of 15 elements differ, "
        r"at most by 1 ULP / 3e-08, the first at \(1, 2\): 0\.25 and 0\.25000003\n\d+ more differ",
        str(found),
    )
    following = found.mismatches[1].row
    assert (following.kind, following.name, following.layer) == ("operation", "matmul", "Net.fc2")


def test_another_seed_and_another_learning_rate() -> None:
    seeds = fb.diff(fb.digests(Training(0).step), fb.digests(Training(1).step))
    assert seeds.first is not None and seeds.first.row.layer == "Net.fc1"
    assert "a parameter first read in layer Net.fc1" in str(seeds) and "keep=True" in str(seeds)
    rates = fb.diff(fb.digests(Training(lr=0.1).step), fb.digests(Training(lr=0.2).step))
    assert rates.first is not None and rates.first.kind == "number"
    assert re.match(
        r"first difference: number \d of \d, first read in SGD \(test_difference\.py:\d+\): 0\.1 and 0\.2\n",
        str(rates),
    )


def test_an_executor_that_errs_in_one_operation() -> None:
    training = Training()
    right = _relu.reference

    def wrong(x):
        made = np.array(right(x))
        made[0, 1] = np.nextafter(np.float32(made[0, 1]), np.float32(9))
        return made

    object.__setattr__(_relu, "reference", wrong)
    try:
        a, b = fb.digests(training.step, executor=("llvm", "reference"))
    finally:
        object.__setattr__(_relu, "reference", right)
    found = fb.diff(a, b)
    first = found.first
    assert first is not None
    assert (first.kind, first.row.name, first.row.layer) == ("operation", "relu", "Net")
    assert first.gap is not None and first.gap.count == 1 and first.gap.index == (0, 1)
    # each operation is computed from the same operands: what follows from relu does not differ as well
    assert "matmul" not in {m.row.name for m in found.mismatches}
    assert a.executor == "llvm" and b.executor == "reference"
    assert isinstance(a.result.item(), float) and a.result is b.result


def test_the_reference_executor_by_itself() -> None:
    x = fb.ones((2, 3))
    a = fb.digests(lambda: fb.tanh(x) * 2, executor="reference")
    b = fb.digests(lambda: fb.tanh(x) * 2, executor="reference")
    assert not fb.diff(a, b) and [row.name for row in a.rows if row.kind == "operation"] == ["tanh", "mul"]


def test_a_result_that_no_operation_explains() -> None:
    a, b = [fb.digests(lambda: fb.exp(fb.ones(3)) + 1) for _ in range(2)]
    b.rows[-1] = replace(b.rows[-1], digest="0" * 32)
    text = str(fb.diff(a, b))
    assert text.startswith("first difference: result 1 of 1, of add at test_difference.py:")
    assert "all operations before it have the same bits by themselves" in text


def test_programs_that_part() -> None:
    x = fb.ones((2, 3))
    found = fb.diff(fb.digests(lambda: fb.exp(x * 2)), fb.digests(lambda: fb.tanh(x * 2)))
    assert re.fullmatch(
        r"first difference: operation 2 of 2 is exp at test_difference\.py:\d+, float32 \(2, 3\) "
        r"in the first, and tanh at test_difference\.py:\d+, float32 \(2, 3\) in the second",
        str(found),
    )
    longer = fb.diff(fb.digests(lambda: x * 2), fb.digests(lambda: (x * 2, fb.exp(x).numpy())))
    assert longer.first is not None and not longer.first.comparable


def test_several_programs_and_compiled_functions() -> None:
    training = Training()
    compiled = fb.compile(training.step)
    compiled()
    other = Training()
    other.step().item()
    with fb.digests() as a:
        compiled()
    with fb.digests() as b:
        other.step()
    assert not fb.diff(a, b)
    with fb.digests() as two:
        loss = F.cross_entropy(training.net(training.x), training.y)
        loss.item()
        loss.backward()
    assert {row.program for row in two.rows} == {1, 2}
    backward = [row for row in two.rows if row.program == 2 and row.name == "matmul"]
    assert backward and all(row.phase == "backward" for row in backward)
    assert "the gradient of layer Net.fc1" in {row.place.partition(" (")[0] for row in backward}


def test_programs_are_cut_into_pieces(monkeypatch) -> None:
    whole = fb.digests(Training().step)
    monkeypatch.setattr("flambeau.engine.digests._NODES", 3)
    assert not fb.diff(whole, fb.digests(Training().step))


def test_the_users_functions_are_called_once() -> None:
    calls = []

    def double(a):
        calls.append(len(calls))
        return a * 2 + len(calls)

    x = fb.ones(3)
    a = fb.digests(lambda: fb.host_call(double, x, x) * 2)
    b = fb.digests(lambda: fb.host_call(double, x, x) * 2)
    assert calls == [0, 1]
    np.testing.assert_array_equal(a.result.numpy(), [6, 6, 6])
    found = fb.diff(a, b)
    assert found.first is not None and found.first.row.name == "host_call"


def test_an_error_is_the_users() -> None:
    table = fb.ones((4, 3))
    with pytest.raises(OutOfBoundsError, match="9"):
        fb.digests(lambda: fb.take(table, fb.asarray([1, 9]), axis=0).numpy())
    with pytest.raises(OperandError, match="no executor called 'cuda'"):
        fb.digests(lambda: None, executor="cuda")
    with pytest.raises(OperandError, match="different executors are needed"):
        fb.digests(lambda: None, executor=("llvm", "llvm"))


def test_files(tmp_path) -> None:
    a, b = fb.digests(Training(0).step), fb.digests(Training(1).step)
    a.save(tmp_path / "a.json")
    b.save(tmp_path / "b.json")
    assert not fb.diff(a, tmp_path / "a.json")
    assert str(fb.diff(tmp_path / "a.json", str(tmp_path / "b.json"))) == str(fb.diff(a, b))
    good = json.loads((tmp_path / "a.json").read_text())
    for bad in (
        {**good, "rows": 3},
        {**good, "flambeau digests": 2},
        {**good, "rows": [{**good["rows"][0], "shape": ["x"]}]},
        {**good, "rows": [{**good["rows"][0], "line": 3}]},
        {"flambeau digests": 1},
    ):
        (tmp_path / "bad.json").write_text(json.dumps(bad, indent=1))
        with pytest.raises(WeightsError, match=r"bad\.json"):
            fb.diff(a, tmp_path / "bad.json")


def test_weights_modules_and_checkpoints(tmp_path) -> None:
    one, two = Training(change=1.0), Training(change=1.5)
    found = fb.diff(one.net, two.net)
    assert re.fullmatch(
        r"first difference: tensor 3 of 4, fc2\.weight in layer fc2 \(made at test_difference\.py:\d+\), "
        r"float32 \(3, 5\): 1 of 15 elements differ, at most by 0\.5, "
        r"the first at \(1, 2\): 1\.0 and 1\.5",
        str(found),
    )
    fb.io.save_weights(tmp_path / "one.safetensors", one.net.state_dict())
    assert not fb.diff(tmp_path / "one.safetensors", one.net.state_dict())
    kept = [fb.io.Checkpoints(tmp_path / name) for name in ("a", "b")]
    for which, training in zip(kept, (one, one), strict=True):
        training.step()
        which.save(training.net.state_dict(), training.optimizer.state_dict(), {"epoch": len(training.x)})
    text = str(fb.diff(kept[0].paths()[0], kept[1].paths()[0]))
    assert text.startswith("first difference: tensor 1 of 8, weights.fc1.weight in layer fc1, float32 (5, 6)")
    assert "7 more differ" in text
    missing = fb.diff({"a": fb.ones(2), "b": fb.ones(2)}, {"a": fb.ones(2), "c": fb.ones((2, 1))})
    assert [str(m) for m in missing.mismatches] == [
        "tensor 2 of 2, b, float32 (2,), is in the first only",
        "tensor 2 of 2, c, float32 (2, 1), is in the second only",
    ]
    shapes = fb.diff({"a": fb.ones(2)}, {"a": fb.ones(3)})
    assert (
        str(shapes.first)
        == "tensor 1 of 1 is a, float32 (2,) in the first, and a, float32 (3,) in the second"
    )
    numbers = fb.diff({"lr": 0.1, "betas": [0.9, 0.99]}, {"lr": 0.1, "betas": [0.9, 0.999]})
    assert str(numbers.first) == "entry 3 of 3, betas.1: 0.99 and 0.999"


def test_the_array_apis_diff_is_still_there() -> None:
    x = fb.asarray([1, 4, 9, 16])
    np.testing.assert_array_equal(fb.diff(x, n=2).numpy(), [2, 2])
    assert fb.diff(x, fb.asarray([1, 4, 9, 17])).first.gap.most == 1
    with pytest.raises(OperandError, match="belong to the differences of one tensor"):
        fb.diff(x, x, n=2)
    with pytest.raises(OperandError, match="can be compared, not int"):
        fb.diff(x, 2)
    with pytest.raises(OperandError, match="digests can be compared with digests only"):
        fb.diff(fb.digests(lambda: x), x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_units_in_the_last_place(dtype) -> None:
    kind = getattr(fb, dtype).numpy
    a = np.asarray([1.0, -1.0, 0.0, np.nan, 3.0], kind)
    b = a.copy()
    b.view(f"u{a.dtype.itemsize}")[0] += 2
    b[3] = -b[3]  # another NaN
    found = gap_between(a, b)
    assert (found.count, found.total, found.ulps, found.index) == (1, 5, 2.0, (0,))
    b[2] = -b[2]
    assert gap_between(a, b).count == 2
    assert digest(a) == digest(np.asarray([1.0, -1.0, 0.0, -a[3], 3.0], kind)) != digest(b)
    crossing = gap_between(np.asarray([0.0], kind), np.asarray([-0.0], kind))
    assert crossing.ulps == 0 and crossing.count == 1
    b[4] = np.inf
    assert gap_between(a, b).ulps == np.inf and "infinity or NaN" in str(gap_between(a, b))


def test_gaps_of_complex_numbers_integers_and_truth() -> None:
    a = np.asarray([[1 + 2j, 3 + 4j]], np.complex64)
    found = gap_between(a, a + np.asarray([[0, 1 + 1j]], np.complex64))
    assert (found.count, found.total, found.index, found.most) == (1, 2, (0, 1), 1.0)
    assert gap_between(np.asarray([3, -5], np.int8), np.asarray([3, 7], np.int8)).most == 12
    truth = gap_between(np.asarray([True, False]), np.asarray([True, True]))
    assert (truth.count, truth.first, truth.second) == (1, "False", "True")


def test_what_is_fused_has_the_bits_of_its_operations() -> None:
    """The promise that recordings rest on, also for loops and nodes with several results."""
    fb.random.seed(0)
    recurrent = fb.nn.GRU(6, 5)
    training = Training()

    def through_time():
        out, _ = recurrent(fb.ones((4, 2, 6)))
        loss = fb.sum(out * out)
        loss.backward()
        return loss

    for step in (training.step, through_time):
        made = fb.digests(step).rows
        alone = {(row.program, row.position): row for row in made if row.kind == "operation"}
        results = [row for row in made if row.kind == "result"]
        found = [
            (row.digest, alone[row.program, row.position].digest)
            for row in results
            if (row.program, row.position) in alone
        ]
        assert len(found) >= 4 and all(a == b for a, b in found)
