from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import flambeau as fb
from flambeau.cli import main
from flambeau.cli.image_classifier import Scale, build
from flambeau.data import fashion_mnist_mini
from flambeau.runtime.threads import get_num_threads, set_num_threads


def idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_folder(folder: Path, train: int = 60, test: int = 20) -> Path:
    """Three classes of 6 x 5 images that are easy to tell apart."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for stem, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 60, (count, 6, 5)) + 90 * (
            labels[:, None, None] == np.arange(6)[:, None] // 2
        )
        idx(folder / f"{stem}-images-idx3-ubyte", images)
        idx(folder / f"{stem}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


def train(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["train", "image-classifier", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(("model", "parameters"), [("mlp", 373), ("cnn", 5191)])
def test_a_whole_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path, model: str, parameters: int
) -> None:
    output = tmp_path / "w.safetensors"
    words = ["--model", model, "--epochs", 12, "--batch-size", 16, "--hidden", "9,7", "--lr", "0.02"]
    code, out, err = train(capsys, "--data", folder, *words, "--output", output)
    assert (code, err) == (0, "")
    assert "data: " in out and "60 training and 20 test images of 6x5 pixels" in out
    assert f"model: {model}, {parameters} parameters" in out
    lines = re.findall(r"^epoch +\d+/12  loss \S+  accuracy \d.\d{4}  \d+.\d\d s$", out, re.M)
    assert len(lines) == 12
    assert "\r" not in out and "\x1b" not in out
    accuracy = re.search(r"^test accuracy: (\d\.\d{4}) \((\d+) of 20\)$", out, re.M)
    assert accuracy is not None and float(accuracy[1]) >= 0.9

    saved = fb.io.load_weights(output, finite=True)
    notes = fb.io.load_metadata(output)
    assert notes["network"] == model
    network = build(model, json.loads(notes["shape"]), json.loads(notes["hidden"]), 3).eval()
    network.load_state_dict(saved)
    data = fb.data.load_idx_folder(folder)
    images = Scale(float(notes["mean"]), float(notes["std"])).apply(data.test_images)
    right = int((network(images).numpy().argmax(axis=1) == data.test_labels).sum())
    assert right == int(accuracy[2])
    assert json.loads(notes["classes"]) == ["0", "1", "2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "w.safetensors"]


def test_same_arguments_same_bits(capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path) -> None:
    threads = get_num_threads()
    files = {}
    try:
        for name, seed, count in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)):
            words = ("--seed", seed, "--threads", count, "--epochs", 2, "--output", tmp_path / name)
            assert train(capsys, "--data", folder, *words)[0] == 0
            files[name] = (tmp_path / name).read_bytes()
    finally:
        set_num_threads(threads)
    assert files["a"] == files["b"] != files["c"]


def test_pixels_are_normalised() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 3), dtype=np.uint8)
    rows = Scale.of(images).apply(images).numpy()
    assert rows.shape == (50, 1, 7, 3) and rows.dtype == np.float32
    assert abs(rows.mean()) < 1e-6 and abs(rows.std() - 1) < 1e-6
    assert (Scale.of(np.zeros((2, 2, 2), np.uint8)).apply(images[:1]).numpy() >= 0).all()  # no division by 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "-3"], "argument --epochs: the number must be at least 1, not -3"),
        (["--epochs", "two"], "argument --epochs: a whole number is needed, not 'two'"),
        (["--batch-size", "0"], "argument --batch-size: the number must be at least 1, not 0"),
        (["--lr", "0"], "argument --lr: the number must be finite and above 0, not 0"),
        (["--lr", "nan"], "argument --lr: the number must be finite and above 0, not nan"),
        (["--lr", "fast"], "argument --lr: a number is needed, not 'fast'"),
        (["--seed", "-1"], "argument --seed: the number must be from 0 to 18446744073709551615, not -1"),
        (["--hidden", "64,"], "argument --hidden: a whole number is needed, not ''"),
        (["--hidden", "0"], "argument --hidden: the number must be at least 1, not 0"),
        (["--threads", "0"], "argument --threads: the number must be at least 1, not 0"),
        (["--data", "cifar"], "--data 'cifar' is neither one of fashion-mnist-mini, fashion-mnist,"),
        (
            ["--data", "/no/such/folder"],
            "--data '/no/such/folder' is neither one of fashion-mnist-mini, fashion-mnist, mnist, cifar-10 ",
        ),
        (["--data", "{empty}"], "--data '{empty}': {empty}: neither train-images-idx3-ubyte nor"),
        (["--output", "{empty}"], "--output '{empty}': a folder is there, a file is needed: '{empty}'"),
        (
            ["--output", "{empty}/x/w"],
            "--output '{empty}/x/w': there is no such folder to write to: '{empty}/x'",
        ),
        (["--output", "/dev/null"], "--output '/dev/null': what is there is no regular file: '/dev/null'"),
        (["--output", "a\0b"], "--output 'a\\x00b': "),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    output = ["--output", str(tmp_path / "w")]
    code, out, err = train(capsys, *output, *[w.replace("{empty}", str(empty)) for w in words])
    assert (code, out) == (2, "")
    assert err.startswith("flambeau: train image-classifier: " + message.replace("{empty}", str(empty)))
    assert err.count("\n") == 1
    assert list(empty.iterdir()) == []


def test_damaged_data(capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = train(capsys, "--data", folder, "--output", tmp_path / "w")
    assert code == 2
    assert f"{path}: " in err and "truncated" in err and err.count("\n") == 1


def test_no_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = train(capsys, "--data", write_folder(tmp_path / "d", test=0), "--output", tmp_path / "w")
    assert code == 2
    assert "there must be training images and test images" in err


def test_a_folder_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> int:
        raise PermissionError(13, "Permission denied", "an internal name")

    monkeypatch.setattr("flambeau.io.atomic.os.open", refuse)  # the superuser may write everywhere
    code, out, err = train(capsys, "--output", tmp_path / "w")
    assert (code, out) == (2, "")
    assert f"cannot write to this folder (Permission denied): '{tmp_path}'" in err
    assert "internal" not in err


def test_images_too_small_to_be_pooled(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    for stem, count in (("train", 60), ("t10k", 20)):
        idx(folder / f"{stem}-images-idx3-ubyte", np.zeros((count, 6, 3)))
    code, _, err = train(capsys, "--data", folder, "--output", tmp_path / "w")
    assert code == 2
    assert err.endswith("images of 6x3 pixels are too small for the convolutional network: use --model mlp\n")


def test_divergence_is_no_success(capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path) -> None:
    words = ["--model", "mlp", "--lr", "1e30", "--epochs", 9, "--output", tmp_path / "w"]
    code, _, err = train(capsys, "--data", folder, *words)
    assert code == 1
    assert re.match(r"flambeau: training failed in epoch \d; try a smaller --lr: ", err)
    assert "in layer Sequential" in err or "a step of AdamW made" in err
    assert not (tmp_path / "w").exists()


def start(folder: Path, output: Path, *words: object) -> subprocess.Popen[str]:
    given = ["--data", folder, "--batch-size", 4, "--hidden", 4, "--output", output, *words]
    command = [sys.executable, "-m", "flambeau", "train", "image-classifier", *map(str, given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    while not process.stdout.readline().startswith(beginning):
        assert process.poll() is None


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_interrupted_and_killed_and_resumed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    words = ["--data", folder, "--batch-size", 4, "--hidden", 4, "--epochs", 30]
    assert train(capsys, *words, "--output", tmp_path / "whole")[0] == 0
    broken = tmp_path / "broken"
    process = start(folder, broken, "--epochs", 30)
    until(process, "epoch  3")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"flambeau: interrupted in epoch \d+ of 30; --resume goes on from there\n", err)
    assert not broken.exists() and (tmp_path / "broken.checkpoints").is_dir()

    code, _, err = train(capsys, *words, "--lr", "0.5", "--output", broken, "--resume")
    assert code == 2
    assert re.search(r"was made with --lr 0\.\d+, not --lr 0\.5\n$", err)

    process = start(folder, broken, "--epochs", 30, "--resume")
    until(process, "epoch 12")
    process.kill()
    process.communicate(timeout=60)

    code, out, _ = train(capsys, *words, "--output", broken, "--resume")
    assert code == 0
    assert re.search(r"^going on in epoch \d+ after batch \d+$", out, re.M)
    assert broken.read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken", "data", "whole"]


def test_resuming_without_a_checkpoint_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    words = ["--data", folder, "--model", "mlp", "--epochs", 1, "--output", tmp_path / "w", "--resume"]
    code, out, _ = train(capsys, *words)
    assert code == 0
    assert f"no checkpoint in {tmp_path / 'w.checkpoints'}: training begins\n" in out


def test_the_shipped_images_are_learned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--model", "mlp", "--epochs", 2, "--hidden", 64, "--output", tmp_path / "w"]
    code, out, _ = train(capsys, *words)
    accuracy = re.search(r"^test accuracy: (\S+) ", out, re.M)
    assert code == 0
    assert accuracy is not None and float(accuracy[1]) > 0.78


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("model", "least"), [("cnn", 0.885), ("mlp", 0.86)])
def test_accuracy_of_the_defaults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str, least: float
) -> None:
    found = []
    for seed in (0, 1, 2):
        _, out, _ = train(capsys, "--model", model, "--seed", seed, "--output", tmp_path / "w")
        found.append(float(re.findall(r"^test accuracy: (\S+) ", out, re.M)[0]))
    assert sum(found) / 3 >= least
    assert len(fashion_mnist_mini().test_labels) == 2000
