"""What an executor offers: it prepares a graph once and runs it many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flambeau.errors import FlambeauError
from flambeau.graph.graph import Graph
from flambeau.graph.where import Where
from flambeau.runtime.buffers import Buffer


class Pending(Protocol):
    """Work that was submitted; nothing may assume that it is finished before ``wait`` returns.

    ``after``, where there is one, is called when the outputs have been taken.
    """

    after: Callable[[], None] | None

    def ready(self) -> bool:
        """Whether ``wait`` would return at once."""
        ...

    def wait(self) -> list[Buffer]:
        """The outputs; raises what the program raised, in which case nothing was changed."""
        ...


class Executable(Protocol):
    """A prepared graph."""

    def submit(self, inputs: Sequence[Any]) -> Pending:
        """Start with a ``Buffer`` or number for each input."""
        ...


class Executor(Protocol):
    """Turns graphs into executables."""

    name: str

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> Executable:
        """The last ``numbers`` inputs come as Python numbers; ``donated`` inputs may be overwritten.

        ``weights`` are inputs that will hold the same from run to run, as a rule: what depends on them
        alone may be kept with their buffers.
        """
        ...


class Done:
    """Work that was finished when it was submitted.

    ``after`` is to be called once the outputs have been taken: it raises an interrupt that came
    while inputs were being overwritten.
    """

    __slots__ = ("after", "outputs")

    def __init__(self, outputs: list[Buffer], after: Callable[[], None] | None = None) -> None:
        self.outputs = outputs
        self.after = after

    def ready(self) -> bool:
        return True

    def wait(self) -> list[Buffer]:
        return self.outputs


class NodeFailure(Exception):
    """Carries an error of a running program with the place its node was recorded at."""

    def __init__(self, error: FlambeauError, where: Where) -> None:
        super().__init__(str(error))
        self.error = error
        self.where = where
