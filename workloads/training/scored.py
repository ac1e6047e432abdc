"""What a scorer answers: how good a configuration is, and the module that is that good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hwmodel.deprecated import warn_old

if TYPE_CHECKING:
    from torch import nn

    from workloads.training.accuracy import Accuracy
    from workloads.training.measuring import MetricValue


class Scored(NamedTuple):
    """The answer of `Scorer.ptq` and `Scorer.qat`.

    Attributes:
        accuracy: on the validation split, or the metric of the run.
        model: compressed, calibrated, after `qat` finetuned; in eval mode.
    """

    accuracy: Accuracy | MetricValue
    model: nn.Module

    def __str__(self) -> str:
        return str(self.accuracy)

    @property
    def value(self) -> Any:
        """The old way to `accuracy.value`."""
        return self._of_accuracy("value")

    @property
    def correct(self) -> Any:
        """The old way to `accuracy.correct`."""
        return self._of_accuracy("correct")

    @property
    def total(self) -> Any:
        """The old way to `accuracy.total`."""
        return self._of_accuracy("total")

    @property
    def interval(self) -> Any:
        """The old way to `accuracy.interval`."""
        return self._of_accuracy("interval")

    def _of_accuracy(self, name: str) -> Any:
        """From when `Scorer.ptq` gave the accuracy alone."""
        warn_old(f"ptq(...).{name}", f"ptq(...).accuracy.{name}", stacklevel=4)
        return getattr(self.accuracy, name)
