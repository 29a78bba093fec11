"""``fb.explain``: what the table says, and that looking changes nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import flambeau as fb
from flambeau.engine.tables import table
from flambeau.nn import functional as F


class Net(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = fb.nn.Linear(48, 32)
        self.fc2 = fb.nn.Linear(32, 10)

    def forward(self, x):
        return self.fc2(fb.relu(self.fc1(x)))


def _training():
    fb.random.seed(0)
    net = Net()
    optimizer = fb.optim.Adam(net.parameters(), lr=0.01)
    x = fb.random.normal((64, 48))
    y = fb.arange(64) % 10

    def step(x, y):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return net, step, x, y


def test_a_product_with_what_follows_it() -> None:
    w, b = fb.ones((64, 32)), fb.ones(32)
    found = fb.explain(lambda x: fb.tanh(x @ w + b), fb.ones((16, 64)))
    (row,) = found.rows
    assert (row.number, row.kind, row.fused) == (1, "contraction", ("matmul", "add", "tanh"))
    assert row.sizes == "16 x 32 x [64]"
    assert row.flops == 2 * 16 * 32 * 64 + 2 * 16 * 32
    assert row.read == 4 * (16 * 64 + 64 * 32 + 32)
    assert row.written == 4 * 16 * 32
    assert row.line.startswith("test_explain.py:") and row.layer == "" and row.phase == "forward"
    assert row.count == row.launches == 1
    assert row.measured > 0 and row.predicted > 0
    assert found.flops == row.flops and found.host_calls == 0 and found.programs == 1
    np.testing.assert_array_equal(found.result.numpy(), fb.tanh(fb.ones((16, 64)) @ w + b).numpy())


def test_a_training_step_has_no_host_calls_and_names_its_layers() -> None:
    net, step, x, y = _training()
    step(x, y).item()
    found = fb.explain(step, x, y)
    assert found.host_calls == 0 and found.programs == 1
    rows = {row.name: row for row in found.rows}
    forward, weight = rows["Net.fc1's matmul"], rows["Net.fc1's weight gradient"]
    assert forward.fused[:2] == ("matmul", "add")
    assert weight.flops == 2 * 64 * 48 * 32 and weight.phase == "backward"
    assert rows["Net.fc2's input gradient"].flops >= 2 * 64 * 32 * 10
    assert rows["Net.fc2's weight gradient"].sizes == "10 x 32 x [64]"
    parameters = sum(4 * p.size for p in net.parameters())
    assert 3 * parameters <= found.memory.in_place <= 3 * parameters + 64  # with two moments each
    assert found.memory.arena > 0
    assert [row.number for row in found.rows] == list(range(1, len(found.rows) + 1))


def test_explained_steps_train_as_others_do() -> None:
    losses = []
    for explained in (False, True):
        _, step, x, y = _training()
        own = []
        for i in range(4):
            if explained and i in (1, 2):
                own.append(fb.explain(step, x, y).result.item())
            else:
                own.append(step(x, y).item())
        losses.append(own)
    assert losses[0] == losses[1]


def test_a_compiled_step_gives_the_same_rows() -> None:
    _, step, x, y = _training()
    step(x, y).item()
    plain = fb.explain(step, x, y)
    compiled = fb.compile(step)
    compiled(x, y)
    found = fb.explain(compiled, x, y)
    assert [(r.kind, r.fused, r.layer, r.line, r.phase, r.gradient) for r in found.rows] == [
        (r.kind, r.fused, r.layer, r.line, r.phase, r.gradient) for r in plain.rows
    ]
    assert found.host_calls == 0


def test_programs_in_order_and_residuals() -> None:
    w = fb.ones((8, 8)).requires_grad_()
    with fb.explain() as found:
        loss = fb.sum(fb.tanh(fb.ones((4, 8)) @ w))
        loss.item()
        loss.backward()
    assert found.programs == 2
    assert {row.program for row in found.rows} == {1, 2}
    forward = [row for row in found.rows if row.program == 1]
    assert {row.phase for row in forward} == {"forward"}
    assert any(row.phase == "backward" and row.program == 2 for row in found.rows)
    assert found.memory.residuals >= 4 * 4 * 8  # what tanh gave
    fb.sum(fb.ones(3) * 3).item()
    assert found.programs == 2


def test_loops_show_their_body_once() -> None:
    w = fb.ones((16, 16))

    def body(s, x):
        s = fb.tanh(s @ w) + x
        return s, fb.sum(s)

    def run():
        return fb.scan(body, fb.zeros((4, 16)), fb.ones((30, 4, 16)))

    found = fb.explain(run)
    loop = found.rows[0]
    assert (loop.kind, loop.fused, loop.sizes, loop.count, loop.depth) == (
        "control",
        ("scan",),
        "30 steps",
        1,
        0,
    )
    inside = [row for row in found.rows if row.depth == 1]
    product = next(row for row in inside if row.kind == "contraction")
    assert product.count == product.launches == 30
    assert product.fused == ("matmul", "tanh", "add")
    assert product.flops == 30 * (2 * 4 * 16 * 16 + 2 * 4 * 16)
    assert loop.flops == sum(row.flops for row in inside)
    assert found.flops == sum(row.flops for row in found.rows if row.depth == 0)
    np.testing.assert_array_equal(found.result[1].numpy(), run()[1].numpy())


def test_branches_and_loops_without_a_known_end() -> None:
    def search(x):
        x = fb.while_loop(lambda v: fb.sum(v) < 100.0, lambda v: v * 2, x)
        return fb.cond(fb.sum(x) > 120.0, fb.tanh, fb.exp, x)

    x = fb.ones(8)
    found = fb.explain(search, x)
    assert [row.fused for row in found.rows if row.kind == "control"] == [("while_loop",), ("cond",)]
    inside = [row.fused for row in found.rows if row.depth]
    assert ("mul",) in inside and ("tanh",) in inside and ("exp",) in inside
    np.testing.assert_array_equal(found.result.numpy(), search(x).numpy())


def test_nested_loops() -> None:
    def inner(s, x):
        return s * 0.5 + x, s

    def outer(s, x):
        s, _ = fb.scan(inner, s, x)
        return s, s

    found = fb.explain(lambda: fb.scan(outer, fb.zeros(4), fb.ones((6, 5, 4))))
    assert [row.sizes for row in found.rows if row.kind == "control"] == ["6 steps", "5 steps"]
    deepest = [row for row in found.rows if row.depth == 2 and "mul" in row.fused]
    assert [row.count for row in deepest] == [30]
    np.testing.assert_array_equal(
        found.result[1].numpy(), fb.scan(outer, fb.zeros(4), fb.ones((6, 5, 4)))[1].numpy()
    )


def test_host_calls_are_called_once_and_show() -> None:
    calls = []

    def double(a):
        calls.append(a.shape)
        return a * 2

    def f(x):
        return fb.sum(fb.host_call(double, x, fb.exp(x)) + 1)

    found = fb.explain(f, fb.ones(6))
    assert calls == [(6,)]
    assert found.host_calls == 1
    (host,) = [row for row in found.rows if row.kind == "host"]
    assert host.fused == ("host_call",) and host.limit == "" and host.sizes == "6"
    assert host.read == host.written == 24
    qr = fb.explain(lambda x: fb.linalg.qr(x), fb.eye(3))
    assert [row.fused for row in qr.rows if row.kind == "host"] == [("qr",)]
    assert "qr" in qr.verdict()


def test_an_index_that_is_outside_raises_as_ever() -> None:
    table = fb.ones((4, 3))
    with pytest.raises(fb.errors.OutOfBoundsError, match="4"):
        fb.explain(lambda i: fb.take(table, i, axis=0), fb.asarray([0, 7]))
    assert fb.explain(lambda: fb.ones(3) + 1).programs == 1


def _masked(text: str) -> str:
    text = re.sub(r"\d[\d.]* (ns|us|ms|s)\b", "T", text)
    return re.sub(r"[ ]+", " ", re.sub(r"-+", "-", text))


def test_the_table() -> None:
    w = fb.ones((64, 32))
    text = _masked(str(fb.explain(lambda x: fb.sum(fb.exp(x @ w), axis=1), fb.ones((16, 64)))))
    lines = text.splitlines()
    titles = "# kind what where sizes count FLOPs read written predicted measured share limit"
    assert lines[0].strip() == titles
    assert re.match(
        r"1 contraction matmul exp matmul \(test_explain.py:\d+\) 16 x 32 x \[64\] "
        r"1 66 k 12 KiB 2 KiB T T \d+ % ",
        lines[2].strip(),
    )
    assert lines[3].strip().startswith("2 reduction sum sum (test_explain.py:")
    assert lines[5].strip().startswith("total 66.6 k 14 KiB 2.06 KiB T T 100 %")
    assert re.match(
        r"memory: arena [\d.]+ KiB, with 0 B kept from forward to backward, 0 B of copies", lines[7]
    )
    assert lines[8].strip().startswith("results 64 B, 0 B of them kept for gradients; updated in place 0 B")
    assert lines[9].startswith("machine: ")
    assert lines[10] == "programs: 1, host calls: 0"
    assert re.fullmatch(
        r"this step (could be [\d.]+ times faster at most|is about as fast as the machine allows); "
        r"the largest gap is the (matmul|sum) \(test_explain.py:\d+\)",
        lines[11],
    )


def test_little_rows_of_one_place_share_a_line() -> None:
    _, step, x, y = _training()
    step(x, y).item()
    found = fb.explain(step, x, y)
    adam = [row for row in found.rows if row.operation == "Adam" and row.sizes != "1"]
    assert len(adam) == 4 and {row.layer for row in adam} == {""}
    rows = [replace(row, measured=1e-7 if row in adam else 1e-3, predicted=1e-7) for row in found.rows]
    text = "\n".join(table(rows, 1.0, sum(row.measured for row in rows), False))
    (shared,) = [line for line in text.splitlines() if "Adam" in line]
    first, last = adam[0].number, adam[-1].number
    assert shared.split()[0] == f"{first}-{last}"
    assert re.search(r"\.\.\.  +4  ", shared)  # sizes differ; four launches
    assert "400 ns" in shared
    assert found.table(every=True).count("Adam (") == 4


def test_the_backward_pass_of_an_evaluated_forward_pass() -> None:
    class Deep(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = fb.nn.ModuleList([fb.nn.Linear(8, 8) for _ in range(3)])

        def forward(self, x):
            for block in self.blocks:
                x = fb.tanh(block(x))
            return x

    net = Deep()
    with fb.explain() as found:
        loss = fb.sum(net(fb.ones((4, 8))))
        loss.item()
        loss.backward()
    names = {row.name for row in found.rows if row.kind == "contraction"}
    assert names == {
        *[f"Deep.blocks.{i}'s matmul" for i in range(3)],
        *[f"Deep.blocks.{i}'s weight gradient" for i in range(3)],
        *[f"Deep.blocks.{i}'s input gradient" for i in (1, 2)],
    }


def test_what_the_arena_holds() -> None:
    _, step, x, y = _training()
    step(x, y).item()
    memory = fb.explain(step, x, y).memory
    hidden = 64 * 32 * 4
    assert hidden <= memory.saved <= 2 * hidden + 64 * 10 * 8 * 4
    assert memory.packed > 0
    w, x = fb.ones((4, 3, 3, 3)), fb.ones((2, 3, 8, 8))
    padded = fb.explain(lambda: F.conv2d(x, w, padding=1))
    assert padded.memory.copied >= 2 * 3 * 10 * 10 * 4
    assert padded.memory.saved == 0


def test_as_plain_data() -> None:
    found = fb.explain(lambda x: x * 2, fb.ones(5))
    data = json.loads(json.dumps(found.to_dict()))
    assert data["host_calls"] == 0 and data["programs"] == 1
    (row,) = data["rows"]
    assert (row["kind"], row["fused"], row["sizes"]) == ("elementwise", ["mul"], "5")
    assert data["machine"]["threads"] >= 1
    assert set(data["memory"]) == {
        "arena", "saved", "copied", "packed", "results", "residuals", "in_place", "constants",
        "weights",
    }  # fmt: skip


def test_fit_explains_the_second_step(capsys) -> None:
    model = fb.Model(Net())
    model.compile("adam", "cross_entropy")
    x, y = np.ones((24, 48), np.float32), np.arange(24) % 10
    model.fit(x, y, batch_size=8, verbose=0, explain=True)
    out = capsys.readouterr().out
    assert out.count("programs: 1, host calls: 0") == 1
    assert model.explanation is not None and str(model.explanation) in out
    assert "Net.fc1's weight gradient" in {row.name for row in model.explanation.rows}
    model.fit(x, y, batch_size=32, verbose=0, explain=True)  # a single step
    assert "kept for gradients" in capsys.readouterr().out
    model.fit(x, y, batch_size=4, verbose=0, gradient_accumulation_steps=2, explain=True)
    assert "programs: 3, host calls: 0" in capsys.readouterr().out  # two batches and the update
