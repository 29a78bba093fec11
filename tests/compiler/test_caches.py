"""Sizes of caches, as the system tells them."""

from __future__ import annotations

from flambeau.compiler.caches import cache_sizes, last_cache, second_cache


def test_sizes_of_caches(tmp_path) -> None:
    for index, (level, kind, size) in enumerate(
        [(1, "Data", "32K"), (1, "Instruction", "64K"), (2, "Unified", "1024K"), (3, "Unified", "32M")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", str(level)), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n")
    assert cache_sizes(tmp_path) == (32 << 10, 1 << 20, 32 << 20)
    assert cache_sizes(tmp_path / "none") == (32 << 10, 512 << 10, 4 << 20)


def test_those_that_block_sizes_are_chosen_by() -> None:
    assert 256 << 10 <= second_cache() <= 2 << 20
    assert last_cache() == cache_sizes()[-1]
