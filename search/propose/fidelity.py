"""What a cheaper run of a candidate says of its full one: a line between the logits of their errors, and whether
both put candidates in the same order.

    y_full = offset + slope y_short + residual

is fitted to the candidates that have both (least squares with Gaussian priors on offset and slope, so it is there
from the first pair on); a short result then is an observation of the full one whose variance is that of the
residual and of the images counted. A rung that puts candidates in another order than full runs do misleads, however
good the line looks.

Source: Kennedy and O'Hagan, Biometrika 87, 2000 (a code of low fidelity, scaled, with an independent rest);
Spearman, American Journal of Psychology 15, 1904 (rank correlation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from search.propose.problem import Floats

#: Priors: standard deviations of offset and slope around 0 and 1; the residual, worth so many pairs.
OFFSET_SD, SLOPE_SD = 0.5, 0.25
RESIDUAL, RESIDUAL_PAIRS = 0.15, 2.0
#: A rung whose rank correlation is below this after so many pairs is dropped.
LEAST_CORRELATION, LEAST_PAIRS = 0.5, 6


@dataclass(frozen=True, kw_only=True)
class Link:
    """From a logit at a lower fidelity to that of the full one.

    Attributes:
        offset, slope: of the line.
        residual: standard deviation of the rest [logits].
    """

    offset: float = 0.0
    slope: float = 1.0
    residual: float = RESIDUAL

    @classmethod
    def fitted(cls, low: Sequence[float] | Floats, full: Sequence[float] | Floats) -> Self:
        """Of pairs. Shapes (n,); none give the prior."""
        x, y = np.asarray(low, dtype=np.float64), np.asarray(full, dtype=np.float64)
        basis = np.stack((np.ones(len(x)), x), axis=1)
        residual = RESIDUAL
        mean, prior = np.array([0.0, 1.0]), np.diag([OFFSET_SD**-2, SLOPE_SD**-2])
        found = mean
        for _ in range(20):  # line and residual in turn
            precision = prior + basis.T @ basis / residual**2
            found = mean + np.linalg.solve(precision, basis.T @ (y - basis @ mean) / residual**2)
            rest = float(((y - basis @ found) ** 2).sum())
            residual = math.sqrt((RESIDUAL_PAIRS * RESIDUAL**2 + rest) / (RESIDUAL_PAIRS + len(x)))
        return cls(offset=float(found[0]), slope=float(found[1]), residual=residual)

    def expected(self, low: float) -> float:
        """Of the full run."""
        return self.offset + self.slope * low

    def variance(self, variance: float) -> float:
        """Of the full run, from that of counting images at the lower fidelity."""
        return self.residual**2 + self.slope**2 * variance

    def worst_low(self, full: float, deviations: float) -> float:
        """The logit at the lower fidelity from which even so many deviations of luck do not lead below `full`.

        Infinite where a higher one does not mean less.
        """
        return (full + deviations * self.residual - self.offset) / self.slope if self.slope > 0 else math.inf


def rank_correlation(low: Sequence[float], full: Sequence[float]) -> float:
    """Spearman's, in -1 .. 1; nan for fewer than two pairs, 0 where one side tells none apart."""
    if len(low) < 2:
        return math.nan
    if len(set(low)) == 1 or len(set(full)) == 1:
        return 0.0
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(low, full).statistic)


def misleads(low: Sequence[float], full: Sequence[float]) -> bool:
    """Enough pairs have shown that the order of the short runs is not that of the full ones."""
    return len(low) >= LEAST_PAIRS and rank_correlation(low, full) < LEAST_CORRELATION
