"""Candidates scored here, one after another, or as one batch where the evaluator can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from search.evaluating import ORDINARY
from search.executors.base import Executor, Job
from search.guard.deadline import OutOfTimeError
from search.observer import Observer
from search.scoring import RECOVERABLE, Attempt, Evaluator, Outcome, tell


class InProcess(Executor):
    """Scores in this process.

    Finetunings go through `qat_many` of the evaluator, `batch_size` at once, where it has one. A batch that fails
    as a whole (out of memory, out of time) is scored again candidate by candidate, so each is judged by itself.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    @property
    def width(self) -> int:
        return self._evaluator.batch_size

    @property
    def is_exact(self) -> bool:
        """Candidates that train as one give what they give alone up to rounding."""
        return self.width == 1

    def run(self, jobs: Sequence[Job], observer: Observer) -> Iterator[tuple[Job, Outcome]]:
        at = 0
        while at < len(jobs):
            batch = self._batch(jobs[at:])
            yield from zip(batch, self._scored(batch, observer), strict=True)
            at += len(batch)

    def _batch(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """The next jobs that are one call: finetunings in a row, or the first."""
        count = 0
        while count < min(len(jobs), self.width) and _is_plain(jobs[count]):
            count += 1
        return jobs[: max(count, 1)]

    def _scored(self, batch: Sequence[Job], observer: Observer) -> Iterator[Outcome]:
        if len(batch) == 1:
            yield self._alone(batch[0], observer)
            return
        try:
            attempts = self._evaluator.attempt_many([job.config for job in batch], [job.seed for job in batch])
        except (OutOfTimeError, *RECOVERABLE) as error:
            reason = "out of time" if isinstance(error, OutOfTimeError) else f"{type(error).__name__}: {error}"
            observer.message(f"{len(batch)} finetunings as one: {reason} (each is tried alone)")
            yield from (self._alone(job, observer) for job in batch)
            return
        for job, tried in zip(batch, attempts, strict=True):
            yield self._settled(job, tried, observer)

    def _settled(self, job: Job, tried: Attempt, observer: Observer) -> Outcome:
        """The outcome of a candidate of a batch; a failure that may pass is tried once more, alone."""
        if tried.outcome.accuracy is not None or not tell(tried, 1, observer):
            return tried.outcome
        again = self._evaluator.attempt(job.stage, job.config, job.seed, job.ways)
        if again.outcome.accuracy is None:
            tell(again, 2, observer)
        return replace(again.outcome, wall_s=tried.outcome.wall_s + again.outcome.wall_s)

    def _alone(self, job: Job, observer: Observer) -> Outcome:
        if job.stage == "ptq":
            return self._evaluator.ptq(job.config, observer, job.ways)
        return self._evaluator.qat(job.config, job.seed, observer, job.ways)


def _is_plain(job: Job) -> bool:
    """A full finetuning that nobody watches: it may be one of a batch."""
    return job.stage == "qat" and job.ways == ORDINARY
