"""Training: one finetuning loop, honest accuracies, and the scorer that the search asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.sparse import (
        AdmmHook,
        ChannelPruner,
        MagnitudePruner,
        MaskHook,
        Penalty,
        PenaltyHook,
        ProximalHook,
        SparseSolution,
        grid_projection,
        penalty,
        penalty_of,
        regularization_path,
        sparse_projection,
        sparse_regression,
        sweep_gamma,
    )
    from workloads.training.accuracy import Accuracy
    from workloads.training.checkpoints import Checkpoints, read_state, write_state
    from workloads.training.device import device_text, select_device
    from workloads.training.growing import growing_hits, num_countable
    from workloads.training.hooks import TrainHook
    from workloads.training.loop import finetune
    from workloads.training.measuring import MetricValue, cross_entropy, measure, measure_accuracy, r2
    from workloads.training.pretrained import PretrainResult, pretrain
    from workloads.training.records import EpochRecord, StepRecord, TrainResult
    from workloads.training.run import DivergedError
    from workloads.training.scored import Scored
    from workloads.training.scorer import Scorer
    from workloads.training.settings import TrainSettings
    from workloads.training.step.augment import augmented, cropped, cut_out, flipped, shifted
    from workloads.training.step.compiling import compile_training
    from workloads.training.step.distill import Teacher, distillation_loss
    from workloads.training.step.ema import WeightAverage
    from workloads.training.together.many import Trained, finetune_many
    from workloads.training.widths import WidthScore, ladder

__all__ = [
    "Accuracy",
    "AdmmHook",
    "ChannelPruner",
    "Checkpoints",
    "DivergedError",
    "EpochRecord",
    "MagnitudePruner",
    "MaskHook",
    "MetricValue",
    "Penalty",
    "PenaltyHook",
    "PretrainResult",
    "ProximalHook",
    "Scored",
    "Scorer",
    "SparseSolution",
    "StepRecord",
    "Teacher",
    "TrainHook",
    "TrainResult",
    "TrainSettings",
    "Trained",
    "WeightAverage",
    "WidthScore",
    "augmented",
    "compile_training",
    "cropped",
    "cross_entropy",
    "cut_out",
    "device_text",
    "distillation_loss",
    "finetune",
    "finetune_many",
    "flipped",
    "grid_projection",
    "growing_hits",
    "ladder",
    "measure",
    "measure_accuracy",
    "num_countable",
    "penalty",
    "penalty_of",
    "pretrain",
    "r2",
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
        "step.augment": ("augmented", "cropped", "cut_out", "flipped", "shifted"),
        "checkpoints": ("Checkpoints", "read_state", "write_state"),
        "step.compiling": ("compile_training",),
        "device": ("device_text", "select_device"),
        "step.distill": ("Teacher", "distillation_loss"),
        "step.ema": ("WeightAverage",),
        "growing": ("growing_hits", "num_countable"),
        "hooks": ("TrainHook",),
        ".sparse": (
            "AdmmHook",
            "ChannelPruner",
            "MagnitudePruner",
            "MaskHook",
            "Penalty",
            "PenaltyHook",
            "ProximalHook",
            "SparseSolution",
            "grid_projection",
            "penalty",
            "penalty_of",
            "regularization_path",
            "sparse_projection",
            "sparse_regression",
            "sweep_gamma",
        ),
        "widths": ("WidthScore", "ladder"),
        "loop": ("finetune",),
        "measuring": ("MetricValue", "cross_entropy", "measure", "measure_accuracy", "r2"),
        "records": ("EpochRecord", "StepRecord", "TrainResult"),
        "pretrained": ("PretrainResult", "pretrain"),
        "run": ("DivergedError",),
        "scored": ("Scored",),
        "scorer": ("Scorer",),
        "settings": ("TrainSettings",),
        "together.many": ("Trained", "finetune_many"),
    },
)
