"""Who watches a search. Override what you want to draw; nothing here prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from search.front.results import Result

if TYPE_CHECKING:
    from workloads.training import EpochRecord

#: Stages in the order of a run, as passed to `stage_started`.
STAGES = ("float", "table", "sensitivity", "ptq", "qat", "test")


class Observer:
    """Receives the events of a run; every method does nothing here."""

    def stage_started(self, stage: str, done: int, total: int) -> None:
        """A stage of `STAGES` begins; `done` of `total` steps are there already (a resumed run)."""

    def step(self, stage: str, done: int, total: int) -> None:
        """One step of a stage that scores no candidate is over (an epoch, a priced layer, a test run)."""

    def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
        """A candidate is in the ledger: `done` of `total` in its stage; `front` is that of the stage."""

    def batch_done(self, stage: str, done: int, total: int) -> None:
        """A training step of `finetune` is over, of `total` in all its epochs."""

    def epoch_done(self, record: EpochRecord, total: int) -> None:
        """An epoch of `finetune` is over, of `total`."""

    def retrying(self, text: str) -> None:
        """A candidate failed, as the text says, and is tried once more."""
        self.message(text)

    def message(self, text: str) -> None:
        """Something a user should know."""


class _Callback(Observer):
    def __init__(self, call: Callable[[Result], object]) -> None:
        self._call = call

    def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
        self._call(result)


def as_observer(progress: Observer | Callable[[Result], object] | None) -> Observer:
    """An observer from an observer, a function of each result, or nothing."""
    if progress is None:
        return Observer()
    return progress if isinstance(progress, Observer) else _Callback(progress)
