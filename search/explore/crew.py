"""Who looks at designs and prices them: this process, or several beside it, each with what it has found before.

Every worker is asked for the designs of its own outlines first, since these share their mappings; one that has
nothing left takes from the end of the longest queue. A worker ends with its pipe, so none outlives the driver; it
hears no Ctrl-C.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing as mp
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from hwmodel.chip.sweep.space import DesignSpace, Ranges
from hwmodel.errors import ConfigError, HwModelError
from hwmodel.mapper.free import Objective
from hwmodel.network.graph import LayerGraph
from search.executors.processes import ending, interrupts_blocked
from search.executors.worker import Raised
from search.explore.pricing import Pricer, Widths


class WorkerLostError(HwModelError):
    """A worker ended that was not asked to (killed, out of memory)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a pricer is made of, in a form that another process can be given.

    Attributes:
        path: of the chip file.
        ranges: given beside it.
        place: of those, for messages.
        graphs: of the networks, as JSON.
        optimize, widths, fuse: as for `Pricer`.
        text: hash of the chip file: it must not change under way.
    """

    path: Path
    ranges: Ranges | None
    place: str
    graphs: tuple[str, ...]
    optimize: Objective
    widths: Widths
    fuse: bool
    text: str

    def pricer(self) -> Pricer:
        """The pricer.

        Raises:
            ConfigError: the chip file has changed.
        """
        space = DesignSpace(self.path, self.ranges, place=self.place)
        if text_hash(space) != self.text:
            raise ConfigError(f"{self.path}: has changed since the exploration began. Start again.")
        graphs = [LayerGraph.from_json(text) for text in self.graphs]
        return Pricer(space, graphs, optimize=self.optimize, widths=self.widths, fuse=self.fuse)


def text_hash(space: DesignSpace) -> str:
    """Of the chip file of a space, 16 hex digits."""
    return hashlib.sha256(space.document.text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Errand:
    """One call of a pricer.

    Attributes:
        method: of `Pricer`.
        arguments: of it.
        outline: errands with the same go to the same worker, if it has time.
    """

    method: str
    arguments: tuple[Any, ...]
    outline: str = ""


class Crew(Protocol):
    """Does errands."""

    def run(self, errands: Sequence[Errand]) -> Iterator[tuple[int, Any]]:
        """The answers as they come, each with the position of its errand."""

    def close(self) -> None:
        """Nobody is asked any more."""


class Alone:
    """This process."""

    def __init__(self, recipe: Recipe) -> None:
        self._pricer = recipe.pricer()

    def run(self, errands: Sequence[Errand]) -> Iterator[tuple[int, Any]]:
        for index, errand in enumerate(errands):
            yield index, getattr(self._pricer, errand.method)(*errand.arguments)

    def close(self) -> None:
        """Nothing is to be done."""


class Processes:
    """Several processes.

    Args:
        recipe: of the pricer of each.
        jobs: how many.
    """

    def __init__(self, recipe: Recipe, jobs: int) -> None:
        context = mp.get_context("spawn")
        self._workers: list[tuple[BaseProcess, Connection]] = []
        self._homes: dict[str, int] = {}
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(recipe, theirs), daemon=True)
            with _one_thread(), interrupts_blocked():
                process.start()
            theirs.close()
            self._workers.append((process, ours))

    def run(self, errands: Sequence[Errand]) -> Iterator[tuple[int, Any]]:
        queues = self._queues(errands)
        busy: dict[Connection, int] = {}
        for number in range(len(self._workers)):
            self._give(number, queues, errands, busy)
        while busy:
            for connection in wait(list(busy)):
                number = next(n for n, (_, own) in enumerate(self._workers) if own is connection)
                try:
                    answer = self._workers[number][1].recv()
                except (EOFError, OSError):
                    raise self._lost(number) from None
                if isinstance(answer, Raised):
                    answer.again()
                index = busy.pop(self._workers[number][1])
                self._give(number, queues, errands, busy)
                yield index, answer

    def close(self) -> None:
        for process, connection in self._workers:
            connection.close()
            process.terminate()
            process.join()

    def _queues(self, errands: Sequence[Errand]) -> list[deque[int]]:
        """Who is to do what: an outline stays where it was, a new one goes to the shortest queue."""
        queues: list[deque[int]] = [deque() for _ in self._workers]
        for index, errand in enumerate(errands):
            shortest = min(range(len(queues)), key=lambda n: len(queues[n]))
            home = self._homes.setdefault(errand.outline, shortest) if errand.outline else shortest
            queues[home].append(index)
        return queues

    def _give(
        self, number: int, queues: Sequence[deque[int]], errands: Sequence[Errand], busy: dict[Connection, int]
    ) -> None:
        """The next errand of a worker, or the last one of the longest queue."""
        longest = max(queues, key=len)
        if not longest:
            return
        index = queues[number].popleft() if queues[number] else longest.pop()
        connection = self._workers[number][1]
        try:
            connection.send(errands[index])
        except OSError:
            raise self._lost(number) from None
        busy[connection] = index

    def _lost(self, number: int) -> WorkerLostError:
        process = self._workers[number][0]
        process.join(1.0)
        return WorkerLostError(
            f"worker {number} {ending(process.exitcode)}. What was priced is kept: start the same command again, "
            "with fewer --jobs if the memory is full."
        )


def make_crew(recipe: Recipe, jobs: int) -> Crew:
    """Those who do the work.

    Raises:
        ConfigError: jobs is below 1.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ConfigError(f"jobs: must be an integer >= 1, but got {jobs!r}.")
    return Alone(recipe) if jobs == 1 else Processes(recipe, jobs)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Within it a process that is started takes one core, unless the environment says otherwise."""
    all_names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    names = [name for name in all_names if name not in os.environ]
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def _serve(recipe: Recipe, connection: Connection) -> None:
    """What a worker does: errands until the pipe ends."""
    pricer: Pricer | None = None
    while True:
        try:
            errand: Errand = connection.recv()
        except (EOFError, OSError):
            return
        answer: Any
        try:
            pricer = pricer or recipe.pricer()
            answer = getattr(pricer, errand.method)(*errand.arguments)
        except Exception as error:  # it is raised in the driver
            answer = Raised.by(error)
        try:
            connection.send(answer)
        except OSError:
            return
