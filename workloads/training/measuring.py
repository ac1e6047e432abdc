"""What is measured on a split: top-1 accuracy of classes, or any function of outputs and targets, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.calibration import modes_kept
from workloads.placement import device_of
from workloads.training.accuracy import Accuracy
from workloads.training.device import select_device
from workloads.training.inputs import SplitSource, feed_of
from workloads.training.settings import CONTIGUOUS
from workloads.training.step.layout import laid_out


@torch.inference_mode()
def measure_accuracy(
    model: nn.Module,
    split: SplitSource,
    device: str | torch.device | None = None,
    *,
    memory_format: str = CONTIGUOUS,
) -> Accuracy:
    """Top-1 accuracy in eval mode; the model's modes and device are as before afterwards.

    Args:
        model: images (N, C, H, W) -> scores (N, classes), or tokens (N, T) -> scores (N, T, vocabulary).
        split: images and labels, or tokens and targets; in memory, or a DataLoader.
        device: where to compute; None is where the model is.
        memory_format: of images, as in `TrainSettings`.

    Raises:
        ConfigError: an empty split, targets that are no classes, an absent device, or `channels_last` of other
            inputs than images.
    """
    home = device_of(model)
    target = home if device is None else select_device(device)
    feed = feed_of(split, target)
    correct = total = 0
    try:
        model.to(target)
        with modes_kept(model):
            model.eval()
            for x, y in feed.in_order():
                if y.is_floating_point():
                    raise ConfigError(
                        f"accuracy needs classes, integers, but the targets are {y.dtype}. Measure a metric: "
                        "workloads.training.measure."
                    )
                scores = model(laid_out(x, memory_format))
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


#: (outputs, targets) of a whole split, both (N, ...) on the CPU -> a number.
Metric = Callable[[Tensor, Tensor], Tensor | float]


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """A metric on a split.

    Attributes:
        name: of the metric.
        value: it.
        total: items that it is over.
    """

    name: str
    value: float
    total: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} ({self.total} items)"


def r2(outputs: Tensor, targets: Tensor) -> float:
    """Coefficient of determination, 1 - sum (y - f)^2 / sum (y - mean y)^2: 1 is perfect, 0 is the mean.

    Args:
        outputs, targets: (N, ...) of one shape; each output has its own mean.

    Raises:
        ConfigError: other shapes, or targets that do not vary.
    """
    check_same_shape(outputs, targets)
    wide = targets.double()
    spread = float((wide - wide.mean(0)).square().sum())
    if spread == 0:
        raise ConfigError("r2 needs targets that vary, but all are equal")
    return 1 - float((wide - outputs.double()).square().sum()) / spread


def cross_entropy(outputs: Tensor, targets: Tensor) -> float:
    """Mean cross-entropy of classes [nat]; divided by ln 2 it is in bits.

    Args:
        outputs: scores (..., classes).
        targets: (...), integers.

    Raises:
        ConfigError: shapes that do not fit.
    """
    check_scores(outputs, targets)
    return float(nn.functional.cross_entropy(outputs.flatten(0, -2).double(), targets.flatten()))


def check_same_shape(outputs: Tensor, targets: Tensor) -> None:
    """Outputs of a regression lie beside their targets: (N, 1) beside (N,) would broadcast to (N, N).

    Raises:
        ConfigError: they do not.
    """
    if outputs.shape != targets.shape:
        raise ConfigError(
            f"outputs and targets must have one shape, but have {tuple(outputs.shape)} and {tuple(targets.shape)}. "
            "Reshape the targets; classes must be integers."
        )


@torch.inference_mode()
def measure(
    model: nn.Module,
    split: SplitSource,
    device: str | torch.device | None = None,
    metric: Metric | None = None,
    *,
    memory_format: str = CONTIGUOUS,
) -> Accuracy | MetricValue:
    """Accuracy where the targets are classes, else a metric; modes and place of the model are kept.

    Args:
        model: inputs -> outputs.
        split: in memory, or a DataLoader; of a metric all outputs are kept until the end.
        device: None is where the model is.
        metric: None is top-1 accuracy of integer targets, and `r2` of floating-point ones.
        memory_format: of images, as in `TrainSettings`.

    Raises:
        ConfigError: an absent device, a split that is none, a metric that gives no number, or `channels_last` of
            other inputs than images.
    """
    home = device_of(model)
    place = home if device is None else select_device(device)
    chosen = metric or default_metric(split)
    if chosen is None:
        return measure_accuracy(model, split, device, memory_format=memory_format)
    outputs, targets = [], []
    try:
        model.to(place)
        with modes_kept(model):
            model.eval()
            for x, y in feed_of(split, place).in_order():
                outputs.append(model(laid_out(x, memory_format)).cpu())
                targets.append(y.cpu())
    finally:
        model.to(home)
    name = getattr(chosen, "__name__", type(chosen).__name__)
    value = float(chosen(torch.cat(outputs), torch.cat(targets)))
    if not math.isfinite(value):
        raise ConfigError(f"metric {name} must give a finite number, but gave {value}")
    return MetricValue(name=name, value=value, total=sum(map(len, targets)))


def default_metric(split: SplitSource) -> Metric | None:
    """`r2` where the targets are floating-point numbers; None, which is accuracy, where they are classes."""
    feed = feed_of(split, torch.device("cpu"))
    return r2 if feed.has_values else None
