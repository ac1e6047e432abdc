"""What calibration sees of a tensor: its extremes, and a sample of its values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwmodel.errors import ConfigError

SAMPLE_PER_BATCH = 1 << 14


class Observer:
    """Collects extremes exactly and up to 16,384 evenly spaced values per batch."""

    def __init__(self) -> None:
        self._low = math.inf
        self._high = -math.inf
        self._samples: list[Tensor] = []

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take one batch into account."""
        flat = x.detach().reshape(-1).float()
        if not flat.numel():
            return
        low, high = (float(value) for value in torch.aminmax(flat))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ConfigError("calibration saw values that are not finite: check the data and the float weights")
        self._low, self._high = min(self._low, low), max(self._high, high)
        stride = -(-flat.numel() // SAMPLE_PER_BATCH) | 1  # odd: does not lock onto the width of an image
        self._samples.append(flat[::stride].clone())

    def result(self) -> tuple[float, float, Tensor]:
        """(lowest, highest, sampled values).

        Raises:
            ConfigError: nothing was seen.
        """
        if not self._samples:
            raise ConfigError("calibration saw no values")
        return self._low, self._high, torch.cat(self._samples)
