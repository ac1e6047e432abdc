"""Top-1 accuracy of a model on a split."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.calibration import modes_kept
from workloads.placement import device_of
from workloads.training.accuracy import Accuracy
from workloads.training.device import select_device
from workloads.training.inputs import SplitSource, feed_of


@torch.inference_mode()
def measure_accuracy(model: nn.Module, split: SplitSource, device: str | torch.device | None = None) -> Accuracy:
    """Top-1 accuracy in eval mode; the model's modes and place are as before afterwards.

    Args:
        model: images (N, C, H, W) -> scores (N, classes), or tokens (N, T) -> scores (N, T, vocabulary).
        split: images and labels, or tokens and targets; in memory, or a DataLoader.
        device: where to compute; None is where the model is.

    Raises:
        ConfigError: an empty split, targets that are no classes, or an absent device.
    """
    home = device_of(model)
    place = home if device is None else select_device(device)
    feed = feed_of(split, place)
    correct = total = 0
    try:
        model.to(place)
        with modes_kept(model):
            model.eval()
            for x, y in feed.in_order():
                if y.is_floating_point():
                    raise ConfigError(
                        f"accuracy needs classes, integers, but the targets are {y.dtype}. Measure a metric: "
                        "workloads.training.measure."
                    )
                scores = model(x)
                check_scores(scores, y)
                correct += int((scores.argmax(-1) == y).sum())
                total += y.numel()
    finally:
        model.to(home)
    return Accuracy(correct=correct, total=total)


def check_scores(scores: Tensor, labels: Tensor) -> None:
    """Scores (..., classes) lie beside labels (...).

    Raises:
        ConfigError: they do not.
    """
    if scores.shape[:-1] != labels.shape:
        raise ConfigError(
            f"classes need scores (..., classes) beside labels (...), but outputs are {tuple(scores.shape)} and "
            f"targets {tuple(labels.shape)}. Give a loss and a metric of your own, or floating-point targets."
        )
