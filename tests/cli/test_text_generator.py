from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import flambeau as fb
from flambeau.cli import main

TEXT = "".join(f"{i % 7} is {'odd' if i % 2 else 'even'}.\n" for i in range(400))
SMALL = ["--hidden", "16", "--length", "16", "--batch-size", "16", "--lr", "0.02"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([*map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_whole_training_and_what_it_writes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: Path
) -> None:
    output = tmp_path / "w.safetensors"
    words = ["train", "text-generator", "--data", text, *SMALL, "--output", output]
    code, out, err = run(capsys, *words, "--epochs", 3, "--sample", 30)
    assert (code, err) == (0, "")
    assert re.search(r"^epoch 3/3  loss \d.\d{4}  val_loss \d.\d{4}  \d+.\d\d s$", out, re.M)
    loss = re.search(r"^held-out loss: (\d\.\d{4}) nats per character$", out, re.M)
    assert loss is not None and float(loss[1]) < 1.5
    sample = out.partition("\na sample:\n")[2]
    assert len(sample) == 31

    generate = ["generate", "--weights", output, "--length", 40]
    written = [
        run(capsys, *generate, "--prompt", "3 is ", "--seed", seed, "--temperature", heat)[1]
        for seed, heat in ((0, 1), (0, 1), (1, 1), (0, 0), (1, 0))
    ]
    assert all(w.startswith("3 is ") and len(w) == 46 for w in written)
    assert written[0] == written[1] != written[2]
    assert written[3] == written[4]
    assert run(capsys, "generate", "--weights", tmp_path, "--length", 0, "--prompt", "is") == (0, "is\n", "")

    code, out, err = run(capsys, *generate, "--prompt", "§")
    assert (code, out) == (2, "")
    assert err == "flambeau: generate: --prompt: the model does not know the character '§'\n"


def test_killed_and_resumed(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: Path) -> None:
    words = ["train", "text-generator", "--data", text, *SMALL, "--epochs", 12, "--sample", 0]
    assert run(capsys, *words, "--output", tmp_path / "whole")[0] == 0
    broken = tmp_path / "broken.safetensors"
    command = [sys.executable, "-m", "flambeau", *map(str, words), "--output", str(broken)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch  3"):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    # what was learned until then can be looked at
    code, out, _ = run(capsys, "generate", "--weights", tmp_path / "broken.checkpoints", "--length", 9)
    assert (code, len(out)) == (0, 10)
    assert run(capsys, *words, "--output", broken, "--resume")[0] == 0
    assert broken.read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "{no}"], "--data '{no}' is neither shakespeare-mini nor a file that exists"),
        (["--data", "a\0b"], "is neither shakespeare-mini nor a file that exists"),
        (["--data", "{short}"], "the training text has 18 characters, too few for windows of 64: choose a"),
        (["--data", "{binary}"], "--data '{binary}': the file is no text in UTF-8: byte 1 does not fit"),
        (["--data", "{empty}"], "--data '{empty}': 0 characters are too few to learn from"),
        (["--length", "0"], "argument --length: the number must be at least 1, not 0"),
        (["--output", "{folder}"], "--output '{folder}': a folder is there, a file is needed: '{folder}'"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    names = {name: str(tmp_path / name) for name in ("no", "short", "binary", "empty", "folder")}
    Path(names["short"]).write_text("twenty-odd letters..")
    Path(names["binary"]).write_bytes(b"a\xff")
    Path(names["empty"]).write_text("")
    Path(names["folder"]).mkdir()
    given = [word.format(**names) for word in words]
    code, out, err = run(capsys, "train", "text-generator", "--output", tmp_path / "w", *given)
    assert (code, out) == (2, "")
    assert err.startswith("flambeau: train text-generator: ") and message.format(**names) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "/no/such"], "--weights '/no/such': there is no such file or folder"),
        (["--weights", "{other}"], "these are no weights of a text generator"),
        (["--weights", "{damaged}"], "not a safetensors file"),
        (["--weights", "{folder}"], "the folder has no files with weights of a text generator"),
        (["--temperature", "-1"], "argument --temperature: the number must be finite and at least 0, not -1"),
        (
            ["--temperature", "nan"],
            "argument --temperature: the number must be finite and at least 0, not nan",
        ),
        (["--length", "-1"], "argument --length: the number must be at least 0, not -1"),
    ],
)
def test_bad_arguments_of_generate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    names = {name: str(tmp_path / name) for name in ("other", "damaged", "folder")}
    fb.io.save_weights(names["other"], {"w": fb.ones(2)}, {"model": "text-generator", "vocabulary": "3"})
    Path(names["damaged"]).write_bytes(b"\0" * 100)
    Path(names["folder"]).mkdir()
    code, out, err = run(capsys, "generate", *[word.format(**names) for word in words])
    assert (code, out) == (2, "")
    assert err.startswith("flambeau: generate: ") and message.format(**names) in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_shakespeare_is_learned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = run(capsys, "train", "text-generator", "--output", tmp_path / "w")
    loss = re.search(r"^held-out loss: (\d\.\d{4}) nats", out, re.M)
    assert loss is not None and float(loss[1]) < 2.0
