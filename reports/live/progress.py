"""A search as it runs: two live lines on a terminal, one log line per event elsewhere. Both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import safe_name
from reports import units
from reports.terminal.console import is_terminal, make_console, say
from reports.terminal.interrupts import check
from reports.terminal.tables import safe_text
from search.front.costs import in_tables
from search.observer import Observer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from search.front.results import Result
    from workloads.training import Accuracy, EpochRecord, MetricValue

LABELS = {
    "float": "float training",
    "table": "pricing layers",
    "sensitivity": "sensitivity",
    "ptq": "candidates, PTQ",
    "qat": "candidates, QAT",
    "test": "test split",
    "finetune": "finetuning",
}


def cost_text(result: Result) -> str:
    """`2.60 bits`, or the first cost that the result has."""
    cost = next((cost for cost in in_tables() if cost.key in result.costs), None)
    if cost is None:
        return "-"
    value = result.costs[cost.key]
    return f"{value:.2f} bits" if cost.shown[0] == "bit" else cost.written(value)


def front_text(front: tuple[Result, ...]) -> str:
    """The most accurate and the cheapest candidate of a front, cheapest first."""
    if not front:
        return ""
    best = max(front, key=lambda result: result.accuracy)
    cheapest = front[0]
    text = f"best {best.accuracy * 100:.1f} % @ {cost_text(best)}"
    if cheapest is best:
        return text
    return f"{text} │ cheapest {cheapest.accuracy * 100:.1f} % @ {cost_text(cheapest)}"


def epoch_text(record: EpochRecord, total: int) -> str:
    """`epoch 3/8 · loss 0.412 · train 91.2 % · validation 90.1 % · lr 0.03 · 4.20 s`."""
    scores = [("train", record.train_accuracy), ("validation", record.validation), ("EMA", record.ema_validation)]
    parts = [f"epoch {record.epoch}/{total}", f"loss {record.loss:.3g}"]
    parts += [f"{name} {_score_text(score)}" for name, score in scores if score is not None]
    return " · ".join([*parts, f"lr {record.lr:.2g}", units.seconds(record.wall_s)])


def _score_text(score: Accuracy | MetricValue) -> str:
    """An accuracy in percent; a metric by its name."""
    name = getattr(score, "name", "")
    return f"{name} {score.value:.4g}" if name else units.percent(score.value)


class State(Observer):
    """Where a run stands: stage, steps, front, failures, and the time that is left of the stage.

    Args:
        clock: gives seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.stage = ""
        self.done = self.total = self.first = 0
        self.failed = self.retried = 0
        self.share = 0.0
        self.last_epoch = ""
        self.front: tuple[Result, ...] = ()
        self._start = clock()

    def stage_started(self, stage: str, done: int, total: int) -> None:
        check()
        self.stage, self.done, self.total, self.first = stage, done, total, done
        self.front = ()
        self._start = self.clock()

    def step(self, stage: str, done: int, total: int) -> None:
        check()
        self.done, self.total = done, total

    def batch_done(self, stage: str, done: int, total: int) -> None:
        check()
        self.share = done / total

    def epoch_done(self, record: EpochRecord, total: int) -> None:
        check()
        self.last_epoch = epoch_text(record, total)

    def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
        check()
        self.done, self.total, self.front = done, total, front
        self.failed += not result.is_done

    def retrying(self, text: str) -> None:
        self.retried += 1
        super().retrying(text)

    @property
    def remaining_s(self) -> float | None:
        """Time left of the stage at its pace so far [s]; None before its first step."""
        steps = max(float(self.done), self.share * self.total) - self.first
        if steps <= 0 or self.total <= 0:
            return None
        return (self.clock() - self._start) / steps * max(0, self.total - self.first - steps)

    @property
    def failures(self) -> str:
        """`1 failed`, `2 retried`, or nothing."""
        parts = [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.retried} retried"] if self.retried else []
        return ", ".join(parts)


class LogObserver(State):
    """One line per candidate, and per tenth of the stages that score none."""

    def __init__(self, write: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._write = write
        self._tenth = 0

    def stage_started(self, stage: str, done: int, total: int) -> None:
        super().stage_started(stage, done, total)
        self._tenth = 0
        there = f", {done} there already" if done else ""
        self._write(f"{LABELS.get(stage, stage)}: {total} step{'s' if total != 1 else ''}{there}")

    def step(self, stage: str, done: int, total: int) -> None:
        super().step(stage, done, total)
        tenth = 10 * done // total if total else 10
        if stage != "finetune" and (tenth > self._tenth or total <= 10):
            self._tenth = tenth
            self._write(f"{LABELS.get(stage, stage)} {done}/{total}")

    def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
        super().candidate_done(result, done, total, front)
        score = f"{result.accuracy * 100:.2f} %" if result.is_done else f"failed: {safe_name(result.error)}"
        self._write(
            f"{result.stage} {done}/{total} · {score} @ {cost_text(result)} · {result.origin} · "
            f"{units.seconds(result.wall_s)} · front {len(front)}"
        )

    def epoch_done(self, record: EpochRecord, total: int) -> None:
        super().epoch_done(record, total)
        self._write(self.last_epoch)

    def message(self, text: str) -> None:
        self._write(safe_name(text))


class LiveObserver(State):
    """A bar and the front, redrawn in place; messages scroll above them."""

    def __init__(self, name: str, device: str, hint: str) -> None:
        super().__init__()
        self._name, self._device, self._hint = name, device, hint
        self.live: Live | None = None

    def message(self, text: str) -> None:
        if self.live is not None:
            self.live.console.print(safe_text(text, "yellow"))

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        remaining = self.remaining_s
        parts = [
            f"{self.done}/{self.total}",
            LABELS.get(self.stage, self.stage),
            self._device,
            f"front {len(self.front)}" if self.front else "",
            self.failures,
            f"ETA {units.duration(remaining)}" if remaining is not None else "",
        ]
        bar = Table.grid(padding=(0, 1, 0, 0))
        bar.add_row(
            safe_text(self._name, "bold"),
            ProgressBar(total=max(1, self.total), completed=max(self.done, self.share * self.total), width=20),
            safe_text(" · ".join(part for part in parts if part)),
        )
        safe = f"Ctrl-C is safe: {self._hint}" if self._hint else ""
        line = " │ ".join(part for part in (self.last_epoch or front_text(self.front), safe) if part)
        return Group(bar, safe_text(line, "dim"))


@contextmanager
def observing(name: str, *, device: str, hint: str) -> Iterator[Observer]:
    """The observer that suits stderr: live on a terminal, a log elsewhere.

    Args:
        name: of the run.
        device: that scores the candidates.
        hint: the command that resumes the run; "" where nothing does.
    """
    if not is_terminal(sys.stderr):
        yield LogObserver()
        return
    from rich.live import Live

    observer = LiveObserver(name, device, hint)
    options: dict[str, Any] = {"console": make_console(sys.stderr), "refresh_per_second": 4, "transient": True}
    with Live(observer, **options) as live:
        observer.live = live
        yield observer
