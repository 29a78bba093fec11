"""Samples of Fourier transforms, random bits and bit casts."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau import dtypes
from flambeau.graph.builder import emit
from flambeau.primitives import bits, fft, randomness
from samples.core import add, name_of, random


def _dft(x: np.ndarray, axis: int, n: int, sign: int) -> np.ndarray:
    """The matrix of the transform, times the signal."""
    rows = np.moveaxis(x, axis, -1)[..., :n]
    rows = np.concatenate([rows, np.zeros((*rows.shape[:-1], n - rows.shape[-1]))], -1)
    k = np.arange(n)
    matrix = np.exp(sign * 2j * np.pi * np.outer(k, k) / n)
    return np.moveaxis(rows @ matrix, -1, axis)


def _expected(x: np.ndarray, kind: str, axes: Any, lengths: Any) -> np.ndarray:
    out = x.astype(np.complex128)
    if kind == "irfft":
        for axis, n in zip(axes[:-1], lengths[:-1], strict=True):
            out = _dft(out, axis, n, 1) / n
        axis, n = axes[-1], lengths[-1]
        half = np.moveaxis(out, axis, -1)
        width = n // 2 + 1
        half = np.concatenate([half, np.zeros((*half.shape[:-1], max(0, width - half.shape[-1])))], -1)[
            ..., :width
        ]
        # the first element, and the last one of an even length, are taken to be real
        half[..., 0] = half[..., 0].real
        if n % 2 == 0:
            half[..., -1] = half[..., -1].real
        whole = np.concatenate([half, half[..., 1 : (n + 1) // 2][..., ::-1].conj()], -1)
        return (_dft(np.moveaxis(whole, -1, axis), axis, n, 1) / n).real
    for axis, n in zip(axes, lengths, strict=True):
        out = _dft(out, axis, n, 1 if kind == "ifft" else -1) / (n if kind == "ifft" else 1)
    if kind == "rfft":
        out = np.moveaxis(np.moveaxis(out, axes[-1], -1)[..., : lengths[-1] // 2 + 1], -1, axes[-1])
    return out


for _kind in ("fft", "ifft", "rfft", "irfft"):
    for _shape, _axes, _lengths in (
        ((7,), (0,), (7,)),
        ((1,), (0,), (1,)),
        ((8,), (0,), (5,)),
        ((5,), (0,), (8,)),
        ((3, 6), (1,), (6,)),
        ((4, 3), (0,), (4,)),
        ((2, 5, 4), (1, 2), (5, 4)),
        ((33, 2), (0, 1), (33, 2)),
    ):
        for _dtype in (np.float64, np.float32):
            _input = _dtype if _kind == "rfft" else np.result_type(_dtype, np.complex64)
            add(
                "fft",
                lambda x, k=_kind, a=_axes, n=_lengths: emit(fft.fft_p, x, kind=k, axes=a, lengths=n),
                lambda rng, s=_shape, d=_input: [random(rng, s, d)],
                lambda x, k=_kind, a=_axes, n=_lengths: _expected(x, k, a, n),
                label=f"{_kind}-{_shape}-{_lengths}-{name_of(_dtype)}",
                smooth=False,
                tolerance=1e-5 if _dtype is np.float32 else 1e-12,
            )


def _philox(counter: int, key: int) -> list[int]:
    """Philox-4x32-10 with Python's integers."""
    mask = 0xFFFFFFFF
    c = [counter >> (32 * i) & mask for i in range(4)]
    k = [key & mask, key >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & mask, (p >> 32) ^ c[3] ^ k[1], p & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def _random_words(key: Any, counter: Any, shape: Any, wide: bool) -> np.ndarray:
    n = int(np.prod(shape))
    words = [w for i in range(n) for w in _philox((int(counter) << 64) + i, int(key))]
    if wide:
        words = [a | b << 32 for a, b in zip(words[::2], words[1::2], strict=True)]
    return np.array(words[:n], np.uint64 if wide else np.uint32).reshape(shape)


for _shape in ((), (1,), (2,), (7,), (33,), (3, 5), (0, 2)):
    for _dtype in (dtypes.uint32, dtypes.uint64):
        add(
            "random_bits",
            lambda key, counter, s=_shape, d=_dtype: randomness.random_bits(key, counter, s, d),
            lambda rng: list(rng.integers(0, 2**64, 2, np.uint64)),
            lambda key, counter, s=_shape, d=_dtype: _random_words(key, counter, s, d is dtypes.uint64),
            label=f"{_shape}-{_dtype}",
            smooth=False,
        )
for _from, _to in (
    (np.float32, dtypes.int32),
    (np.int32, dtypes.float32),
    (np.float64, dtypes.uint64),
    (np.float16, dtypes.uint16),
    (np.uint8, dtypes.int8),
    (np.complex64, dtypes.int64),
):
    for _shape in ((), (7,), (3, 5)):
        add(
            "bitcast",
            lambda x, to=_to: bits.bitcast(x, to),
            lambda rng, s=_shape, d=_from: [random(rng, s, d)],
            lambda x, to=_to: np.frombuffer(x.tobytes(), to.numpy).reshape(x.shape),
            label=f"{name_of(_from)}-{_to}-{_shape}",
            smooth=False,
        )
