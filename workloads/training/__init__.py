"""Training: one finetuning loop, honest accuracies, and the scorer that the search asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.training.accuracy import Accuracy, measure_accuracy
    from workloads.training.device import select_device
    from workloads.training.distill import Teacher, distillation_loss
    from workloads.training.hooks import TrainHook
    from workloads.training.loop import EpochRecord, TrainResult, finetune
    from workloads.training.penalties import Penalty, penalty
    from workloads.training.pretrained import PretrainResult, pretrain
    from workloads.training.pruners import ChannelPruner, MagnitudePruner, MaskHook
    from workloads.training.regression import SparseSolution, regularization_path, sparse_regression
    from workloads.training.regularize import (
        AdmmHook,
        PenaltyHook,
        ProximalHook,
        grid_projection,
        penalty_of,
        sparse_projection,
        sweep_gamma,
    )
    from workloads.training.scorer import Scorer
    from workloads.training.settings import TrainSettings

__all__ = [
    "Accuracy",
    "AdmmHook",
    "ChannelPruner",
    "EpochRecord",
    "MagnitudePruner",
    "MaskHook",
    "Penalty",
    "PenaltyHook",
    "PretrainResult",
    "ProximalHook",
    "Scorer",
    "SparseSolution",
    "Teacher",
    "TrainHook",
    "TrainResult",
    "TrainSettings",
    "distillation_loss",
    "finetune",
    "grid_projection",
    "measure_accuracy",
    "penalty",
    "penalty_of",
    "pretrain",
    "regularization_path",
    "select_device",
    "sparse_projection",
    "sparse_regression",
    "sweep_gamma",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "accuracy": ("Accuracy", "measure_accuracy"),
        "device": ("select_device",),
        "distill": ("Teacher", "distillation_loss"),
        "hooks": ("TrainHook",),
        "penalties": (
            "Penalty",
            "penalty",
        ),
        "pruners": (
            "ChannelPruner",
            "MagnitudePruner",
            "MaskHook",
        ),
        "regression": (
            "SparseSolution",
            "regularization_path",
            "sparse_regression",
        ),
        "regularize": (
            "AdmmHook",
            "PenaltyHook",
            "ProximalHook",
            "grid_projection",
            "penalty_of",
            "sparse_projection",
            "sweep_gamma",
        ),
        "loop": ("EpochRecord", "TrainResult", "finetune"),
        "pretrained": ("PretrainResult", "pretrain"),
        "scorer": ("Scorer",),
        "settings": ("TrainSettings",),
    },
)
