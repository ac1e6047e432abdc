"""The evaluator as the study sees it: two fidelities, retries, a time limit, and scores that are checked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwmodel.errors import ConfigError, HwModelError
from search.evaluating import (
    ORDINARY,
    BatchEvaluator,
    Evaluate,
    Hits,
    PtqEvaluator,
    QatEvaluator,
    ShortEvaluator,
    SubsetEvaluator,
    Watch,
    WatchedEvaluator,
    Ways,
)
from search.front.results import Stage
from search.guard.deadline import OutOfTimeError, can_limit, limited
from search.observer import Observer
from workloads.compress.config import CompressionConfig
from workloads.training.accuracy import Accuracy

#: What a single candidate may die of without ending the search: bad configurations, torch's RuntimeErrors
#: (out of memory among them), divisions, memory. Anything else is a bug and ends it.
RECOVERABLE = (HwModelError, RuntimeError, ArithmeticError, MemoryError)
#: Memory that others hold now may be free in a moment, and a device may recover. Everything else (shapes, a loss
#: that is not finite, a configuration that does not fit) follows from the candidate and its seed.
ATTEMPTS = 2
_PASSING = ("out of memory", "cuda error", "cudnn", "cublas", "nccl", "can't allocate memory")


class ScoreError(HwModelError):
    """An evaluator gave something that is no accuracy."""


#: What an evaluator measured: a count, or a bare fraction whose count is not known.
Measured = Accuracy | float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one candidate: its accuracy, or the error of the last attempt.

    Attributes:
        accuracy: None where every attempt failed.
        model: the finetuned module, None for PTQ.
        error: "" where it worked.
        wall_s: of all attempts [s].
        hits: which images were right, in a fixed order (n,); None where only the accuracy was asked for.
        share: of a full run after which it was ended early; 1 is its end.
        curve: share of a full run, as text -> accuracy, where it was looked at.
    """

    accuracy: Measured | None
    model: Any = None
    error: str = ""
    wall_s: float = 0.0
    hits: Hits | None = None
    share: float = 1.0
    curve: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The accuracy as a fraction."""
        return self.accuracy.value if isinstance(self.accuracy, Accuracy) else self.accuracy


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at one candidate.

    Attributes:
        outcome: of this try.
        may_pass: it failed, and the same candidate may succeed when it is tried again.
    """

    outcome: Outcome
    may_pass: bool = False


class Evaluator:
    """Wraps what the user gave as `evaluate`.

    Args:
        evaluate: an object with `.ptq(config)` and, for the second stage, `.qat(config, seed)`, such as
            `workloads.training.Scorer`; or a function of a configuration, which is the first stage alone.
        timeout_s: a candidate that takes longer has failed [s]; None waits.
    """

    def __init__(self, evaluate: Evaluate, timeout_s: float | None = None) -> None:
        if timeout_s is not None and not 0 < timeout_s < math.inf:
            raise ConfigError(f"timeout: must be positive and finite, but got {timeout_s!r} s.")
        self._target: object = evaluate
        self._timeout_s = timeout_s
        self.has_fidelities = isinstance(evaluate, PtqEvaluator)
        self.has_qat = isinstance(evaluate, QatEvaluator)
        self.has_short = isinstance(evaluate, ShortEvaluator)
        self.has_watched = isinstance(evaluate, WatchedEvaluator)
        if not self.has_fidelities and not callable(self._target):
            raise ConfigError(
                "evaluate: must be a function of a configuration or have .ptq(config), "
                f"but got {type(evaluate).__name__}."
            )

    @property
    def batch_size(self) -> int:
        """Finetunings that the evaluator makes best at once; 1 where it has no `qat_many`."""
        return int(getattr(self._target, "batch_size", 1)) if isinstance(self._target, BatchEvaluator) else 1

    @property
    def num_images(self) -> int:
        """Images that can be scored in part; 0 where only all of them can."""
        return self._target.num_images() if isinstance(self._target, SubsetEvaluator) else 0

    def ptq(self, config: CompressionConfig, observer: Observer, ways: Ways = ORDINARY) -> Outcome:
        """Score at the first fidelity; a failure that may pass is tried once more."""
        return self._tried("ptq", config, 0, observer, ways)

    def qat(self, config: CompressionConfig, seed: int, observer: Observer, ways: Ways = ORDINARY) -> Outcome:
        """Score after finetuning; a failure that may pass is tried once more with the same seed.

        Raises:
            ConfigError: the evaluator has no second fidelity, or none of these ways.
        """
        return self._tried("qat", config, seed, observer, ways)

    def attempt(self, stage: Stage, config: CompressionConfig, seed: int, ways: Ways = ORDINARY) -> Attempt:
        """Score once.

        Raises:
            ConfigError: the evaluator has no second fidelity.
            Exception: whatever is not `RECOVERABLE`.
        """
        call = self._call(stage, config, seed, ways)
        start = time.perf_counter()
        try:
            with limited(self._timeout_s):
                found = call()
        except OutOfTimeError:
            error, may_pass = out_of_time(self._timeout_s or 0.0), False
        except RECOVERABLE as failure:
            error, may_pass = f"{type(failure).__name__}: {failure}", is_passing(failure)
        else:
            return Attempt(outcome=replace(found, wall_s=time.perf_counter() - start))
        return Attempt(
            outcome=Outcome(accuracy=None, error=error, wall_s=time.perf_counter() - start), may_pass=may_pass
        )

    def attempt_many(self, configs: Sequence[CompressionConfig], seeds: Sequence[int]) -> list[Attempt]:
        """Finetune several once, as one: an attempt each; together they have the time that they have apart.

        Raises:
            ConfigError: the evaluator has no `qat_many`, or it gave another number of answers.
            OutOfTimeError: they took longer.
            Exception: what it raised as a whole; of one candidate, whatever is not `RECOVERABLE`.
        """
        target = self._target
        if not isinstance(target, BatchEvaluator):
            raise ConfigError("qat: evaluate has no .qat_many(configs, seeds).")
        start = time.perf_counter()
        with limited(None if self._timeout_s is None else self._timeout_s * len(configs)):
            answers = list(target.qat_many(configs, seeds))
        if len(answers) != len(configs):
            raise ConfigError(f"qat_many: must answer for {len(configs)} configurations, but gave {len(answers)}.")
        wall_s = (time.perf_counter() - start) / len(configs)
        return [_one_of_many(answer, wall_s) for answer in answers]

    def _call(self, stage: Stage, config: CompressionConfig, seed: int, ways: Ways) -> Callable[[], Outcome]:
        target, is_enough, watch = self._target, ways.is_enough, ways.watch
        if stage == "ptq" and is_enough is not None:
            if not isinstance(target, SubsetEvaluator):
                raise ConfigError("subsets: evaluate has no .ptq_hits(config, is_enough). Use subsets=False.")
            return lambda: _with_hits(target.ptq_hits(config, is_enough))
        if stage == "ptq":
            call: Any = target.ptq if isinstance(target, PtqEvaluator) else target
            return lambda: replace(_with_model(call(config)), model=None)
        if ways.share < 1:
            if not isinstance(target, ShortEvaluator):
                raise ConfigError("rungs: evaluate has no .qat_short(config, seed, share, start). Use no rungs.")
            return lambda: _with_model(target.qat_short(config, seed, ways.share, ways.start))
        if watch is not None:
            if not isinstance(target, WatchedEvaluator):
                raise ConfigError(
                    "stop_at: evaluate has no .qat_watched(config, seed, shares, stop). Use no stop_at."
                )
            return lambda: _watched(target, config, seed, watch)
        if not isinstance(target, QatEvaluator):
            raise ConfigError("qat: evaluate has no .qat(config, seed). Use qat=0, or a Scorer.")
        return lambda: _with_model(target.qat(config, seed))

    def _tried(
        self,
        stage: Stage,
        config: CompressionConfig,
        seed: int,
        observer: Observer,
        ways: Ways,
    ) -> Outcome:
        if self._timeout_s is not None and not can_limit():
            observer.message("timeout: not kept here: it needs the main thread of a POSIX system.")
        wall_s = 0.0
        for number in range(1, ATTEMPTS + 1):
            tried = self.attempt(stage, config, seed, ways)
            wall_s += tried.outcome.wall_s
            if tried.outcome.accuracy is not None or not tell(tried, number, observer):
                break
        return replace(tried.outcome, wall_s=wall_s)


def tell(tried: Attempt, number: int, observer: Observer, who: str = "") -> bool:
    """Tell of a failed attempt: whether the candidate is tried again.

    Args:
        tried: an attempt that failed.
        number: of the attempt, from 1.
        observer: is told.
        who: begins what is said.
    """
    again = tried.may_pass and number < ATTEMPTS
    if again:
        observer.retrying(f"{who}{tried.outcome.error} (retrying)")
    else:
        observer.message(f"{who}{tried.outcome.error} (recorded as failed)")
    return again


def out_of_time(limit_s: float) -> str:
    """The error of a candidate that took longer than `limit_s` [s]."""
    return f"TimeoutError: took longer than {limit_s:g} s"


def _with_model(answer: Any) -> Outcome:
    accuracy, model = answer if isinstance(answer, tuple) else (answer, None)
    return Outcome(accuracy=to_accuracy(accuracy), model=model)


def _watched(target: WatchedEvaluator, config: CompressionConfig, seed: int, watch: Watch) -> Outcome:
    """A full run, or as much of it as it was worth."""
    curve: dict[str, float] = {}
    stopped: list[float] = []

    def stop(share: float, accuracy: Any) -> bool:
        measured = to_accuracy(accuracy)
        value = measured.value if isinstance(measured, Accuracy) else measured
        curve[f"{share:g}"] = value
        if value < watch.least[share]:
            stopped.append(share)
        return bool(stopped)

    found = _with_model(target.qat_watched(config, seed, tuple(watch.least), stop))
    return replace(found, model=None, share=stopped[0], curve=curve) if stopped else replace(found, curve=curve)


def _with_hits(answer: Any) -> Outcome:
    hits = np.asarray(answer)
    if hits.dtype != np.bool_ or hits.ndim != 1 or not len(hits):
        raise ScoreError(
            f"hits: must be one boolean per image, but got {hits.dtype} of the shape {hits.shape}. Compare labels."
        )
    return Outcome(accuracy=Accuracy(correct=int(hits.sum()), total=len(hits)), hits=hits)


def _one_of_many(answer: Any, wall_s: float) -> Attempt:
    try:
        if isinstance(answer, BaseException):
            raise answer
        found = _with_model(answer)
    except RECOVERABLE as failure:
        outcome = Outcome(accuracy=None, error=f"{type(failure).__name__}: {failure}", wall_s=wall_s)
        return Attempt(outcome=outcome, may_pass=is_passing(failure))
    return Attempt(outcome=replace(found, wall_s=wall_s))


def is_passing(error: BaseException) -> bool:
    """The same candidate may succeed when it is tried again."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _PASSING)


def to_accuracy(answer: Any) -> Measured:
    """What an evaluator answered, checked: an accuracy object or a fraction.

    Raises:
        ScoreError: neither, not a number, or outside [0, 1].
    """
    if hasattr(answer, "correct") and hasattr(answer, "total"):
        try:
            return Accuracy(correct=int(answer.correct), total=int(answer.total))
        except ConfigError as error:
            raise ScoreError(f"accuracy: {error}") from None
    try:
        value = float(answer)
    except (TypeError, ValueError):
        raise ScoreError(f"accuracy: must be a fraction or hold correct and total, but got {answer!r}.") from None
    if not 0.0 <= value <= 1.0:  # also refuses nan
        raise ScoreError(f"accuracy: must lie in [0, 1], but got {value!r}.")
    return value


def accuracy_fields(accuracy: Measured | None) -> dict[str, Any]:
    """`correct`, `total` and `score` as the files of a run hold them: 0 of 0 where there is no count."""
    if isinstance(accuracy, Accuracy):
        return {"correct": accuracy.correct, "total": accuracy.total, "score": None}
    return {"correct": 0, "total": 0, "score": accuracy}


def accuracy_of(fields: Mapping[str, Any]) -> Measured | None:
    """Inverse of `accuracy_fields`; other fields are left alone."""
    if fields["total"]:
        return Accuracy(correct=fields["correct"], total=fields["total"])
    score: float | None = fields["score"]
    return score
