"""Training: one finetuning loop, honest accuracies, and the scorer that the search asks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "accuracy": ("Accuracy", "measure_accuracy"),
    "device": ("select_device",),
    "loop": ("EpochRecord", "TrainResult", "finetune"),
    "pretrained": ("PretrainResult", "pretrain"),
    "scorer": ("Scorer",),
    "settings": ("TrainSettings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
