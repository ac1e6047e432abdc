"""Top-1 accuracy of a model on a split."""

from __future__ import annotations

import torch
from torch import nn

from workloads.compress.calibration import modes_kept
from workloads.placement import device_of
from workloads.training.accuracy import Accuracy
from workloads.training.device import select_device
from workloads.training.inputs import SplitLike, tensors_of

#: Fixed, so that a score does not depend on how an accuracy is measured: kernels may round
#: differently at another batch size.
EVALUATION_BATCH = 500


@torch.inference_mode()
def measure_accuracy(model: nn.Module, split: SplitLike, device: str | torch.device | None = None) -> Accuracy:
    """Top-1 accuracy in eval mode; the model's modes and place are as before afterwards.

    Args:
        model: images (N, C, H, W) -> scores (N, classes), or tokens (N, T) -> scores (N, T, vocabulary).
        split: images and labels, or tokens and targets.
        device: where to compute; None is where the model is.

    Raises:
        ConfigError: an empty split, or an absent device.
    """
    home = device_of(model)
    place = home if device is None else select_device(device)
    x, y = tensors_of(split, place)
    correct = 0
    try:
        model.to(place)
        with modes_kept(model):
            model.eval()
            for start in range(0, len(x), EVALUATION_BATCH):
                stop = start + EVALUATION_BATCH
                correct += int((model(x[start:stop]).argmax(-1) == y[start:stop]).sum())
    finally:
        model.to(home)
    return Accuracy(correct=correct, total=y.numel())
