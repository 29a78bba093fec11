"""What runs in a worker process."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, NoReturn

from flambeau.data.channel import Channel, ClosedError
from flambeau.data.memory import to_arrays
from flambeau.runtime.threads import set_num_threads

_LOOK_SECONDS = 1.0  # how often a worker looks whether the loader's process is still there


def run(number: int, channel: Channel, inherited: Sequence[Channel], setup: Any, parent: int) -> None:
    """Prepare batches until told to stop; ``setup`` is the fetcher and the init function, or their pickle."""
    # Ctrl-C reaches every process of the terminal: the loader's process decides what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for other in inherited:
        other.close()
    set_num_threads(1)
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox, parent), daemon=True).start()
    try:
        _serve(number, channel, inbox, setup)
    except ClosedError:
        leave()


def leave() -> NoReturn:
    """End this process at once: what the loader's process has open is not this one's to close."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def _listen(channel: Channel, inbox: SimpleQueue[Any], parent: int) -> None:
    """Take messages from the socket so that the loader never waits to send; leave when it is gone."""
    from multiprocessing import connection

    def wait() -> None:
        while not connection.wait([channel], _LOOK_SECONDS):  # type: ignore[list-item]
            if os.getppid() != parent:
                leave()

    while True:
        try:
            message = channel.receive(wait)
        except (ClosedError, OSError):
            leave()
        if message[0] == "stop":
            leave()
        inbox.put(message)


def _serve(number: int, channel: Channel, inbox: SimpleQueue[Any], setup: Any) -> None:
    try:
        fetcher, init = pickle.loads(setup) if isinstance(setup, bytes) else setup
    except Exception as error:
        _report(channel, 0, "to start: its data set or functions could not be loaded", error)
        return _wait_to_be_stopped()
    if init is not None:
        try:
            init(number)
        except Exception as error:
            _report(channel, 0, "in worker_init_fn", error)
            return _wait_to_be_stopped()
    while True:
        kind, generation, *content = inbox.get()
        batch = -1
        try:
            if kind == "begin":
                fetcher.begin(*content)
                continue
            batch, indices = content
            made = to_arrays(fetcher.fetch(batch, indices))
        except Exception as error:
            _report(
                channel, generation, f"at batch {batch}" if kind == "fetch" else "to begin the epoch", error
            )
            continue
        try:
            channel.send(("batch", generation, made))
        except ClosedError:
            raise
        except Exception as error:
            _report(channel, generation, f"to send batch {batch}, which cannot be pickled", error)


def _report(channel: Channel, generation: int, during: str, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))
    try:
        pickled: bytes | None = pickle.dumps(error)
    except Exception:
        pickled = None
    channel.send(("failed", generation, (during, text, pickled)))


def _wait_to_be_stopped() -> None:
    threading.Event().wait()
