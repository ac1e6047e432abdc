"""The evaluator as the study sees it: two fidelities, retries, and scores that are checked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hwmodel.errors import ConfigError, HwModelError
from search.observer import Observer
from workloads.compress.config import CompressionConfig

#: What a single candidate may die of without ending the search: bad configurations, torch's RuntimeErrors
#: (out of memory among them), divisions, memory. Anything else is a bug and ends it.
RECOVERABLE = (HwModelError, RuntimeError, ArithmeticError, MemoryError)
ATTEMPTS = 2


class ScoreError(HwModelError):
    """An evaluator gave something that is no accuracy."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """An accuracy: `correct` of `total`, or a bare fraction in `score`."""

    correct: int = 0
    total: int = 0
    score: float | None = None

    @property
    def accuracy(self) -> float:
        if self.total:
            return self.correct / self.total
        return math.nan if self.score is None else self.score


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one candidate: a score, or the error of the last attempt.

    Attributes:
        score: None where every attempt failed.
        model: the finetuned module, None for PTQ.
        error: "" where it worked.
        wall_s: of all attempts [s].
    """

    score: Score | None
    model: Any = None
    error: str = ""
    wall_s: float = 0.0


@runtime_checkable
class PtqEvaluator(Protocol):
    """Scores a configuration without training: an `Accuracy` (`.correct`, `.total`) or a fraction."""

    def ptq(self, config: CompressionConfig, /) -> Any: ...


@runtime_checkable
class QatEvaluator(Protocol):
    """Scores a configuration after finetuning: (accuracy, module), or the accuracy alone."""

    def qat(self, config: CompressionConfig, seed: int, /) -> Any: ...


Evaluate = PtqEvaluator | Callable[[CompressionConfig], Any]


class Evaluator:
    """Wraps what the user gave as `evaluate`.

    Args:
        evaluate: an object with `.ptq(config)` and, for the second stage, `.qat(config, seed)`, such as
            `workloads.training.Scorer`; or a function of a configuration, which is the first stage alone.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        self._target: object = evaluate
        self.has_fidelities = isinstance(evaluate, PtqEvaluator)
        self.has_qat = isinstance(evaluate, QatEvaluator)
        if not self.has_fidelities and not callable(self._target):
            raise ConfigError(
                "evaluate: must be a function of a configuration or have .ptq(config), "
                f"but got {type(evaluate).__name__}."
            )

    def ptq(self, config: CompressionConfig, observer: Observer) -> Outcome:
        """Score at the first fidelity; a failure is tried once more."""
        target = self._target
        call: Any = target.ptq if isinstance(target, PtqEvaluator) else target
        return _attempt(lambda: (to_score(call(config)), None), observer)

    def qat(self, config: CompressionConfig, seed: int, observer: Observer) -> Outcome:
        """Score after finetuning; a failure is tried once more with the same seed.

        Raises:
            ConfigError: the evaluator has no second fidelity.
        """
        target = self._target
        if not isinstance(target, QatEvaluator):
            raise ConfigError("qat: evaluate has no .qat(config, seed). Use qat=0, or a Scorer.")

        def call() -> tuple[Score, Any]:
            answer = target.qat(config, seed)
            accuracy, model = answer if isinstance(answer, tuple) else (answer, None)
            return to_score(accuracy), model

        return _attempt(call, observer)


def _attempt(call: Callable[[], tuple[Score, Any]], observer: Observer) -> Outcome:
    start, message = time.perf_counter(), ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            score, model = call()
        except RECOVERABLE as error:
            message = f"{type(error).__name__}: {error}"
            if attempt < ATTEMPTS:
                observer.retrying(f"{message} (retrying)")
            else:
                observer.message(f"{message} (recorded as failed)")
        else:
            return Outcome(score=score, model=model, wall_s=time.perf_counter() - start)
    return Outcome(score=None, error=message, wall_s=time.perf_counter() - start)


def to_score(answer: Any) -> Score:
    """A `Score` from an accuracy object or a fraction.

    Raises:
        ScoreError: neither, not a number, or outside [0, 1].
    """
    if hasattr(answer, "correct") and hasattr(answer, "total"):
        correct, total = int(answer.correct), int(answer.total)
        if not (0 <= correct <= total and total > 0):
            raise ScoreError(
                f"accuracy: `0 <= correct <= total` must hold with total > 0, but got {correct}/{total}."
            )
        return Score(correct=correct, total=total)
    try:
        value = float(answer)
    except (TypeError, ValueError):
        raise ScoreError(f"accuracy: must be a fraction or hold correct and total, but got {answer!r}.") from None
    if not 0.0 <= value <= 1.0:  # also refuses nan
        raise ScoreError(f"accuracy: must lie in [0, 1], but got {value!r}.")
    return Score(score=value)
