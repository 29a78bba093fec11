"""One pass over a loader's batches, in this process or with workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flambeau.data.fetch import EndOfStream, Fetcher
from flambeau.data.memory import to_tensors
from flambeau.errors import OperandError

if TYPE_CHECKING:
    from flambeau.data.workers import Workers

Tasks = Iterator[tuple[int, Any]]


class Iteration(Iterator[Any]):
    """The batches of one epoch from some number on.

    ``delivered(number)`` is called before batch ``number`` is handed out, ``ended()`` after the last;
    both say whether this is still the loader's latest pass.
    """

    def __init__(self, tasks: Tasks, delivered: Callable[[int], bool], ended: Callable[[], bool]) -> None:
        self._tasks = tasks
        self._delivered = delivered
        self._ended = ended
        self._done = False

    def __next__(self) -> Any:
        if self._done:
            raise StopIteration
        try:
            found = self._fetch()
        except BaseException:
            self._done = True
            self._close(failed=True)
            raise
        if found is None:
            self._done = True
            self._close(failed=False)
            self._ended()
            raise StopIteration
        number, batch = found
        self._delivered(number)
        return batch

    def _fetch(self) -> tuple[int, Any] | None:
        raise NotImplementedError

    def _close(self, failed: bool) -> None:
        pass


class SerialIteration(Iteration):
    """Prepares each batch when it is asked for."""

    def __init__(self, fetcher: Fetcher, seed: int, epoch: int, *rest: Any) -> None:
        super().__init__(*rest)
        self._fetcher = fetcher
        fetcher.begin(seed, epoch)

    def _fetch(self) -> tuple[int, Any] | None:
        for number, indices in self._tasks:
            made = self._fetcher.fetch(number, indices)
            return None if made is EndOfStream else (number, to_tensors(made, self._fetcher.owned))
        return None


class ParallelIteration(Iteration):
    """Keeps workers busy with the next batches and delivers them in order."""

    def __init__(
        self,
        workers: Workers,
        ahead: int,
        keep: bool,
        seed: int,
        epoch: int,
        latest: Callable[[], bool],
        *rest: Any,
    ) -> None:
        super().__init__(*rest)
        self._workers = workers
        self._keep = keep
        self._latest = latest
        self._ahead = ahead * len(workers.members)
        self._asked: list[int] = []
        workers.begin(seed, epoch)
        self._ask()

    def _ask(self) -> None:
        while len(self._asked) < self._ahead:
            task = next(self._tasks, None)
            if task is None:
                return
            self._workers.ask(*task)
            self._asked.append(task[0])

    def _fetch(self) -> tuple[int, Any] | None:
        if self._keep and not self._latest():
            raise OperandError(
                "DataLoader: another pass has begun; with persistent_workers there is one at a time"
            )
        self._ask()
        if not self._asked:
            return None
        number = self._asked.pop(0)
        made = self._workers.answer(number)
        if made is EndOfStream:
            return None
        self._ask()
        return number, to_tensors(made, owned=True)

    def _close(self, failed: bool) -> None:
        self._asked.clear()
        if failed and self._keep and not self._latest():
            return  # the workers belong to the later pass
        if failed or not self._keep:
            self._workers.stop()
