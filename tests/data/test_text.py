"""Tokenizers, windows over text, and sequences of one length."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.data import (
    BytePairTokenizer,
    CharTokenizer,
    DataError,
    DataLoader,
    TextWindows,
    pad_sequences,
    shakespeare_mini,
    truncate,
)
from flambeau.errors import FlambeauError, OperandError, ShapeError

# --- characters ------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(), st.text())
def test_characters_come_back(text: str, other: str) -> None:
    tokenizer = CharTokenizer.fit([text, other])
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.int64 and tokens.shape == (len(text),)
    assert tokenizer.decode(tokens) == text
    assert list(tokenizer.characters) == sorted(set(text + other))


def test_the_order_of_the_vocabulary_is_kept() -> None:
    tokenizer = CharTokenizer(["z", "a", "\U0001f525", "m"])
    assert tokenizer.encode("amz\U0001f525").tolist() == [1, 3, 0, 2]


def test_unknown_characters() -> None:
    with pytest.raises(OperandError, match="the character 'c' at position 2 is not in the vocabulary"):
        CharTokenizer.fit("ab").encode("abc")
    with pytest.raises(OperandError, match="the character 'a' at position 0"):
        CharTokenizer([]).encode("a")
    tokenizer = CharTokenizer.fit("ab", unknown="?")
    assert tokenizer.decode(tokenizer.encode("abcd")) == "ab??"


@pytest.mark.parametrize("tokens", [[2], [-1], [0, 99]])
def test_tokens_beyond_the_vocabulary_are_refused(tokens: list[int]) -> None:
    with pytest.raises(OperandError, match=f"no token {tokens[-1]}; the vocabulary has 2"):
        CharTokenizer.fit("ab").decode(tokens)
    with pytest.raises(OperandError, match="tokens are integers, not float64"):
        CharTokenizer.fit("ab").decode([0.0])


@pytest.mark.parametrize(
    ("characters", "unknown", "message"),
    [(["a", "a"], None, "some come twice"), (["ab"], None, "'ab' is not one"), (["a"], "b", "'b' is not in")],
)
def test_vocabularies_that_make_no_sense(characters: list[str], unknown: str | None, message: str) -> None:
    with pytest.raises(OperandError, match=message):
        CharTokenizer(characters, unknown)


def test_a_vocabulary_is_saved_as_json(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    tokenizer = CharTokenizer(["b", "\ud800", "a", "\n", "\U0001f525"], unknown="a")
    tokenizer.save(path)
    assert json.loads(path.read_text())["characters"] == ["b", "\ud800", "a", "\n", "\U0001f525"]
    loaded = CharTokenizer.load(path)
    assert loaded.characters == tokenizer.characters and loaded.unknown == "a"
    assert pickle.loads(pickle.dumps(loaded)).encode("b?").tolist() == [0, 2]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"format": "flambeau characters", ', "not JSON at byte 34"),
    "byte offset": ('{"é": }'.encode(), "not JSON at byte 7"),
    "no UTF-8": (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    "another file": (b"[1, 2]", "not a vocabulary of characters"),
    "later version": (b'{"format": "flambeau characters", "version": 2}', "version 2 of the format is"),
    "no list": (b'{"format": "flambeau characters", "version": 1, "characters": "ab"}', "missing or damaged"),
    "numbers": (b'{"format": "flambeau characters", "version": 1, "characters": [1]}', "1 is not one"),
    "lists": (b'{"format": "flambeau characters", "version": 1, "characters": [["a"]]}', "is not one"),
    "deep": (b"[" * 100_000, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_vocabularies_are_refused_by_name(tmp_path: Path, case: str) -> None:
    content, message = HOSTILE[case]
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        CharTokenizer.load(path)
    assert str(caught.value).startswith(f"{path}: ")


# --- byte pairs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs() -> BytePairTokenizer:
    pytest.importorskip("tokenizers")
    return BytePairTokenizer.train(shakespeare_mini().train[:100_000], 400, special_tokens=["<end>"])


def test_byte_pairs_come_back(pairs: BytePairTokenizer) -> None:
    for text in ("", "To be, or not to be", "  two  spaces\n\n", "Übergröße \U0001f525 \x00", "a<end>b"):
        tokens = pairs.encode(text)
        assert tokens.dtype == np.int64 and pairs.decode(tokens) == text
    assert len(pairs) == 400 and pairs.token("<end>") == 0
    assert pairs.encode("a<end>b").tolist().count(0) == 1
    held_out = shakespeare_mini().test
    assert len(pairs.encode(held_out)) < 0.7 * len(held_out)


def test_byte_pairs_are_saved(pairs: BytePairTokenizer, tmp_path: Path) -> None:
    pairs.save(tmp_path / "pairs.json")
    for copy in (BytePairTokenizer.load(tmp_path / "pairs.json"), pickle.loads(pickle.dumps(pairs))):
        assert copy.encode("Enter the king").tolist() == pairs.encode("Enter the king").tolist()


def test_byte_pairs_refuse_what_makes_no_sense(pairs: BytePairTokenizer, tmp_path: Path) -> None:
    with pytest.raises(OperandError, match="there is no token 400; the vocabulary has 400"):
        pairs.decode([400])
    with pytest.raises(OperandError, match="tokens are integers"):
        pairs.decode([0.5])
    with pytest.raises(OperandError, match="there is no token '<start>'"):
        pairs.token("<start>")
    with pytest.raises(OperandError, match="at least 256 for the bytes and 1"):
        BytePairTokenizer.train("text", 256, special_tokens=["<end>"])
    with pytest.raises(OperandError, match=r"BytePairTokenizer.train\(texts\)"):
        BytePairTokenizer("text")
    path = tmp_path / "damaged.json"
    pairs.save(path)
    gap = json.loads(path.read_text())
    gap["model"]["vocab"] = {piece: n for piece, n in gap["model"]["vocab"].items() if n != 300}
    gap["model"]["merges"] = []
    for content in (b"{}", b"no JSON", b'{"model": {"type": "BPE", "vocab": 3}}', json.dumps(gap).encode()):
        path.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(f"{path}: not")):
            BytePairTokenizer.load(path)


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'flambeau\[text\]'") as caught:
        BytePairTokenizer.train("text")
    assert isinstance(caught.value, FlambeauError)


def test_a_panic_of_the_library_is_an_error_of_the_file(
    pairs: BytePairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "pairs.json"
    pairs.save(path)

    class PanicException(BaseException):
        """As PyO3's, which is no Exception."""

    for raised, expected in ((PanicException, DataError), (KeyboardInterrupt, KeyboardInterrupt)):

        class Tripping:
            error = raised

            @classmethod
            def from_str(cls, text: str) -> Any:
                raise cls.error("index out of range")

        monkeypatch.setattr(tokenizers, "Tokenizer", Tripping)
        with pytest.raises(expected, match="index out of range"):
            BytePairTokenizer.load(path)


# --- windows and padding ---------------------------------------------------------------------


@pytest.mark.parametrize(("count", "length", "stride"), [(11, 3, None), (10, 3, 1), (4, 3, 2), (1000, 7, 5)])
def test_windows(count: int, length: int, stride: int | None) -> None:
    tokens = np.arange(count, dtype=np.int32) * 3
    windows = TextWindows(tokens, length, stride)
    step = stride or length
    starts = [s for s in range(0, count, step) if s + length + 1 <= count]
    assert len(windows) == len(starts)
    for i, start in enumerate(starts):
        inputs, targets = windows[i]
        assert inputs.tolist() == tokens[start : start + length].tolist()
        assert targets.tolist() == tokens[start + 1 : start + length + 1].tolist()
    at = np.arange(len(starts))[::-1]
    for i, gathered in enumerate(windows.gather(at)):
        np.testing.assert_array_equal(gathered, np.stack([windows[int(n)][i] for n in at]))
    with pytest.raises(IndexError):
        windows[len(starts)]
    inputs, targets = next(iter(DataLoader(windows, 2)))
    assert inputs.tolist()[0] == tokens[:length].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3], 3), "need 4 tokens; there are 3"),
        (([1, 2, 3], 0), "length and stride are at least 1"),
        (([1.0, 2.0], 1), "integers in one axis, not float64 of shape (2,)"),
        (([[1, 2]], 1), "integers in one axis, not int64 of shape (1, 2)"),
    ],
)
def test_windows_that_make_no_sense(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(OperandError, match=re.escape(message)):
        TextWindows(*arguments)


def test_padding() -> None:
    given = [np.array([[1, 2]], np.int16), np.zeros((0, 2), np.int16), np.full((3, 2), 7, np.int16)]
    padded, lengths = pad_sequences(given, value=9)
    assert padded.shape == (3, 3, 2) and padded.dtype == np.int16 and lengths.tolist() == [1, 0, 3]
    assert padded[0].tolist() == [[1, 2], [9, 9], [9, 9]] and (padded[1] == 9).all()
    left, lengths = pad_sequences([[1, 2, 3, 4], [5]], 3, side="left")
    assert left.tolist() == [[2, 3, 4], [0, 0, 5]] and lengths.tolist() == [3, 1]
    assert pad_sequences([[], [1]])[0].dtype == np.int64
    assert truncate([1, 2], 5, side="left").tolist() == [1, 2] and truncate([1, 2], 0, "left").tolist() == []
    with pytest.raises(ShapeError, match=re.escape("shapes are (1, 2), (1, 3)")):
        pad_sequences([np.zeros((1, 2)), np.zeros((1, 3))])
    for wrong in ({"length": -1}, {"side": "top"}):
        with pytest.raises(OperandError):
            pad_sequences([[1]], **wrong)  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="no sequences"):
        pad_sequences([])
