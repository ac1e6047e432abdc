"""Right answers image by image, over a part of a split that grows until somebody has seen enough.

Everybody sees the same images in the same order, so two models can be compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwmodel.errors import ConfigError
from workloads.compress.calibration import modes_kept
from workloads.placement import device_of
from workloads.training.device import select_device
from workloads.training.inputs import EVALUATION_BATCH, InMemory, SplitSource, feed_of
from workloads.training.measuring import check_scores
from workloads.training.settings import CONTIGUOUS
from workloads.training.step.layout import laid_out

#: Which of the first images of the fixed order were answered rightly. Shape (n,).
Hits = NDArray[np.bool_]
#: The hits so far -> they are enough.
IsEnough = Callable[[Hits], bool]


def num_countable(split: SplitSource) -> int:
    """Images that are right or wrong one by one; 0 where the split streams or its targets are no classes."""
    feed = feed_of(split, torch.device("cpu"))
    is_counted = isinstance(feed, InMemory) and feed.y.dim() == 1 and not feed.has_values
    return len(feed.x) if isinstance(feed, InMemory) and is_counted else 0


def growing_hits(
    model: nn.Module,
    split: SplitSource,
    is_enough: IsEnough,
    device: str | torch.device | None = None,
    *,
    memory_format: str = CONTIGUOUS,
) -> Hits:
    """Top-1 hits in eval mode over the first images of a fixed random order; modes and device are kept.

    The first part is one evaluation batch, and each further one as large as all before; batches are the same
    whenever it ends, so the first n hits do not depend on how many follow.

    Args:
        model: images (N, ...) -> scores (N, classes).
        split: in memory, with one class per image.
        is_enough: asked after every part but the last.
        device: where to compute; None is where the model is.
        memory_format: of images, as in `TrainSettings`.

    Returns:
        Hits of the images that were seen. Shape (n,).

    Raises:
        ConfigError: a split whose answers cannot be counted one by one, an absent device, or `channels_last` of
            other inputs than images.
    """
    total = num_countable(split)
    if not total:
        raise ConfigError("hits need a split in memory with one class per image, but this one has none.")
    home = device_of(model)
    place = home if device is None else select_device(device)
    feed = feed_of(split, place)
    if not isinstance(feed, InMemory):
        raise ConfigError("hits need a split in memory.")
    order = image_order(total).to(place)
    found = np.zeros(0, dtype=np.bool_)
    try:
        model.to(place)
        with modes_kept(model), torch.inference_mode():
            model.eval()
            for stop in part_ends(total):
                for start in range(len(found), stop, EVALUATION_BATCH):
                    rows = order[start : min(start + EVALUATION_BATCH, stop)]
                    scores, labels = model(laid_out(feed.x[rows], memory_format)), feed.y[rows]
                    check_scores(scores, labels)
                    found = np.concatenate((found, (scores.argmax(-1) == labels).cpu().numpy()))
                if stop < total and is_enough(found):
                    break
    finally:
        model.to(home)
    return found


def image_order(total: int) -> torch.Tensor:
    """The order of `total` images, random since splits may be sorted by class. Shape (total,)."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))


def part_ends(total: int) -> Iterator[int]:
    """Images seen after each part: one batch, two, four, ..., all."""
    stop = EVALUATION_BATCH
    while stop < total:
        yield stop
        stop *= 2
    yield total
