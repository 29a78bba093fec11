from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref

import ml_dtypes
import numpy as np
import pytest

import flambeau.dtypes as dt
from flambeau.runtime import buffers
from flambeau.runtime.buffers import Buffer

SIZES = [0, 1, 63, 64, 65, 1000, 1024, 1025, 4095, 30_000, 32_768, 33_000, 1 << 20, (1 << 22) + 1]


@pytest.fixture(autouse=True)
def clean() -> None:
    gc.collect()
    buffers.empty_cache()


@pytest.mark.parametrize("nbytes", SIZES)
def test_blocks_are_aligned_writable_and_do_not_overlap(nbytes: int) -> None:
    blocks = [Buffer(nbytes) for _ in range(20)]
    for number, block in enumerate(blocks):
        assert block.ptr % 64 == 0
        assert block.nbytes == nbytes
        block.view(np.uint8, (nbytes,))[:] = number
    for number, block in enumerate(blocks):
        assert (block.view(np.uint8, (nbytes,)) == number).all()
    assert len({block.ptr for block in blocks}) == 20


@pytest.mark.parametrize("nbytes", SIZES)
def test_a_block_given_back_is_used_again(nbytes: int) -> None:
    first = Buffer(nbytes)
    place = first.ptr
    del first
    assert Buffer(nbytes).ptr == place


def test_waste_is_bounded() -> None:
    for nbytes in (*range(1, 3000, 7), *(3 * 2**k + 5 for k in range(10, 24))):
        before = buffers.stats().live_bytes
        block = Buffer(nbytes)
        size = buffers.stats().live_bytes - before
        assert nbytes <= size <= nbytes * 1.126 + 64
        del block


def test_statistics_follow_every_buffer() -> None:
    buffers.reset_peak()
    start = buffers.stats()
    kept = [Buffer(1 << 20) for _ in range(3)]
    small = Buffer(100)
    now = buffers.stats()
    assert now.live_buffers == start.live_buffers + 4
    assert now.live_bytes == start.live_bytes + 3 * (1 << 20) + 128
    assert now.peak_bytes == now.live_bytes
    assert now.reserved_bytes >= now.live_bytes
    del kept, small
    end = buffers.stats()
    assert (end.live_buffers, end.live_bytes) == (start.live_buffers, start.live_bytes)
    assert end.peak_bytes == now.peak_bytes
    buffers.reset_peak()
    assert buffers.stats().peak_bytes == start.live_bytes


def test_empty_cache_returns_what_is_unused_and_only_that() -> None:
    start = buffers.stats().reserved_bytes
    large, small = Buffer(1 << 23), [Buffer(640) for _ in range(2000)]
    small[777].view(np.uint8, (640,))[:] = 7
    survivor = small[777]
    del large, small
    assert buffers.stats().reserved_bytes >= start + (1 << 23) + 2000 * 640
    buffers.empty_cache()
    assert buffers.stats().reserved_bytes <= start + (1 << 19)
    assert (survivor.view(np.uint8, (640,)) == 7).all()
    others = [Buffer(640) for _ in range(2000)]
    for other in others:
        other.view(np.uint8, (640,))[:] = 1
    assert (survivor.view(np.uint8, (640,)) == 7).all()


def test_what_is_kept_is_bounded() -> None:
    limit = buffers._allocator.limit
    start = buffers.stats().reserved_bytes
    try:
        buffers.set_cache_limit(5 << 20)
        many = [Buffer(1 << 20) for _ in range(20)]
        del many
        assert buffers.stats().reserved_bytes == start + (5 << 20)
        buffers.set_cache_limit(0)
        assert buffers.stats().reserved_bytes == start
        with pytest.raises(ValueError, match="-1"):
            buffers.set_cache_limit(-1)
    finally:
        buffers.set_cache_limit(limit)


def test_a_view_keeps_the_memory_alive() -> None:
    start = buffers.stats().live_buffers
    buffer = Buffer(4096)
    ghost = weakref.ref(buffer)
    view = buffer.view(dt.float32, (32, 32))
    view[:] = 3.0
    part = view[1:2, ::3]
    del buffer, view
    assert ghost() is not None
    assert [Buffer(4096).ptr != ghost().ptr for _ in range(3)] == [True] * 3  # type: ignore[union-attr]
    assert (part == 3.0).all()
    del part
    assert ghost() is None
    assert buffers.stats().live_buffers == start


@pytest.mark.parametrize("dtype", dt.ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 0, 4)])
def test_views_of_every_dtype_and_shape(dtype: dt.DType, shape: tuple[int, ...]) -> None:
    view = Buffer(int(np.prod(shape)) * dtype.itemsize).view(dtype, shape)
    assert (view.shape, view.dtype) == (shape, dtype.numpy)
    assert view.flags.c_contiguous and view.flags.writeable and view.flags.aligned
    view[...] = 1
    assert (view == 1).all()
    fixed = Buffer(int(np.prod(shape)) * dtype.itemsize).view(dtype, shape, writable=False)
    assert (fixed.shape, fixed.dtype, fixed.flags.writeable) == (shape, dtype.numpy, False)


def test_views_at_an_offset_share_the_memory() -> None:
    buffer = Buffer(64)
    buffer.view(np.int32, (16,))[:] = np.arange(16)
    assert buffer.view(np.int32, (2, 2), offset=8).tolist() == [[2, 3], [4, 5]]
    assert buffer.view(ml_dtypes.bfloat16, (0,), offset=64).shape == (0,)


def test_a_read_only_view_stays_read_only() -> None:
    view = Buffer(16).view(np.float32, (4,), writable=False)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(("shape", "offset"), [((4,), 8), ((5,), 0), ((1 << 40,), 0), ((0,), 17), ((1,), -4)])
def test_a_view_outside_the_buffer_is_refused(shape: tuple[int, ...], offset: int, writable: bool) -> None:
    with pytest.raises(ValueError, match="does not fit in 16 bytes"):
        Buffer(16).view(np.float32, shape, offset, writable)


def test_borrowed_memory_belongs_to_its_owner() -> None:
    owner = np.arange(6.0)
    ghost = weakref.ref(owner)
    start = buffers.stats().live_buffers
    buffer = Buffer.borrow(owner, owner.__array_interface__["data"][0], owner.nbytes)
    assert buffer.borrowed and not Buffer(1).borrowed
    view = buffer.view(np.float64, (2, 3))
    view[1, 2] = -1.0
    assert owner[5] == -1.0
    assert buffers.stats().live_buffers == start
    del owner, buffer
    assert ghost() is not None
    del view
    assert ghost() is None
    for writable in (True, False):
        assert Buffer.borrow(None, 0, 0).view(np.float32, (0, 2), 0, writable).shape == (0, 2)
    with pytest.raises(ValueError, match="-1 bytes"):
        Buffer.borrow(None, 0, -1)


def test_impossible_sizes() -> None:
    live = buffers.stats()
    with pytest.raises(ValueError, match="-1 bytes"):
        Buffer(-1)
    for nbytes in (1 << 50, 1 << 61, 1 << 70):
        with pytest.raises(MemoryError, match="bytes for a buffer"):
            Buffer(nbytes)
    assert buffers.stats().live_buffers == live.live_buffers
    assert buffers.stats().reserved_bytes == live.reserved_bytes


def test_many_different_sizes_cost_no_memory_of_their_own() -> None:
    for nbytes in range(1, 3 * buffers._MANY_SIZES):
        Buffer(nbytes)
    assert len(buffers._sizes) <= buffers._MANY_SIZES


def test_buffers_from_many_threads() -> None:
    start = buffers.stats()
    failures: list[object] = []
    shared: list[tuple[Buffer, int]] = []  # blocks that one thread makes and another gives back

    def churn(seed: int) -> None:
        random = np.random.default_rng(seed)
        mine: list[tuple[Buffer, int]] = []
        for step in range(3000):
            nbytes = int(random.choice([8, 64, 500, 5000, 40_000]))
            mark = (seed * 31 + step) % 251
            buffer = Buffer(nbytes)
            buffer.view(np.uint8, (nbytes,))[:] = mark
            (mine if step % 3 else shared).append((buffer, mark))
            for pile in (mine, shared):
                if len(pile) > 20:
                    try:
                        old, expected = pile.pop(0)
                    except IndexError:
                        continue
                    if not (old.view(np.uint8, (old.nbytes,)) == expected).all():
                        failures.append((old, expected))
            if step % 500 == 0:
                buffers.empty_cache()

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.clear()
    assert not failures
    end = buffers.stats()
    assert (end.live_buffers, end.live_bytes) == (start.live_buffers, start.live_bytes)


def test_a_cycle_with_a_buffer_is_collected() -> None:
    start = buffers.stats().live_buffers
    loop: list[object] = [Buffer(100)]
    loop.append(loop)
    del loop
    gc.collect()
    assert buffers.stats().live_buffers == start


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_write_into_its_parents_memory() -> None:
    for nbytes in (64, 1 << 16, 1 << 23):
        view = Buffer(nbytes).view(np.uint8, (nbytes,))
        view[:] = 1
        child = os.fork()
        if child == 0:
            view[:] = 2
            os._exit(0)
        os.waitpid(child, 0)
        assert (view == 1).all()


def test_the_end_of_the_interpreter_is_quiet() -> None:
    code = """
import numpy as np
from flambeau.runtime.buffers import Buffer, set_cache_limit
set_cache_limit(1 << 20)
kept = [Buffer(n) for n in (10, 1000, 100_000, 1 << 22)]
views = [b.view(np.uint8, (b.nbytes,)) for b in kept]
class Late:
    def __del__(self, make=Buffer):
        self.buffer = make(50)
late = Late()
late.me = late
late.views = views
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
