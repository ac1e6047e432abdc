"""Training: one finetuning loop, honest accuracies, and the scorer that the search asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.sparse.penalties import Penalty, penalty
    from workloads.sparse.pruners import ChannelPruner, MagnitudePruner, MaskHook
    from workloads.sparse.regression import SparseSolution, regularization_path, sparse_regression
    from workloads.sparse.regularize import (
        AdmmHook,
        PenaltyHook,
        ProximalHook,
        grid_projection,
        penalty_of,
        sparse_projection,
        sweep_gamma,
    )
    from workloads.training.accuracy import Accuracy
    from workloads.training.augment import augmented, cropped, cut_out, flipped, shifted
    from workloads.training.checkpoints import Checkpoints, read_state, write_state
    from workloads.training.compiling import compile_training
    from workloads.training.device import device_text, select_device
    from workloads.training.distill import Teacher, distillation_loss
    from workloads.training.ema import WeightAverage
    from workloads.training.hooks import TrainHook
    from workloads.training.loop import finetune
    from workloads.training.measuring import measure_accuracy
    from workloads.training.pretrained import PretrainResult, pretrain
    from workloads.training.records import EpochRecord, TrainResult
    from workloads.training.scorer import Scorer
    from workloads.training.settings import TrainSettings

__all__ = [
    "Accuracy",
    "AdmmHook",
    "ChannelPruner",
    "Checkpoints",
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
    "WeightAverage",
    "augmented",
    "compile_training",
    "cropped",
    "cut_out",
    "device_text",
    "distillation_loss",
    "finetune",
    "flipped",
    "grid_projection",
    "measure_accuracy",
    "penalty",
    "penalty_of",
    "pretrain",
    "read_state",
    "regularization_path",
    "select_device",
    "shifted",
    "sparse_projection",
    "sparse_regression",
    "sweep_gamma",
    "write_state",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "accuracy": ("Accuracy",),
        "measuring": ("measure_accuracy",),
        "augment": ("augmented", "cropped", "cut_out", "flipped", "shifted"),
        "checkpoints": ("Checkpoints", "read_state", "write_state"),
        "compiling": ("compile_training",),
        "device": ("device_text", "select_device"),
        "distill": ("Teacher", "distillation_loss"),
        "ema": ("WeightAverage",),
        "hooks": ("TrainHook",),
        ".sparse.penalties": (
            "Penalty",
            "penalty",
        ),
        ".sparse.pruners": (
            "ChannelPruner",
            "MagnitudePruner",
            "MaskHook",
        ),
        ".sparse.regression": (
            "SparseSolution",
            "regularization_path",
            "sparse_regression",
        ),
        ".sparse.regularize": (
            "AdmmHook",
            "PenaltyHook",
            "ProximalHook",
            "grid_projection",
            "penalty_of",
            "sparse_projection",
            "sweep_gamma",
        ),
        "loop": ("finetune",),
        "records": ("EpochRecord", "TrainResult"),
        "pretrained": ("PretrainResult", "pretrain"),
        "scorer": ("Scorer",),
        "settings": ("TrainSettings",),
    },
)
