"""What all executors with workers share: who gets which job, what a death or a hang costs, the order of answers.

One channel per worker and no lock between workers: whatever kills one of them, in the middle of a message too,
shows on its own channel alone. (In a pool of pebble 5.2 the workers share the locks of one pipe, so one that is
killed while it holds them stops the pool; loky and `concurrent.futures` give up the whole pool when one dies.)
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hwmodel.errors import ConfigError
from search.executors.base import Executor, Job
from search.executors.worker import Raised, Ready, Reply
from search.observer import Observer
from search.scoring import Attempt, Outcome, out_of_time, tell

#: So many workers in a row that end before they are ready stop the search: nothing would ever be scored.
STARTS = 3
#: Without any worker for so long [s], the observer is told.
_NOTICE_S = 60.0


class LostError(Exception):
    """A worker is no more; the text says how it ended."""


class Hand(Protocol):
    """One worker, seen from the driver. It begins by itself, and says when it is ready."""

    def give(self, job: Job) -> None:
        """Send a job; the worker has none. A worker that is gone is found out by `take`."""

    def take(self) -> Reply:
        """What it says; it has something to say, or is gone.

        Raises:
            LostError: it is gone.
        """

    def dismiss(self) -> None:
        """End it at once, with all that it started."""


@dataclass
class _Task:
    job: Job
    tries: int = 0
    wall_s: float = 0.0
    outcome: Outcome | None = None


@dataclass
class _Post:
    """A place for a worker, and who is there."""

    hand: Hand | None = None
    is_ready: bool = False
    task: _Task | None = None
    since: float = 0.0


class Crew(Executor):
    """Gives jobs to workers that are made when they are needed.

    A job belongs to nobody until a worker is ready for it. A worker that dies costs the job one try; so does a
    failure that may pass, and both are followed by a new worker, whose memory is its own. A worker that takes
    longer than the limit is ended, and its job has failed, as in this process.

    Args:
        workers: how many at once.
        timeout_s: for one try [s]; None waits.
    """

    def __init__(self, workers: int, timeout_s: float | None = None) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ConfigError(f"workers: must be an integer >= 1, but got {workers!r}.")
        if timeout_s is not None and not 0 < timeout_s < float("inf"):
            raise ConfigError(f"timeout: must be positive and finite, but got {timeout_s!r} s.")
        self._posts = [_Post() for _ in range(workers)]
        self._timeout_s = timeout_s
        self._failed_starts = 0
        self._waits_since = time.monotonic()

    @abstractmethod
    def _hire(self, number: int) -> Hand:
        """A new worker at a place, from 0."""

    @abstractmethod
    def _wait(self, hands: Sequence[Hand], timeout_s: float) -> list[Hand]:
        """Those that say something or are gone, as soon as there is one; none after `timeout_s` [s]."""

    @property
    def width(self) -> int:
        return len(self._posts)

    def run(self, jobs: Sequence[Job], observer: Observer) -> Iterator[tuple[Job, Outcome]]:
        tasks = [_Task(job) for job in jobs]
        queue = deque(tasks)
        self._waits_since = time.monotonic()
        try:
            for task in tasks:
                while task.outcome is None:
                    self._assign(queue, observer)
                    self._listen(queue, observer)
                yield task.job, task.outcome
                task.outcome = None  # a finetuned model is large
        finally:
            for post in self._posts:
                if post.task is not None:  # whose answer nobody waits for
                    self._vacate(post)

    def close(self) -> None:
        for post in self._posts:
            self._vacate(post)

    # ---- one turn ------------------------------------------------------------------------------

    def _assign(self, queue: deque[_Task], observer: Observer) -> None:
        """Jobs to those who are ready; new workers for the jobs that are left, while there is room."""
        for post in self._posts:
            if queue and post.hand is not None and post.is_ready and post.task is None:
                post.task, post.since = queue.popleft(), time.monotonic()
                post.task.tries += 1
                post.hand.give(post.task.job)
        starting = sum(post.hand is not None and not post.is_ready for post in self._posts)
        for number, post in enumerate(self._posts):
            if post.hand is None and starting < len(queue):
                post.hand = self._hire(number)
                starting += 1
        if any(post.is_ready for post in self._posts):
            self._waits_since = time.monotonic()
        elif time.monotonic() - self._waits_since > _NOTICE_S:
            observer.message(f"No worker has started for {_NOTICE_S:g} s: still waiting.")
            self._waits_since = float("inf")

    def _listen(self, queue: deque[_Task], observer: Observer) -> None:
        """Wait for somebody; then hear everybody who has something to say, and end those whose time is over."""
        posts = [post for post in self._posts if post.hand is not None]
        heard = self._wait([post.hand for post in posts if post.hand is not None], self._patience_s())
        for post in posts:
            if post.hand in heard:
                self._hear(post, queue, observer)
        for post in posts:
            if post.hand is not None and post.task is not None and self._left_s(post) <= 0:
                if self._wait([post.hand], 0):  # the driver was stopped for a while, not the worker
                    self._hear(post, queue, observer)
                else:
                    self._lose(post, out_of_time(self._timeout_s or 0.0), queue, observer, may_pass=False)

    def _hear(self, post: _Post, queue: deque[_Task], observer: Observer) -> None:
        if post.hand is None:
            return
        try:
            reply = post.hand.take()
        except LostError as lost:
            self._lose(post, f"WorkerDied: {lost}", queue, observer)
            return
        if isinstance(reply, Ready):
            post.is_ready, self._failed_starts = True, 0
        elif isinstance(reply, Raised):
            self._vacate(post)
            reply.again()
        elif post.task is not None:
            task, post.task = post.task, None
            if reply.may_pass:  # its memory, or its device, is not what it was
                self._vacate(post)
            self._settle(task, reply, queue, observer)

    def _lose(
        self, post: _Post, error: str, queue: deque[_Task], observer: Observer, *, may_pass: bool = True
    ) -> None:
        """A worker is gone, or is to go; its job, if it had one, has failed this time."""
        task, was_ready = post.task, post.is_ready
        wall_s = time.monotonic() - post.since
        self._vacate(post)
        if task is not None:
            failed = Attempt(outcome=Outcome(accuracy=None, error=error, wall_s=wall_s), may_pass=may_pass)
            self._settle(task, failed, queue, observer)
            return
        observer.message(f"{error} (it had no candidate; another worker takes its place)")
        if not was_ready:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                raise ConfigError(
                    f"workers: {STARTS} in a row ended before they were ready; the last: {error}. In Python a "
                    "script that uses workers must begin under `if __name__ == '__main__':`."
                )

    def _settle(self, task: _Task, tried: Attempt, queue: deque[_Task], observer: Observer) -> None:
        """What becomes of a job after a try."""
        task.wall_s += tried.outcome.wall_s
        is_failed = tried.outcome.accuracy is None
        if is_failed and tell(tried, task.tries, observer, f"Candidate {task.job.number}: "):
            queue.appendleft(task)
        else:
            task.outcome = replace(tried.outcome, wall_s=task.wall_s)

    # ---- posts ---------------------------------------------------------------------------------

    def _vacate(self, post: _Post) -> None:
        hand, post.hand, post.task, post.is_ready = post.hand, None, None, False
        if hand is not None:
            hand.dismiss()

    def _left_s(self, post: _Post) -> float:
        """Until the time of its job is over [s]."""
        return float("inf") if self._timeout_s is None else self._timeout_s - (time.monotonic() - post.since)

    def _patience_s(self) -> float:
        """How long nothing needs to be looked at [s]."""
        return max(0.0, min([_NOTICE_S, *(self._left_s(post) for post in self._posts if post.task is not None)]))
