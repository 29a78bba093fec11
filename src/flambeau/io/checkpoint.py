"""Checkpoints: folders that are there whole or not at all.

A checkpoint is a folder with ``weights.safetensors``, ``optimizer.safetensors``,
``state.safetensors`` (each where there is something for it) and ``state.json``, which names the
format's version and the size and SHA-256 of every file.  It is written under another name, forced
to the disk and renamed into place; so a process that is killed leaves the checkpoints before it,
and at most rubbish that the next one removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flambeau.errors import OperandError, WeightsError
from flambeau.io.atomic import sync_folder
from flambeau.io.packing import pack, unpack
from flambeau.io.weights import FilePath, load_weights, save_weights
from flambeau.tensor import Tensor

FORMAT = 1
_STATE = "state.json"
_NAME = re.compile(r"checkpoint-(\d{8,})")
_RUBBISH = re.compile(r"\.checkpoint-\d{8,}\.[0-9a-f]{12}\.tmp")


class Checkpoint(NamedTuple):
    """What was read: where from, the weights by name, and the nested states."""

    path: Path
    weights: dict[str, Tensor]
    optimizer: Any
    state: Any


class Checkpoints:
    """The checkpoints of one training, in a folder of their own; the ``keep`` newest are kept.

    >>> import tempfile
    >>> import flambeau as fb
    >>> kept = fb.io.Checkpoints(tempfile.mkdtemp(), keep=2)
    >>> for epoch in range(3):
    ...     path = kept.save({"w": fb.full(2, float(epoch))}, state={"epoch": epoch})
    >>> kept.load_latest().weights, kept.load_latest().state
    ({'w': tensor([2., 2.])}, {'epoch': 2})
    >>> [path.name for path in kept.paths()]
    ['checkpoint-00000002', 'checkpoint-00000003']
    """

    def __init__(self, folder: FilePath, keep: int = 2) -> None:
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise OperandError(f"Checkpoints: keep must be a whole number of at least 1, not {keep!r}")
        self.folder = Path(folder)
        self.keep = keep
        self._damaged: set[str] = set()

    def save(self, weights: Mapping[str, Tensor], optimizer: Any = None, state: Any = None) -> Path:
        """Write a checkpoint; returns its folder.

        ``weights`` are tensors by name; ``optimizer`` and ``state`` are nested dicts and lists of
        numbers, text and tensors.  Once it is in place, older ones are removed, and rubbish.

        Raises ``OSError`` where it cannot be written; what was there before is then still there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path) for path in self.paths()), default=0)
        target = self.folder / f"checkpoint-{number:08d}"
        aside = self.folder / f".{target.name}.{secrets.token_hex(6)}.tmp"
        aside.mkdir()
        try:
            _write(aside, weights, optimizer, state)
            os.rename(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_folder(self.folder)
        self._clean()
        return target

    def paths(self) -> list[Path]:
        """The folders of all checkpoints, oldest first, whether they are whole or not."""
        if not self.folder.is_dir():
            return []
        found = [p for p in self.folder.iterdir() if _NAME.fullmatch(p.name) and p.is_dir()]
        return sorted(found, key=_number)

    def load_latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None.

        Damaged ones are passed over, and removed when the next one has been saved.  Raises
        ``WeightsError`` for one that a newer version of flambeau has written.
        """
        for path in reversed(self.paths()):
            try:
                return load_checkpoint(path)
            except _NewerError:
                raise
            except (WeightsError, FileNotFoundError):
                self._damaged.add(path.name)
        return None

    def clear(self) -> None:
        """Remove all checkpoints and rubbish, and the folder where nothing else is in it."""
        for path in self.paths():
            _remove(path)
        self._remove_rubbish()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _clean(self) -> None:
        paths = self.paths()
        whole = [p for p in paths if p.name not in self._damaged]
        for path in paths:
            if path not in whole[-self.keep :]:
                _remove(path)
        self._damaged.clear()
        self._remove_rubbish()

    def _remove_rubbish(self) -> None:
        if self.folder.is_dir():
            for path in list(self.folder.iterdir()):
                if _RUBBISH.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(path: FilePath) -> Checkpoint:
    """Read one checkpoint.

    Raises ``WeightsError``, naming the file, where anything in it is missing or differs from what
    was written, and ``OSError`` where it cannot be read.

    >>> import flambeau as fb
    >>> model.load_state_dict(fb.io.load_checkpoint(path).weights)     # doctest: +SKIP
    """
    folder = Path(path)
    table = _read_table(folder / _STATE)
    try:
        return _read(folder, table)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{folder / _STATE}: the file is no state of a checkpoint: {error!r:.80}"
        ) from None


def _read(folder: Path, table: dict[str, Any]) -> Checkpoint:
    tensors: dict[str, dict[str, Tensor]] = {}
    for part in ("weights", "optimizer", "state"):
        path = folder / f"{part}.safetensors"
        facts = table["files"].get(path.name)
        if facts is not None:
            _verify(path, facts)
        tensors[part] = {} if facts is None else load_weights(path)
    optimizer, state = [unpack(table[part], tensors[part]) for part in ("optimizer", "state")]
    return Checkpoint(folder, tensors["weights"], optimizer, state)


class _NewerError(WeightsError):
    """A checkpoint of a later format."""


def _number(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def _write(folder: Path, weights: Mapping[str, Tensor], optimizer: Any, state: Any) -> None:
    texts = {}
    parts: dict[str, Mapping[str, Tensor]] = {"weights": weights}
    for part, tree in (("optimizer", optimizer), ("state", state)):
        texts[part], parts[part] = pack(tree)
    files = {}
    for part, tensors in parts.items():
        if tensors:
            path = folder / f"{part}.safetensors"
            save_weights(path, tensors)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    table = {"format": FORMAT, "files": files, **texts}
    table["digest"] = _digest(table)
    with (folder / _STATE).open("w", encoding="utf-8") as file:
        json.dump(table, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def _read_table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the file is damaged: it is no valid JSON ({error!s:.80})") from None
    if not isinstance(table, dict) or table.get("digest") != _digest(
        {name: value for name, value in table.items() if name != "digest"}
    ):
        raise WeightsError(f"{path}: the file is damaged: its contents do not have the digest it names")
    if table.get("format") != FORMAT:
        raise _NewerError(
            f"{path}: the checkpoint has format {table.get('format')!r:.40}; "
            f"this version of flambeau reads {FORMAT}"
        )
    return table


def _digest(table: Mapping[str, Any]) -> str:
    text = json.dumps(table, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, facts: Any) -> None:
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise WeightsError(f"{path}: the file has {size} bytes instead of the {facts['bytes']} written")
    if _sha256(path) != facts["sha256"]:
        raise WeightsError(f"{path}: the file is damaged: it is not what was written")


def _remove(path: Path) -> None:
    """Remove a checkpoint so that a part of it is never taken for one."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with contextlib.suppress(OSError):
        os.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)
