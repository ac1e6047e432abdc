"""One scored candidate: what the ledger holds, one JSON object per line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from hwmodel.chip.records import read_record
from hwmodel.errors import ConfigError
from workloads.training.accuracy import Accuracy, Interval

if TYPE_CHECKING:
    import pandas as pd

#: `short`: finetuned for a share of the epochs; `warm`: that, from the weights of another candidate. What is
#: reported is never one of these two.
Stage = Literal["ptq", "short", "warm", "qat"]
#: Stages of less than a full run.
LESS: tuple[Stage, ...] = ("short", "warm")
Status = Literal["done", "failed"]

#: Where a candidate came from. `user`: given by hand. `uniform`: the same bits everywhere. `sampler`: proposed by
#: the sampler of the study. `companion`: the PTQ score beside a QAT run. `promoted`: a full run after a short one.
#: Those of earlier versions: `sensitivity`, `promoted` and `mutation` (in either stage).
Origin = Literal["uniform", "sampler", "user", "companion", "promoted", "sensitivity", "mutation"]
PROMOTED: Literal["promoted"] = "promoted"

#: Origins of PTQ results that a QAT run asked for: they are no trials.
COMPANIONS: tuple[Origin, ...] = ("companion", "mutation")

CHECKPOINTS = "checkpoints"
#: The only files that a ledger may name: they are removed once others dominate the candidate.
_CHECKPOINT = re.compile(rf"{CHECKPOINTS}/\d{{4,}}-[0-9a-f]+\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Result:
    """The score of one candidate at one fidelity.

    Attributes:
        number: position in the ledger, from 0.
        stage: fidelity, one of `Stage`.
        point: the candidate in its space, {parameter: value}.
        config: the candidate as `CompressionConfig.to_dict()`.
        key: hash of the configuration; the same candidate has the same key in both stages.
        status: `done` or `failed`.
        error: why it failed, else "".
        correct, total: images right and images seen on the validation split; 0 and 0 where the
            evaluator gave a bare fraction.
        score: that fraction, else None.
        seed: of the finetuning (QAT); 0 for PTQ.
        costs: `Cost.key` -> value of every cost of `search.front.costs`; without an accelerator of those that
            need none.
        wall_s: time that scoring took [s].
        checkpoint: path of the weights relative to the run folder, or "". The file of a candidate
            that others dominate is removed.
        checkpoint_hash: of the content of that file (`workloads.storage.weights.read_hash`), or "".
        origin: who proposed it.
        share: of the epochs of a full run, for `short` and `warm`.
        curve: share of a full run, as text -> validation accuracy after it, where it was looked at; one that was
            ended early is `short`.
    """

    number: int
    stage: Stage
    point: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    key: str
    status: Status = "done"
    error: str = ""
    correct: int = 0
    total: int = 0
    score: float | None = None
    seed: int = 0
    costs: Mapping[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    checkpoint: str = ""
    checkpoint_hash: str = ""
    origin: Origin = "sampler"
    share: float = 1.0
    curve: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("stage", Stage), ("status", Status), ("origin", Origin)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(
                    f"result {self.number}: {name} must be among {', '.join(get_args(kind))}, "
                    f"but got {getattr(self, name)!r}."
                )
        if not 0 <= self.correct <= self.total:
            raise ConfigError(
                f"result {self.number}: `0 <= correct <= total` must hold, "
                f"but got correct={self.correct}, total={self.total}."
            )
        if self.score is not None and not 0 <= self.score <= 1:
            raise ConfigError(f"result {self.number}: score must lie in [0, 1], but got {self.score!r}.")
        for name in ("number", "seed", "wall_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"result {self.number}: {name} must be >= 0, but got {getattr(self, name)!r}.")
        if not 0 < self.share <= 1 or (self.share < 1) != (self.stage in LESS):
            raise ConfigError(
                f"result {self.number}: share must be below 1 for {' and '.join(LESS)}, and else 1, but got "
                f"{self.share!r} for {self.stage}."
            )
        if not all(0 <= value <= 1 for value in self.curve.values()):
            raise ConfigError(f"result {self.number}: curve must lie in [0, 1], but got {dict(self.curve)}.")
        if self.checkpoint and not _CHECKPOINT.fullmatch(self.checkpoint):
            raise ConfigError(
                f"result {self.number}: checkpoint must be {CHECKPOINTS}/NUMBER-KEY.safetensors in the run folder, "
                f"but got {self.checkpoint!r}."
            )

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    @property
    def is_baseline(self) -> bool:
        """The same bits everywhere, finetuned as the candidates of the search were."""
        return self.is_done and self.stage == "qat" and self.origin == "uniform"

    @property
    def is_stopped(self) -> bool:
        """A full run that was ended early: short runs are not looked at on their way."""
        return self.stage in LESS and bool(self.curve)

    @property
    def accuracy(self) -> float:
        """Validation accuracy in [0, 1]; nan for a failed candidate."""
        if self.total:
            return Accuracy(correct=self.correct, total=self.total).value
        return math.nan if self.score is None else self.score

    @property
    def interval(self) -> Interval | None:
        """Of the accuracy, at 95 %; None for a bare fraction, whose count is not known."""
        return Accuracy(correct=self.correct, total=self.total).interval if self.total else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `share` and `curve` where they say something."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        if self.share == 1:
            del data["share"]
        if not self.curve:
            del data["curve"]
        return {key: dict(value) if isinstance(value, Mapping) else value for key, value in data.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a field is missing, unknown or out of range.
        """
        return read_record(cls, data)


def interval_columns(name: str, interval: Interval | None) -> dict[str, float]:
    """`NAME_low` and `NAME_high`, as tables name the ends of an interval; nan where there is none."""
    low, high = (math.nan, math.nan) if interval is None else (interval.low, interval.high)
    return {f"{name}_low": low, f"{name}_high": high}


def ties_of(result: Result, others: Sequence[Result]) -> tuple[int, ...]:
    """Numbers of the other results whose accuracy ties with that of `result`: their intervals overlap.

    A result without a count has no interval and ties with none.
    """
    own = result.interval
    if own is None:
        return ()
    return tuple(
        other.number
        for other in others
        if other.number != result.number and other.interval is not None and own.overlaps(other.interval)
    )


def results_frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row per result: number, stage, origin, status, accuracy, its 95 % interval, the costs, wall_s, key, ...

    The parameters of the candidate follow, each in a column of its own; `share`, of the epochs, is there where some
    were finetuned in part.
    """
    import pandas as pd

    costs = list(dict.fromkeys(name for result in results for name in result.costs))
    parameters = list(dict.fromkeys(name for result in results for name in result.point))
    has_shares = any(result.stage in LESS for result in results)
    rows = [
        {
            "number": result.number, "stage": result.stage, **({"share": result.share} if has_shares else {}),
            "origin": result.origin, "status": result.status,
            "accuracy": result.accuracy, **interval_columns("accuracy", result.interval),
            "correct": result.correct, "total": result.total, "seed": result.seed,
            **{name: result.costs.get(name) for name in costs},
            "wall_s": result.wall_s, "key": result.key, "checkpoint": result.checkpoint, "error": result.error,
            **{name: result.point.get(name) for name in parameters},
        }
        for result in results
    ]  # fmt: skip
    return pd.DataFrame(rows)


def final_stage(results: Sequence[Result]) -> Stage:
    """`qat` where a QAT run succeeded, else `ptq`."""
    return "qat" if any(result.is_done and result.stage == "qat" for result in results) else "ptq"


def with_baselines(front: Sequence[Result], results: Sequence[Result]) -> tuple[Result, ...]:
    """The front, and the finetuned uniform candidates that are not on it."""
    known = {result.number for result in front}
    return (*front, *(result for result in results if result.is_baseline and result.number not in known))
