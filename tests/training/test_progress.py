from __future__ import annotations

import io
import sys
from typing import Any

import pytest

import flambeau as fb
from flambeau.training import progress
from flambeau.training.progress import PlainBar, Report, bar, verbosity


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(report: Report, stream: io.StringIO) -> str:
    model = fb.Model(fb.nn.Linear(1, 1))
    model.compile("sgd", "mse_loss")
    report.set_model(model)
    report.set_params({"epochs": 12, "steps": 4})
    report.on_train_begin({})
    report.on_epoch_begin(2, {})
    report.on_train_batch_begin(0, {})
    report.on_train_batch_end(0, {"loss": 0.5})
    report.on_train_batch_end(1, {"loss": 0.4})  # too soon after the last one to be shown
    report.on_epoch_end(2, {"loss": 0.45, "accuracy": 0.875})
    report.on_train_end({})
    return stream.getvalue()


def test_elsewhere_a_line_for_each_epoch() -> None:
    stream = io.StringIO()
    first, seconds, end = show(Report(2, stream), stream).rpartition("  0.0")
    assert first == "epoch  3/12  loss 0.4500  accuracy 0.8750"
    assert (seconds, end[1:]) == ("  0.0", " s\n")


def test_on_a_terminal_a_line_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "make_bar", PlainBar)
    stream = Terminal()
    first, second, last = show(Report(1, stream), stream).split("\r\x1b[K")
    assert first == ""
    assert second == "epoch  3/12  [#####...............]  step 1/4  loss 0.5000"
    assert last.startswith("epoch  3/12  loss 0.4500  accuracy 0.8750  0.0")


def test_with_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    stream = Terminal()
    report = Report(1, stream)
    assert type(report.bar).__name__ == "RichBar"
    assert "epoch  3/12  loss 0.4500  accuracy 0.8750" in show(report, stream)


def test_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    assert type(Report(1, Terminal()).bar) is PlainBar


def test_verbosity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert [verbosity(v) for v in ("auto", 0, 1, 2)] == [2, 0, 1, 2]
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert verbosity("auto") == 1


def test_what_fit_evaluate_and_predict_print(capsys: pytest.CaptureFixture[str]) -> None:
    model = fb.Model(fb.nn.Linear(1, 1))
    model.compile("sgd", "mse_loss", ["mae"])
    x: Any = fb.ones((4, 1))
    model.fit(x, x, epochs=2, validation_data=(x, x))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert all(name in lines[0] for name in ("  loss ", "  mae ", "  val_loss ", "  val_mae "))
    model.evaluate(x, x, verbose=2)
    model.predict(x)
    assert capsys.readouterr().out.startswith("evaluate  loss ")


def test_bars() -> None:
    assert [bar(share, 4) for share in (0, 0.5, 1)] == ["[....]", "[##..]", "[####]"]
