"""What a data set is: three disjoint splits of images and labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Images and their labels.

    Attributes:
        x: float32 (N, C, H, W), normalised.
        y: int64 (N,).

    Raises:
        ConfigError: shapes or types are not these.
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if self.x.dim() != 4 or self.x.dtype != torch.float32:
            raise ConfigError(
                f"split: x must be float32 (N, C, H, W), but got {self.x.dtype} {tuple(self.x.shape)}"
            )
        if self.y.shape != self.x.shape[:1] or self.y.dtype != torch.int64:
            raise ConfigError(
                f"split: y must be int64 ({len(self.x)},), but got {self.y.dtype} {tuple(self.y.shape)}"
            )

    def __len__(self) -> int:
        return len(self.y)

    def take(self, count: int) -> Self:
        """The first `count` items; all where there are fewer."""
        return replace(self, x=self.x[:count], y=self.y[:count])


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Train, validation and test. The search sees validation only; test is measured once, at the end.

    Attributes:
        name: of the data set.
        train, validation, test: disjoint.
        num_classes: labels are 0 .. num_classes - 1.
        source: where the images come from, for reports.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    source: str = ""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.x.shape[1:]
        return (channels, height, width)

    def describe(self) -> str:
        """One line: name, shape, classes, sizes of the splits."""
        shape = "×".join(map(str, self.input_shape))
        sizes = f"{len(self.train):,} train / {len(self.validation):,} validation / {len(self.test):,} test"
        source = f" ({self.source})" if self.source else ""
        return f"{self.name}{source}: {shape}, {self.num_classes} classes, {sizes}"


def make_dataset(
    name: str,
    splits: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
    num_classes: int,
    source: str,
    channels: int | None = None,
) -> Dataset:
    """A normalised data set: per channel zero mean and unit deviation *of the train split*.

    Args:
        name, num_classes, source: as for `Dataset`.
        splits: (x, y) of train, validation, test; x (N, C, H, W) on any scale.
        channels: repeat single-channel images so many times.
    """
    train_x = splits[0][0]
    dims = (0, 2, 3)
    # In float64: the sum of 50 million float32 pixels would lose digits.
    mean = train_x.double().mean(dims, keepdim=True).float()
    deviation = train_x.double().std(dims, keepdim=True).clamp_min(1e-6).float()
    done = []
    for x, y in splits:
        normal = (x.float() - mean) / deviation
        if channels is not None and channels != normal.shape[1]:
            if normal.shape[1] != 1:
                raise ConfigError(f"data {name!r}: channels must be {normal.shape[1]}, but got channels={channels}")
            normal = normal.repeat(1, channels, 1, 1)
        done.append(Split(x=normal.contiguous(), y=y.long()))
    return Dataset(
        name=name, train=done[0], validation=done[1], test=done[2], num_classes=num_classes, source=source
    )


def resize(x: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, size, size), bilinear."""
    if tuple(x.shape[-2:]) == (size, size):
        return x
    return nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def seeded_order(count: int, seed: int) -> Tensor:
    """A permutation of 0 .. count - 1 that depends on the seed only."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
