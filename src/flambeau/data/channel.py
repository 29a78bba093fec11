"""Messages between a loader and a worker process, with arrays in shared memory.

A message is pickled.  If its arrays are large, they lie in an anonymous file in memory whose
descriptor goes along with the message: it has no name that could be left behind, and the system frees
it with the last process that holds it, however that process ends.  The receiver reads it straight into
memory of the kind tensors use.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.data.memory import empty_array

_HEAD = struct.Struct("<QQQ")  # bytes of sizes, bytes of the pickle, whether a descriptor comes along
_SMALL = 1 << 16  # below this many bytes of arrays a file is not worth it
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_PIECE = 1 << 30  # what one system call is asked to write or read


class ClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end of a socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.shares = hasattr(socket, "send_fds") and sock.family == getattr(socket, "AF_UNIX", None)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self.socket.fileno()

    def close(self) -> None:
        """Let the other side see the end."""
        self.socket.close()

    def send(self, message: Any) -> None:
        """Send a message; raises ``ClosedError`` where nobody is there to receive it."""
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, 5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        try:
            if views and self.shares and sum(view.nbytes for view in views) >= _SMALL:
                self._send_shared(body, views)
            else:
                if views:
                    body = pickle.dumps(message, 5)
                self.socket.sendall(_HEAD.pack(0, len(body), 0) + body)
        except (BrokenPipeError, ConnectionResetError):
            raise ClosedError from None

    def _send_shared(self, body: bytes, views: list[memoryview]) -> None:
        sizes = np.array([view.nbytes for view in views], "<u8").tobytes()
        descriptor = _anonymous_file()
        try:
            for view in views:
                _write(descriptor, view)
            os.lseek(descriptor, 0, os.SEEK_SET)  # both sides share the position
            head = _HEAD.pack(len(sizes), len(body), 1)
            sent = socket.send_fds(self.socket, [head], [descriptor])
            self.socket.sendall(head[sent:] + sizes + body)
        finally:
            os.close(descriptor)

    def receive(self, wait: Callable[[], None]) -> Any:
        """The next message; ``wait`` returns when there is something to read, or raises.

        Raises ``ClosedError`` where the other side is gone.
        """
        head = bytearray()
        descriptors: list[int] = []
        try:
            while len(head) < _HEAD.size:
                wait()
                if self.shares:
                    piece, found, _, _ = socket.recv_fds(
                        self.socket, _HEAD.size - len(head), 1, _CLOSE_ON_EXEC
                    )
                    descriptors += found
                else:
                    piece = self.socket.recv(_HEAD.size - len(head))
                if not piece:
                    raise ClosedError
                head += piece
            size_bytes, body_bytes, _ = _HEAD.unpack(head)
            sizes = np.frombuffer(self._exactly(size_bytes, wait), "<u8").tolist()
            body = self._exactly(body_bytes, wait)
            buffers = [_read(descriptors[0], size) for size in sizes]
        except ConnectionResetError:
            raise ClosedError from None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return pickle.loads(body, buffers=buffers)

    def _exactly(self, count: int, wait: Callable[[], None]) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view.nbytes:
            wait()
            got = self.socket.recv_into(view)
            if not got:
                raise ClosedError
            view = view[got:]
        return data


def pair() -> tuple[Channel, Channel]:
    """Two connected ends."""
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("flambeau-batch", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:  # it has no name any more
        return os.dup(file.fileno())


def _write(descriptor: int, view: memoryview) -> None:
    while view.nbytes:
        view = view[os.write(descriptor, view[:_PIECE]) :]


def _read(descriptor: int, size: int) -> Any:
    """The next ``size`` bytes of the file, from where the last reader stopped."""
    array = empty_array((size,), np.dtype(np.uint8))
    view = array.data
    while view.nbytes:
        got = os.readv(descriptor, [view[:_PIECE]])
        if not got:
            raise ClosedError
        view = view[got:]
    return array
