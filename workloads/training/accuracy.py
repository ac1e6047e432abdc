"""Accuracy as what it is: a count, with the interval that a finite sample leaves.

The interval is Wilson's (JASA 22, 1927; recommended by Brown, Cai and DasGupta, Statistical Science 16, 2001): the
values of p that a score test at 5 % does not refuse. It stays within 0 .. 1 and has a width where every image is
right, which sqrt(p (1 - p) / n) has not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from hwmodel.errors import ConfigError

#: Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What an accuracy may be at 95 % confidence.

    Attributes:
        low, high: ends, within 0 .. 1.
    """

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """A tie: some value lies in both, so neither accuracy is called the better one.

        It is careful: the models of one run see the same images, and a paired comparison of their hits, image by
        image, would tell smaller differences apart. Runs keep counts only.
        """
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        """In per cent: `95.1 to 97.4`."""
        return f"{self.low * 100:.1f} to {self.high * 100:.1f}"


def wilson_interval(hits: float, total: int) -> Interval:
    """The 95 % interval of a share; (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n), p = hits / n.

    Args:
        hits: 0 .. total; a mean over runs on the same images need not be whole.
        total: images, at least 1.
    """
    share, room = hits / total, Z95 * Z95 / total
    middle = (share + room / 2) / (1 + room)
    half = Z95 * math.sqrt(share * (1 - share) / total + room / (4 * total)) / (1 + room)
    return Interval(
        low=0.0 if hits == 0 else max(0.0, middle - half), high=1.0 if hits == total else min(1.0, middle + half)
    )


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

    @classmethod
    def mean(cls, accuracies: Iterable[Accuracy]) -> Self:
        """Of several models on the same images, to the nearest hit: its interval is that of the images.

        Raises:
            ConfigError: none, or counted on different numbers of images.
        """
        counted = list(accuracies)
        totals = sorted({accuracy.total for accuracy in counted})
        if len(totals) != 1:
            raise ConfigError(f"a mean accuracy must be of one number of images, but got {totals}")
        return cls(correct=round(sum(accuracy.correct for accuracy in counted) / len(counted)), total=totals[0])

    @property
    def value(self) -> float:
        """Share of hits, 0 .. 1."""
        return self.correct / self.total

    @property
    def interval(self) -> Interval:
        """At 95 % (`wilson_interval`). A difference between accuracies whose intervals overlap is a tie."""
        return wilson_interval(self.correct, self.total)

    def __str__(self) -> str:
        return f"{self.value * 100:.2f} % (95 %: {self.interval}; {self.correct}/{self.total})"
