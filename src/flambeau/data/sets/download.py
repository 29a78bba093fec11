"""Files from the network, which are kept only if they are what they should be."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flambeau.compiler.cache import default_folder
from flambeau.data.errors import DataError
from flambeau.io.atomic import replacing

_BLOCK = 1 << 18
_SECONDS = 30.0  # without a byte


@dataclass(frozen=True, slots=True)
class Remote:
    """A file, where it can be had, and how to recognise it.

    ``digest`` is that of the file, or with ``unpacked`` that of what it holds once decompressed, which
    does not depend on who compressed it.
    """

    name: str
    urls: tuple[str, ...]
    algorithm: str
    digest: str
    max_bytes: int
    unpacked: bool = False


def cache_folder(name: str) -> Path:
    """Where downloaded files of a data set are kept: below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = default_folder()
    if base is None:
        raise DataError(f"{name}: there is no home folder to keep files in; name the folder they are in")
    return base / "data" / name


def download(files: Sequence[Remote], folder: Path, set_name: str) -> None:
    """Bring the files that are missing into ``folder``.

    A file gets its name when it is whole and its checksum is right, so a download that fails or is
    interrupted leaves nothing behind that could be taken for it.

    Raises:
        DataError: No address gives the file; the message says what each of them answered.
    """
    from http.client import HTTPException

    for file in files:
        target = folder / file.name
        if target.is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        failures = []
        for url in file.urls:
            try:
                _fetch(file, url, target)
                break
            except (OSError, HTTPException, DataError) as error:  # URLError is an OSError
                failures.append(f"{url}: {error}")
        else:
            with contextlib.suppress(OSError):
                folder.rmdir()  # if nothing is in it
            raise DataError(
                f"{set_name}: {file.name} could not be downloaded; without a network, put the file into "
                f"{folder} or name the folder it is in.  " + ";  ".join(failures)
            )


def _fetch(file: Remote, url: str, target: Path) -> None:
    import urllib.request

    check: Any = hashlib.new(file.algorithm, usedforsecurity=False)
    unpack = zlib.decompressobj(wbits=31) if file.unpacked else None
    received = 0
    request = urllib.request.Request(url, headers={"User-Agent": "flambeau"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer, replacing(target) as out:
        while block := answer.read(_BLOCK):
            received += len(block)
            if received > file.max_bytes:
                raise DataError(f"the answer is longer than the {file.max_bytes} bytes the file can have")
            out.write(block)
            try:
                check.update(block if unpack is None else unpack.decompress(block))
            except zlib.error as error:
                raise DataError(f"the answer is not a gzip file ({error})") from None
        announced = answer.headers.get("Content-Length")
        if announced is not None and announced.isdigit() and int(announced) != received:
            raise DataError(f"the connection ended after {received} of {announced} bytes")
        if check.hexdigest() != file.digest:
            raise DataError(
                f"the {file.algorithm} of what was received is {check.hexdigest()}, not {file.digest}"
            )
