"""What training needs of a data set, whoever provides it."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from hwmodel.errors import ConfigError


class SplitLike(Protocol):
    """Images and labels in memory; tensors or arrays."""

    @property
    def x(self) -> Any:
        """float32 (N, C, H, W)."""

    @property
    def y(self) -> Any:
        """int64 (N,)."""


class DataLike(Protocol):
    """A data set with three splits."""

    @property
    def name(self) -> str: ...

    @property
    def train(self) -> SplitLike: ...

    @property
    def validation(self) -> SplitLike: ...

    @property
    def test(self) -> SplitLike: ...


def tensors_of(split: SplitLike, device: torch.device) -> tuple[Tensor, Tensor]:
    """(x, y) of a split on a device.

    Raises:
        ConfigError: no images, or not one label per image.
    """
    x, y = torch.as_tensor(split.x), torch.as_tensor(split.y)
    if len(x) != len(y) or not len(x):
        raise ConfigError(
            f"a split must have one label per image and at least one image, but got {len(x)} and {len(y)}"
        )
    return x.to(device), y.to(device, torch.int64)
