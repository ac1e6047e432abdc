"""Accuracy as what it is: a count, with the error that a finite sample leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from hwmodel.errors import ConfigError
from workloads.compress.calibration import modes_kept
from workloads.placement import device_of
from workloads.training.device import select_device
from workloads.training.inputs import SplitLike, tensors_of

#: Fixed, so that a score does not depend on how an accuracy is measured: kernels may round
#: differently at another batch size.
EVALUATION_BATCH = 500


@dataclass(frozen=True, kw_only=True, order=True)
class Accuracy:
    """How many of how many images were classified correctly (tokens, where each position has a target).

    Attributes:
        correct: top-1 hits.
        total: images, or positions.

    Raises:
        ConfigError: not 0 <= correct <= total, total >= 1.
    """

    correct: int
    total: int

    def __post_init__(self) -> None:
        if not (self.total >= 1 and 0 <= self.correct <= self.total):
            raise ConfigError(
                "`0 <= correct <= total` and `total >= 1` must hold, "
                f"but got correct={self.correct}, total={self.total}"
            )

    @property
    def value(self) -> float:
        """Share of hits, 0 .. 1."""
        return self.correct / self.total

    @property
    def standard_error(self) -> float:
        """Binomial: sqrt(p (1 - p) / n). Differences smaller than this are noise."""
        return math.sqrt(self.value * (1 - self.value) / self.total)

    def __str__(self) -> str:
        return f"{self.value:.2%} ± {self.standard_error:.2%} ({self.correct}/{self.total})"


@torch.inference_mode()
def measure_accuracy(model: nn.Module, split: SplitLike, device: str | torch.device | None = None) -> Accuracy:
    """Top-1 accuracy in eval mode; the model's modes and device are as before afterwards.

    Args:
        model: images (N, C, H, W) -> scores (N, classes), or tokens (N, T) -> scores (N, T, vocabulary).
        split: images and labels, or tokens and targets.
        device: where to compute; None is where the model is.

    Raises:
        ConfigError: an empty split, or an absent device.
    """
    home = device_of(model)
    target = home if device is None else select_device(device)
    x, y = tensors_of(split, target)
    correct = 0
    try:
        model.to(target)
        with modes_kept(model):
            model.eval()
            for start in range(0, len(x), EVALUATION_BATCH):
                stop = start + EVALUATION_BATCH
                correct += int((model(x[start:stop]).argmax(-1) == y[start:stop]).sum())
    finally:
        model.to(home)
    return Accuracy(correct=correct, total=y.numel())
