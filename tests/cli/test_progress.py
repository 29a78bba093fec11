from __future__ import annotations

import io

from flambeau.cli.progress import Progress, bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(stream: io.StringIO) -> str:
    progress = Progress(12, 4, stream)
    progress.step(3, 1, 0.5)
    progress.step(3, 2, 0.4)  # too soon after the last one to be shown
    progress.epoch(3, 0.45, 0.875, 1.234)
    progress.clear()
    return stream.getvalue()


def test_elsewhere_a_line_for_each_epoch() -> None:
    assert show(io.StringIO()) == "epoch  3/12  loss 0.4500  training accuracy 0.8750  1.23 s\n"


def test_on_a_terminal_a_line_is_rewritten() -> None:
    first, second, last = show(Terminal()).split("\r\x1b[K")[0:3]
    assert first == ""
    assert second == "epoch  3/12  loss 0.5000  [#####...............]  step 1/4"
    assert last == "epoch  3/12  loss 0.4500  training accuracy 0.8750  1.23 s\n"


def test_bars() -> None:
    assert [bar(share, 4) for share in (0, 0.5, 1)] == ["[....]", "[##..]", "[####]"]
