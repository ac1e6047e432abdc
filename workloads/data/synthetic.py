"""Seeded images of any shape with labels that can be learned: for tests and shapes without data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.data.dataset import Dataset, make_dataset, resize
from workloads.options import check_count

PATTERN = 4


def synthetic(
    seed: int = 0,
    shape: Sequence[int] = (3, 32, 32),
    num_classes: int = 10,
    train: int = 1000,
    validation: int = 200,
    test: int = 200,
    noise: float = 0.5,
) -> Dataset:
    """One random coarse pattern per class plus white noise.

    Args:
        seed: of patterns, labels and noise.
        shape: (C, H, W), H = W.
        num_classes: of the labels.
        train, validation, test: images in each split.
        noise: standard deviation beside patterns of standard deviation about 1.

    Raises:
        ConfigError: a size below 1, images that are not square, or negative noise.
    """
    what = "data 'synthetic'"
    for key, value in {"num_classes": num_classes, "train": train, "validation": validation, "test": test}.items():
        check_count(what, key, value)
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ConfigError(f"{what}: shape must be (channels, size, size), but got shape={tuple(shape)}")
    for bound in shape:
        check_count(what, "every dim of shape", bound)
    if noise < 0:
        raise ConfigError(f"{what}: `noise >= 0` must hold, but got noise={noise!r}")
    generator = torch.Generator().manual_seed(check_count(what, "seed", seed, least=0))
    coarse = torch.randn(num_classes, shape[0], PATTERN, PATTERN, generator=generator)
    patterns = resize(coarse, shape[1])

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(num_classes, (count,), generator=generator)
        return patterns[labels] + noise * torch.randn(count, *shape, generator=generator), labels

    return make_dataset("synthetic", (draw(train), draw(validation), draw(test)), num_classes, "random patterns")
