"""Data sets by name: shipped, from folders, and downloaded from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import re
import struct
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flambeau as fb
from flambeau.data import DataError, cifar10, fashion_mnist, mnist, shakespeare_mini
from flambeau.data.sets import named, shakespeare
from flambeau.data.sets.download import Remote, download
from flambeau.data.sets.mnist import FILES, remotes
from flambeau.errors import OperandError

CIFAR = importlib.import_module("flambeau.data.sets.cifar10")
MNIST = importlib.import_module("flambeau.data.sets.mnist")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own for every test, and no set anywhere else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(MNIST, "_DEBIAN", tmp_path / "debian")
    return tmp_path / "cache" / "flambeau" / "data"


# --- shipped ---------------------------------------------------------------------------------


def test_the_plays_are_whole_and_the_last_is_held_out() -> None:
    plays = shakespeare_mini()
    assert 1_050_000 < len(plays.train) + len(plays.test) < 1_150_000
    assert 0.08 < len(plays.test) / len(plays.train) < 0.12
    assert plays.train.startswith("MACBETH\n") and plays.test.startswith("THE TEMPEST\n")
    assert len(plays.titles) == 9 and plays.train.count("by William Shakespeare") == 8
    whole = plays.train + plays.test
    assert whole.isascii() and whole.isprintable() is False and "\f" not in whole and "\r" not in whole
    for word in ("gutenberg", "etext", "copyright"):
        assert word not in whole.lower()
    assert set(plays.test) <= set(plays.train)  # every character can be learnt
    assert "Is this a dagger which I see before me" in plays.train
    assert "Our revels now are ended" in plays.test and "Our revels now" not in plays.train


def test_the_plays_are_small_and_explained() -> None:
    folder = shakespeare.FILE.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 600_000
    assert "public domain" in (folder / "README.md").read_text()


def test_damaged_plays_are_reported_with_file_and_remedy(tmp_path: Path) -> None:
    content = shakespeare.FILE.read_bytes()
    path = tmp_path / "plays.txt.gz"
    for damaged in (content[:1000], gzip.compress(b"x" * (8 << 20)), b"no gzip", content[:-5] + b"wrong"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"shakespeare-mini is damaged; reinstall flambeau.*{path}"):
            shakespeare._load_verified(path)


def test_one_name_for_each() -> None:
    assert fb.data.load("shakespeare-mini") == shakespeare_mini()
    assert fb.data.load("fashion-mnist-mini").test_images.shape == (2000, 28, 28)
    with pytest.raises(OperandError, match="no data set 'minst'; there are " + ", ".join(named.NAMES)):
        fb.data.load("minst")
    with pytest.raises(OperandError, match="comes with flambeau"):
        fb.data.load("shakespeare-mini", "folder")


# --- folders ---------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape) + array.tobytes()


CONTENTS = [
    idx(np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)),
    idx(np.array([0, 9, 1], np.uint8)),
    idx(np.ones((1, 2, 2), np.uint8)),
    idx(np.array([4], np.uint8)),
]


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in zip(FILES, CONTENTS, strict=True):
        (folder / name).write_bytes(gzip.compress(content))
    return folder


def test_mnist_and_its_relative_from_folders(tmp_path: Path, cache: Path) -> None:
    folder = fill(tmp_path / "here")
    assert fb.data.load("mnist", folder).class_names == tuple("0123456789")
    assert fashion_mnist(folder).class_names[9] == "Ankle boot"
    with pytest.raises(FileNotFoundError, match="no such folder"):
        mnist(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"mnist: the files are not in .*; allow the download or name their"):
        mnist(download=False)
    fill(cache / "mnist")
    assert mnist(download=False).train_labels.tolist() == [0, 9, 1]
    fill(tmp_path / "debian")
    assert fashion_mnist(download=False).train_labels.tolist() == [0, 9, 1]


def records(labels: list[int], rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    planes = rng.integers(0, 256, (len(labels), 3, 32, 32), np.uint8)
    content = b"".join(bytes([n]) + image.tobytes() for n, image in zip(labels, planes, strict=True))
    return content, planes.transpose(0, 2, 3, 1)


def fill_cifar(folder: Path, rng: np.random.Generator) -> np.ndarray:
    folder.mkdir(parents=True)
    images = []
    for i, name in enumerate((*CIFAR.TRAIN, CIFAR.TEST)):
        content, made = records([i, 9], rng)
        (folder / name).write_bytes(content)
        images.append(made)
    return np.concatenate(images)


def test_cifar_from_a_folder(tmp_path: Path, rng: np.random.Generator) -> None:
    images = fill_cifar(tmp_path / "here" / "cifar-10-batches-bin", rng)
    for folder in (tmp_path / "here", tmp_path / "here" / "cifar-10-batches-bin"):
        data = fb.data.load("cifar-10", folder)
        np.testing.assert_array_equal(data.train_images, images[:10])
        np.testing.assert_array_equal(data.test_images, images[10:])
        assert data.train_labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
        assert data.class_names[3] == "cat"


def test_damaged_files_of_cifar_are_named_with_the_place(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "here"
    fill_cifar(folder, rng)
    path = folder / "data_batch_3.bin"
    whole = path.read_bytes()
    for content, message in (
        (whole[:4000], "the file ends at byte 4000, within record 1 that begins at byte 3073"),
        (b"", "the file ends at byte 0"),
        (whole[:3073] + b"\x0a" + whole[3074:], "the label at byte 3073 is 10, and there are 10 classes"),
        (bytes(30_730_001), "30730001 bytes are more than the 30730000 of a file of CIFAR-10"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
            cifar10(folder)
    path.rename(folder / "data_batch_3")
    with pytest.raises(FileNotFoundError, match=r"data_batch_3.bin of the binary .* loading pickles can run"):
        cifar10(folder)
    with pytest.raises(DataError, match="cifar-10: the files are not in"):
        cifar10(download=False)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=40), st.integers(0, 3), st.integers(0, 255))
def test_arbitrary_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, count: int, label: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.bin"
    path.write_bytes((bytes([label]) + bytes(3072)) * count + tail)
    try:
        images, labels = CIFAR._read(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "byte" in str(error)
    else:
        assert not tail and label < 10 and len(images) == len(labels) == count


# --- downloads -------------------------------------------------------------------------------


class Server(HTTPServer):
    """Serves ``files`` from memory and remembers what was asked for."""

    files: dict[str, bytes]
    asked: list[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        cut = self.path.endswith("cut")
        self.send_header("Content-Length", str(len(content) + 10 * cut))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.files, made.asked = {}, []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def digests() -> list[str]:
    return [hashlib.sha256(content).hexdigest() for content in CONTENTS]


def test_mnist_is_downloaded_once(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "_MNIST_URLS", (server.address + "missing/", server.address))
    monkeypatch.setattr(MNIST, "_MNIST", digests())
    server.files = {name: gzip.compress(c, 1) for name, c in zip(FILES, CONTENTS, strict=True)}
    assert mnist().train_labels.tolist() == [0, 9, 1]
    assert len(server.asked) == 8 and sorted(p.name for p in (cache / "mnist").iterdir()) == sorted(FILES)
    assert mnist().test_labels.tolist() == [4] and len(server.asked) == 8
    (cache / "mnist" / FILES[2]).unlink()
    assert mnist().test_labels.tolist() == [4] and len(server.asked) == 10


def test_what_is_not_what_it_should_be_is_not_kept(server: Server, tmp_path: Path) -> None:
    name = "thing"
    good = b"0123456789" * 100
    digest = hashlib.md5(good).hexdigest()
    folder = tmp_path / "kept"
    for path, content, message in (
        ("other", good + b"!", f"the md5 of what was received is .*, not {digest}"),
        ("long", good * 20, "the answer is longer than the 2000 bytes the file can have"),
        ("cut", good, "(IncompleteRead|ended after 1000 of 1010 bytes|timed out)"),
        ("nowhere", None, "HTTP Error 404"),
    ):
        server.files = {} if content is None else {path: content}
        remote = Remote(name, (server.address + path,), "md5", digest, 2000)
        with pytest.raises(DataError, match=f"set: {name} could not be downloaded;(.|\n)*{message}"):
            download([remote], folder, "set")
        assert not folder.exists()
    server.files = {"good": good}
    download([Remote(name, (server.address + "good",), "md5", digest, 2000)], folder, "set")
    assert (folder / name).read_bytes() == good and len(list(folder.iterdir())) == 1


def test_a_file_that_is_no_gzip_is_refused(server: Server, tmp_path: Path) -> None:
    server.files = dict.fromkeys(FILES, b"<html>sorry</html>")
    with pytest.raises(DataError, match="the answer is not a gzip file"):
        download(remotes([server.address], digests()), tmp_path / "kept", "mnist")


def test_without_a_network_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "_FASHION_URLS", ("http://127.0.0.1:1/",))
    with pytest.raises(DataError, match=r"without a network, put the file into .*refused"):
        fashion_mnist()


def archive(folder: Path, extra: str | None = None) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, f"cifar-10-batches-bin/{path.name}")
        if extra is not None:
            member = tarfile.TarInfo(extra)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    return raw.getvalue()


def test_cifar_is_downloaded_and_only_its_files_are_taken(
    server: Server, tmp_path: Path, cache: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = fill_cifar(tmp_path / "source", rng)
    content = archive(tmp_path / "source", extra="../../escaped")
    server.files = {"cifar.tar.gz": content}
    remote = Remote(
        "cifar-10-binary.tar.gz", (server.address + "cifar.tar.gz",), "md5",
        hashlib.md5(content).hexdigest(), 10_000_000,
    )  # fmt: skip
    monkeypatch.setattr(CIFAR, "ARCHIVE", remote)
    for _i in range(2):
        np.testing.assert_array_equal(cifar10().train_images, images[:10])
    assert len(server.asked) == 1
    found = sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())
    assert found == [f"cifar-10/cifar-10-batches-bin/{name}" for name in (*CIFAR.TRAIN, CIFAR.TEST)]
    assert not list(tmp_path.rglob("escaped"))


def test_an_archive_with_something_else_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    server.files = {"bad": raw.getvalue()}
    digest = hashlib.md5(raw.getvalue()).hexdigest()
    remote = Remote("cifar-10-binary.tar.gz", (server.address + "bad",), "md5", digest, 10_000)
    monkeypatch.setattr(CIFAR, "ARCHIVE", remote)
    with pytest.raises(DataError, match=r"data_batch_1.bin in the archive is not a file of CIFAR-10"):
        cifar10()
