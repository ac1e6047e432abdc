"""What a training run leaves: one record per epoch, and the whole as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hwmodel.csvfile import csv_text
from hwmodel.files import write_atomic
from workloads.training.accuracy import Accuracy
from workloads.training.measuring import MetricValue

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: from 1.
        lr: at its end.
        loss: mean over its steps.
        train_accuracy: on the (augmented) batches as they were trained on, in train mode; None where the targets
            are no classes.
        validation: accuracy after it, or the metric of the run; None where no validation split was given.
        wall_s: its duration [s].
        ema_validation: of the averaged weights; None without an average or a validation split.
    """

    epoch: int
    lr: float
    loss: float
    train_accuracy: Accuracy | None
    validation: Accuracy | MetricValue | None
    wall_s: float
    ema_validation: Accuracy | MetricValue | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "epoch": self.epoch, "lr": self.lr, "loss": self.loss, "wall_s": self.wall_s,
            **{name: _counts(getattr(self, name)) for name in _ACCURACIES},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """A record from `to_dict`."""
        return cls(**{**data, **{name: _score(data[name]) for name in _ACCURACIES}})


_ACCURACIES = ("train_accuracy", "validation", "ema_validation")


def _counts(score: Accuracy | MetricValue | None) -> list[int] | dict[str, Any] | None:
    if isinstance(score, MetricValue):
        return {"name": score.name, "value": score.value, "total": score.total}
    return None if score is None else [score.correct, score.total]


def _score(record: list[int] | dict[str, Any] | None) -> Any:
    if isinstance(record, dict):
        return MetricValue(**record)
    return None if record is None else Accuracy(correct=record[0], total=record[1])


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step.

    Attributes:
        epoch, step: from 1; steps count through the run.
        lr: of the step.
        loss: of its batch, the terms of the hooks included.
    """

    epoch: int
    step: int
    lr: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training run did.

    Attributes:
        history: one record per epoch, those of before a resume included.
        steps: one record per step, likewise.
        wall_s: duration, that of before a resume included [s].
        device: where it ran.
    """

    history: tuple[EpochRecord, ...]
    wall_s: float
    device: str
    steps: tuple[StepRecord, ...] = ()

    def to_dataframe(self) -> pd.DataFrame:
        """One row per epoch: epoch, lr, loss, train_accuracy, validation_accuracy, wall_s.

        `ema_validation_accuracy` follows where the weights were averaged and validated. Where a metric was measured
        it takes the place of `accuracy` in the names, and `train_accuracy` is left out.
        """
        import pandas as pd

        averaged = any(record.ema_validation is not None for record in self.history)
        name = next((r.validation.name for r in self.history if isinstance(r.validation, MetricValue)), "accuracy")
        classified = any(r.train_accuracy is not None for r in self.history)
        rows = [
            {
                "epoch": r.epoch, "lr": r.lr, "loss": r.loss,
                **({"train_accuracy": _value(r.train_accuracy)} if classified else {}),
                f"validation_{name}": _value(r.validation), "wall_s": r.wall_s,
                **({f"ema_validation_{name}": _value(r.ema_validation)} if averaged else {}),
            }
            for r in self.history
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def steps_to_dataframe(self, decay: float = 0.98) -> pd.DataFrame:
        """One row per step: epoch, step, lr, loss, average_loss.

        Args:
            decay: of the moving average m <- decay m + (1 - decay) loss, corrected for its start at zero.
        """
        import pandas as pd

        averages: list[float] = []
        mean = 0.0
        for count, record in enumerate(self.steps, 1):
            mean = decay * mean + (1 - decay) * record.loss
            averages.append(mean / (1 - decay**count))
        columns = ["epoch", "step", "lr", "loss"]
        frame = pd.DataFrame([vars(record) for record in self.steps], columns=columns)
        return frame.assign(average_loss=averages)

    def write_csv(self, path: str | Path) -> Path:
        """`to_dataframe` as CSV; accuracies are shares, 0..1."""
        return write_atomic(path, csv_text(self.to_dataframe()))


def _value(score: Accuracy | MetricValue | None) -> float | None:
    return None if score is None else score.value


#: Called after every epoch.
Progress = Callable[[EpochRecord], None]
#: Called after every step with (steps done, steps of the whole run).
StepProgress = Callable[[int, int], None]
