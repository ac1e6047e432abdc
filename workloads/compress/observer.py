"""What calibration sees of a tensor: its extremes, exact and averaged, and a sample of its values."""

from __future__ import annotations

import torch
from torch import Tensor

from hwmodel.errors import ConfigError

SAMPLE_PER_BATCH = 1 << 14
MOMENTUM = 0.1  # weight of the newest batch in the moving average
PERCENTILE = 0.999  # share of the sampled values at or below the upper end; 1 - it at or below the lower


class RangeObserver:
    """Collects extremes over everything and up to 16,384 values per batch, row by row.

    A row is the whole tensor, or what one index of `axis` selects; there are R of them. Which values is drawn
    at random, the same in every run: anything regular locks onto the width of some image or kernel.

    Args:
        axis: the dim with one row per index; None is one row.
        sample: values kept per batch, all rows together.
    """

    def __init__(self, axis: int | None = None, sample: int = SAMPLE_PER_BATCH) -> None:
        self.axis = axis
        self._size = sample
        self._exact: tuple[Tensor, Tensor] | None = None
        self._average: tuple[Tensor, Tensor] | None = None
        self._samples: list[Tensor] = []

    @torch.no_grad()
    def update(self, x: Tensor, keep: Tensor | None = None) -> None:
        """Take one batch into account.

        Args:
            x: any shape.
            keep: bool, broadcastable to `x`; what is False is pruned and does not count. None keeps all.

        Raises:
            ConfigError: values that are not finite.
        """
        if not x.numel():
            return
        rows = _rows(x.detach(), self.axis)
        low, high = torch.aminmax(rows, dim=1)
        if not (torch.isfinite(low) & torch.isfinite(high)).all():
            raise ConfigError("calibration saw values that are not finite: check the data and the float weights")
        if keep is not None:
            kept = _rows(keep.expand_as(x), self.axis)
            rows = rows[kept][None] if self.axis is None else torch.where(kept, rows, torch.nan)
            low, high = _extremes(rows)
        if self._exact is None or self._average is None:
            self._exact = self._average = (low, high)
        else:
            self._exact = (torch.minimum(self._exact[0], low), torch.maximum(self._exact[1], high))
            self._average = (
                torch.lerp(self._average[0], low, MOMENTUM), torch.lerp(self._average[1], high, MOMENTUM),
            )  # fmt: skip
        count = max(1, self._size // len(rows))
        if rows.shape[1] > count:
            rows = rows[:, positions(rows.shape[1], count, seed=len(self._samples)).to(rows.device)]
        self._samples.append(rows.clone())

    @property
    def sample(self) -> Tensor:
        """(R, n) sampled values, float32; NaN where pruned.

        Raises:
            ConfigError: nothing was seen.
        """
        self._seen()
        return torch.cat(self._samples, dim=1)

    def extremes(self, rule: str = "minmax") -> tuple[Tensor, Tensor]:
        """Lowest and highest value of every row by a rule, each (R,) float32.

        Args:
            rule: `minmax` exact; `moving_average` of the batches' extremes, the newest weighing 0.1;
                `percentile` 0.1 % and 99.9 % of the sample. `mse` clips by the grid, not by a range of its
                own, and starts from the exact extremes.

        Raises:
            ConfigError: nothing was seen.
        """
        exact, average = self._seen()
        if rule == "percentile":
            ends = torch.tensor([1 - PERCENTILE, PERCENTILE], device=exact[0].device)
            low, high = torch.nanquantile(self.sample, ends, dim=1).nan_to_num(nan=0.0)
            return low, high
        return average if rule == "moving_average" else exact

    def _seen(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        if self._exact is None or self._average is None:
            raise ConfigError("calibration saw no values")
        return self._exact, self._average


def positions(total: int, count: int, seed: int) -> Tensor:
    """One position drawn from each of `count` equal parts of 0..total-1: every position is equally likely.

    Returns:
        (count,) int64, rising.
    """
    draw = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return ((torch.arange(count) + draw) * (total / count)).long().clamp_max(total - 1)


def _rows(x: Tensor, axis: int | None) -> Tensor:
    """(R, n): one row, or one per index of a dim."""
    rows = x.reshape(1, -1) if axis is None else x.movedim(axis, 0).flatten(1)
    return rows.float() if rows.is_floating_point() else rows


def _extremes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of the values that are not NaN; 0 and 0 where there are none."""
    absent = rows.isnan()
    low = torch.where(absent, torch.inf, rows).amin(1)
    high = torch.where(absent, -torch.inf, rows).amax(1)
    empty = absent.all(1)
    return low.masked_fill(empty, 0.0), high.masked_fill(empty, 0.0)
