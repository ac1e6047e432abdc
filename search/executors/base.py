"""What scores candidates, as the runner sees it: jobs go in, outcomes come out in the order of the jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from search.evaluating import ORDINARY, Ways
from search.front.results import Stage
from search.observer import Observer
from search.scoring import Outcome
from workloads.compress.config import CompressionConfig


@dataclass(frozen=True, kw_only=True)
class Job:
    """One candidate to be scored at one fidelity.

    Attributes:
        number: of the candidate, for messages.
        stage: of `Stage`.
        config: the candidate.
        seed: of the finetuning; PTQ needs none.
        ways: how, where not in full.
    """

    number: int
    stage: Stage
    config: CompressionConfig
    seed: int = 0
    ways: Ways = ORDINARY


class Executor(ABC):
    """Scores jobs. Close it, or use it in a `with` block."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Jobs that are best given at once."""

    @property
    def is_exact(self) -> bool:
        """A candidate scored again, alone, gives the same to the last bit."""
        return True

    @abstractmethod
    def run(self, jobs: Sequence[Job], observer: Observer) -> Iterator[tuple[Job, Outcome]]:
        """The outcome of every job, in the order of the jobs, whichever is finished first.

        A candidate that fails costs its own tries and no other's. Whoever stops iterating loses what was not
        yielded yet.

        Args:
            jobs: any number; `width` of them run at once.
            observer: is told of failures.

        Raises:
            Exception: of an evaluator, where it is no candidate's (`search.scoring.RECOVERABLE`).
        """

    def close(self) -> None:  # noqa: B027 - nobody to let go
        """Let everybody go, at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
