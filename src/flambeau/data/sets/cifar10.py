"""CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels in ten classes.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

Only the binary version is read.  The one for Python is made of pickles, and loading a pickle can run any
code.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from flambeau.data.errors import DataError
from flambeau.data.images import LabelledImages
from flambeau.data.memory import Array
from flambeau.data.sets.download import Remote, cache_folder, download
from flambeau.io.atomic import replacing

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
FOLDER = "cifar-10-batches-bin"
_RECORD = 1 + 3 * 32 * 32
_MAX_BYTES = 10_000 * _RECORD  # of one file

# The MD5 is the one on the authors' page, https://www.cs.toronto.edu/~kriz/cifar.html.
ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "md5",
    "c32a1d4ab5d03f1284b67883e8d87530",
    170_052_171,
)


def cifar10(folder: str | os.PathLike[str] | None = None, download: bool = True) -> LabelledImages:
    """Load CIFAR-10: photographs of animals and vehicles, as uint8 of shape (count, 32, 32, 3).

    Args:
        folder: Where the six files of the binary version are, or the folder ``cifar-10-batches-bin``
            with them.  Without it they are looked for in flambeau's cache folder, and downloaded to it.
        download: Whether to download what is missing (170 MB); the checksum is verified.

    Raises:
        FileNotFoundError: ``folder`` or a file in it is missing.
        DataError: A file is damaged, or nothing is there and nothing can be downloaded.

    Example:
        ```
        photographs = fb.data.cifar10("datasets/cifar-10-batches-bin")
        ```
    """
    if folder is not None:
        return _read_folder(Path(folder))
    kept = cache_folder("cifar-10")
    try:
        return _read_folder(kept)
    except FileNotFoundError:
        if not download:
            raise DataError(
                f"cifar-10: the files are not in {kept}; allow the download or name their folder"
            ) from None
    _download(kept, ARCHIVE)
    return _read_folder(kept)


def _read_folder(folder: Path) -> LabelledImages:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    inner = folder / FOLDER
    within = inner if inner.is_dir() else folder
    for name in (*TRAIN, TEST):
        if (within / name).is_file():
            continue
        pickled = (folder / "cifar-10-batches-py").is_dir() or (folder / name.removesuffix(".bin")).is_file()
        hint = (
            "; the version for Python is not read, because loading pickles can run any code"
            if pickled
            else ""
        )
        raise FileNotFoundError(f"{within}: {name} of the binary version is not there{hint}")
    train = [_read(within / name) for name in TRAIN]
    images, labels = (np.concatenate([part[i] for part in train]) for i in (0, 1))
    return LabelledImages(images, labels, *_read(within / TEST), CLASSES)


def _read(path: Path) -> tuple[Array, Array]:
    """Images and labels of one file: records of a label and three planes, red, green and blue."""
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise DataError(f"{path}: {size} bytes are more than the {_MAX_BYTES} of a file of CIFAR-10")
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES)
    whole, rest = divmod(len(content), _RECORD)
    if rest or not whole:
        raise DataError(
            f"{path}: the file ends at byte {len(content)}, within record {whole} that begins at byte "
            f"{whole * _RECORD}: it is truncated, or not CIFAR-10's binary version"
        )
    records = np.frombuffer(content, np.uint8).reshape(whole, _RECORD)
    labels = records[:, 0].copy()
    wrong = np.flatnonzero(labels >= len(CLASSES))
    if wrong.size:
        at = int(wrong[0])
        raise DataError(f"{path}: the label at byte {at * _RECORD} is {labels[at]}, and there are 10 classes")
    planes = records[:, 1:].reshape(whole, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _download(folder: Path, archive: Remote) -> None:
    """Download the archive, take the six files out of it, and remove it."""
    import tarfile

    download([archive], folder, "cifar-10")
    path = folder / archive.name
    within = folder / FOLDER
    within.mkdir(exist_ok=True)
    try:
        with tarfile.open(path, "r:gz") as content:
            for name in (*TRAIN, TEST):
                # By name and as bytes: nothing else in the archive can decide what is written where.
                member = content.getmember(f"{FOLDER}/{name}")
                stream = content.extractfile(member) if member.isreg() else None
                if stream is None or member.size > _MAX_BYTES:
                    raise DataError(f"{path}: {name} in the archive is not a file of CIFAR-10")
                with replacing(within / name) as out:
                    out.write(stream.read(_MAX_BYTES))
    except (KeyError, tarfile.TarError, EOFError) as error:
        raise DataError(f"{path}: not CIFAR-10's archive: {error}") from error
    path.unlink()
