"""Accuracy as what it is: a count, with the error that a finite sample leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwmodel.errors import ConfigError


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
