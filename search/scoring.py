"""The evaluator as the study sees it: two fidelities, retries, a time limit, and scores that are checked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hwmodel.errors import ConfigError, HwModelError
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
    """

    accuracy: Measured | None
    model: Any = None
    error: str = ""
    wall_s: float = 0.0

    @property
    def value(self) -> float | None:
        """The accuracy as a fraction."""
        return self.accuracy.value if isinstance(self.accuracy, Accuracy) else self.accuracy


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
        timeout_s: a candidate that takes longer has failed [s]; None waits.
    """

    def __init__(self, evaluate: Evaluate, timeout_s: float | None = None) -> None:
        if timeout_s is not None and not 0 < timeout_s < math.inf:
            raise ConfigError(f"timeout: must be positive and finite, but got {timeout_s!r} s.")
        self._target: object = evaluate
        self._timeout_s = timeout_s
        self.has_fidelities = isinstance(evaluate, PtqEvaluator)
        self.has_qat = isinstance(evaluate, QatEvaluator)
        if not self.has_fidelities and not callable(self._target):
            raise ConfigError(
                "evaluate: must be a function of a configuration or have .ptq(config), "
                f"but got {type(evaluate).__name__}."
            )

    def ptq(self, config: CompressionConfig, observer: Observer) -> Outcome:
        """Score at the first fidelity; a failure that may pass is tried once more."""
        target = self._target
        call: Any = target.ptq if isinstance(target, PtqEvaluator) else target
        return self._attempt(lambda: (to_accuracy(call(config)), None), observer)

    def qat(self, config: CompressionConfig, seed: int, observer: Observer) -> Outcome:
        """Score after finetuning; a failure that may pass is tried once more with the same seed.

        Raises:
            ConfigError: the evaluator has no second fidelity.
        """
        target = self._target
        if not isinstance(target, QatEvaluator):
            raise ConfigError("qat: evaluate has no .qat(config, seed). Use qat=0, or a Scorer.")

        def call() -> tuple[Measured, Any]:
            answer = target.qat(config, seed)
            accuracy, model = answer if isinstance(answer, tuple) else (answer, None)
            return to_accuracy(accuracy), model

        return self._attempt(call, observer)

    def _attempt(self, call: Callable[[], tuple[Measured, Any]], observer: Observer) -> Outcome:
        start, message = time.perf_counter(), ""
        if self._timeout_s is not None and not can_limit():
            observer.message("timeout: not kept here: it needs the main thread of a POSIX system.")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with limited(self._timeout_s):
                    accuracy, model = call()
            except OutOfTimeError:
                message, may_pass = f"TimeoutError: took longer than {self._timeout_s:g} s", False
            except RECOVERABLE as error:
                message, may_pass = f"{type(error).__name__}: {error}", is_passing(error)
            else:
                return Outcome(accuracy=accuracy, model=model, wall_s=time.perf_counter() - start)
            if may_pass and attempt < ATTEMPTS:
                observer.retrying(f"{message} (retrying)")
            else:
                observer.message(f"{message} (recorded as failed)")
                break
        return Outcome(accuracy=None, error=message, wall_s=time.perf_counter() - start)


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
