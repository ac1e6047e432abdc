"""What a training run leaves: one record per epoch, and the whole as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hwmodel.csvfile import csv_text
from hwmodel.files import write_atomic
from workloads.training.accuracy import Accuracy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: from 1.
        lr: at its end.
        loss: mean over its steps.
        train_accuracy: on the (augmented) batches as they were trained on, in train mode.
        validation: after it; None where no validation split was given.
        wall_s: its duration [s].
        ema_validation: of the averaged weights; None without an average or a validation split.
    """

    epoch: int
    lr: float
    loss: float
    train_accuracy: Accuracy
    validation: Accuracy | None
    wall_s: float
    ema_validation: Accuracy | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "epoch": self.epoch, "lr": self.lr, "loss": self.loss, "wall_s": self.wall_s,
            **{name: _counts(getattr(self, name)) for name in _ACCURACIES},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """A record from `to_dict`."""
        scores = {
            name: None if data[name] is None else Accuracy(correct=data[name][0], total=data[name][1])
            for name in _ACCURACIES
        }
        return cls(**{**data, **scores})


_ACCURACIES = ("train_accuracy", "validation", "ema_validation")


def _counts(accuracy: Accuracy | None) -> list[int] | None:
    return None if accuracy is None else [accuracy.correct, accuracy.total]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training run did.

    Attributes:
        history: one record per epoch, those of before a resume included.
        wall_s: duration, that of before a resume included [s].
        device: where it ran.
    """

    history: tuple[EpochRecord, ...]
    wall_s: float
    device: str

    def to_dataframe(self) -> pd.DataFrame:
        """One row per epoch: epoch, lr, loss, train_accuracy, validation_accuracy, wall_s.

        `ema_validation_accuracy` follows where the weights were averaged and validated.
        """
        import pandas as pd

        averaged = any(record.ema_validation is not None for record in self.history)
        rows = [
            {
                "epoch": r.epoch, "lr": r.lr, "loss": r.loss, "train_accuracy": r.train_accuracy.value,
                "validation_accuracy": _value(r.validation), "wall_s": r.wall_s,
                **({"ema_validation_accuracy": _value(r.ema_validation)} if averaged else {}),
            }
            for r in self.history
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def write_csv(self, path: str | Path) -> Path:
        """`to_dataframe` as CSV; accuracies are shares, 0..1."""
        return write_atomic(path, csv_text(self.to_dataframe()))


def _value(accuracy: Accuracy | None) -> float | None:
    return None if accuracy is None else accuracy.value


#: Called after every epoch.
Progress = Callable[[EpochRecord], None]
#: Called after every step with (steps done, steps of the whole run).
StepProgress = Callable[[int, int], None]
