"""How much is pruned after how many epochs. Plain values: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hwmodel.errors import ConfigError
from workloads.options import is_integer


class PruneSchedule(Protocol):
    """Sparsity by epoch."""

    def sparsity(self, epoch: int) -> float:
        """Share of the weights (or filters) that is pruned during an epoch, counted from 1; in [0, 1)."""


def _check_sparsity(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"`0 <= {name} < 1` must hold, but got {name}={value!r}")


def _check_count(name: str, value: int) -> None:
    if not is_integer(value, 1):
        raise ConfigError(f"`{name} >= 1` must hold (an integer), but got {name}={value!r}")


@dataclass(frozen=True, kw_only=True)
class OneShot:
    """Everything at once.

    Attributes:
        final: sparsity.
        start: the first epoch that is pruned.

    Raises:
        ConfigError: a value out of its range.
    """

    final: float
    start: int = 1

    def __post_init__(self) -> None:
        _check_sparsity("final", self.final)
        _check_count("start", self.start)

    def sparsity(self, epoch: int) -> float:
        return self.final if epoch >= self.start else 0.0


@dataclass(frozen=True, kw_only=True)
class Stepwise:
    """`step` more every `every` epochs, up to `final`: by default 10 % every 10 epochs to 50 %.

    Attributes:
        step: sparsity added at a time.
        every: epochs between.
        final: sparsity.
        start: the epoch of the first step; None prunes first after `every` epochs.

    Raises:
        ConfigError: a value out of its range.
    """

    step: float = 0.1
    every: int = 10
    final: float = 0.5
    start: int | None = None

    def __post_init__(self) -> None:
        _check_sparsity("final", self.final)
        _check_count("every", self.every)
        if not 0 < self.step <= 1:
            raise ConfigError(f"`0 < step <= 1` must hold, but got step={self.step!r}")
        if self.start is not None:
            _check_count("start", self.start)

    def sparsity(self, epoch: int) -> float:
        start = self.every + 1 if self.start is None else self.start
        if epoch < start:
            return 0.0
        return min(self.final, self.step * (1 + (epoch - start) // self.every))


@dataclass(frozen=True, kw_only=True)
class Cubic:
    """s(e) = final + (initial - final) (1 - (e - start) / (end - start))^3 between two epochs.

    Attributes:
        final, initial: sparsity at the ends.
        start, end: epochs; before `start` nothing is pruned, from `end` on `final`.
        every: epochs between two changes.

    Raises:
        ConfigError: a value out of its range.

    Source: Zhu & Gupta, To prune, or not to prune, arXiv:1710.01878, eq. 1.
    """

    final: float
    end: int
    start: int = 1
    initial: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        for name in ("final", "initial"):
            _check_sparsity(name, getattr(self, name))
        for name in ("start", "every"):
            _check_count(name, getattr(self, name))
        if self.initial > self.final:
            raise ConfigError(f"`initial <= final` must hold, but got initial={self.initial}, final={self.final}")
        if self.end <= self.start:
            raise ConfigError(f"`start < end` must hold, but got start={self.start}, end={self.end}")

    def sparsity(self, epoch: int) -> float:
        if epoch < self.start:
            return 0.0
        if epoch >= self.end:
            return self.final
        at = self.start + (epoch - self.start) // self.every * self.every
        left = 1 - (at - self.start) / (self.end - self.start)
        return self.final + (self.initial - self.final) * left**3
