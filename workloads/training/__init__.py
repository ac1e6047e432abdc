"""Training: one finetuning loop, honest accuracies, and the scorer that the search asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.training.accuracy import Accuracy, measure_accuracy
    from workloads.training.device import select_device
    from workloads.training.loop import EpochRecord, TrainResult, finetune
    from workloads.training.pretrained import PretrainResult, pretrain
    from workloads.training.scorer import Scorer
    from workloads.training.settings import TrainSettings

__all__ = [
    "Accuracy",
    "EpochRecord",
    "PretrainResult",
    "Scorer",
    "TrainResult",
    "TrainSettings",
    "finetune",
    "measure_accuracy",
    "pretrain",
    "select_device",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "accuracy": ("Accuracy", "measure_accuracy"),
        "device": ("select_device",),
        "loop": ("EpochRecord", "TrainResult", "finetune"),
        "pretrained": ("PretrainResult", "pretrain"),
        "scorer": ("Scorer",),
        "settings": ("TrainSettings",),
    },
)
