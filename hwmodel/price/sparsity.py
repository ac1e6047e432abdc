"""What zeros save in the array: gated and skipped MACs, and the PE that everyone waits for.

Gating spends no energy on a MAC with a zero operand. Skipping spends no cycle either, but PEs that run in
lockstep wait for the one with the most work. Between two synchronisations a PE has n MACs, of which a random
number M is effectual; P independent PEs take

    E[max(1, max_p M_p)] = sum over k < n of (1 - F(k)^P), with F(0) counted as 0,

where F is the distribution function of M. It is hypergeometric where the zeros of one tensor of known density
are skipped (a tile of n from N elements, d * N of them non-zero), binomial with f = d_w * d_i where both are.
The mean of a maximum is the sum of its tail (David and Nagaraja, Order Statistics, 3rd ed., section 3.1); as
the occupancy model of tiles see Wu et al., Sparseloop, MICRO 2022, section 5.3. A synchronisation takes at least
one cycle. N:M patterns (Mishra et al., arXiv:2104.08378) give every PE the same work: cycles x N / M.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.accelerator import Accelerator
from hwmodel.nest.access import distinct_tiles
from hwmodel.nest.mapping import Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import RELEVANT, Density, Operand, parse_pattern

#: Standard deviations around the mean outside which a distribution counts as 0 or 1 (below 1e-30).
WINDOW = 12.0


def weight_density(density: Density) -> float:
    """Non-zero fraction of W: an N:M pattern leaves N / M at most."""
    pattern = parse_pattern(density.pattern)
    return density.w if pattern is None else min(density.w, pattern[0] / pattern[1])


def fraction(density: Density, operands: tuple[Operand, ...]) -> float:
    """Fraction of the MACs whose operands named are all non-zero: d_w and d_i independent."""
    return (weight_density(density) if "W" in operands else 1.0) * (density.i if "I" in operands else 1.0)


def nm_pattern(task: Task) -> tuple[int, int] | None:
    """The N:M pattern of W that the chip runs at N / M of the cycles, None where it knows none that fits.

    A chip that knows 2:4 also takes 1:4, as two slots of which one is a zero.
    """
    pattern = parse_pattern(task.layer.density.pattern)
    if pattern is None or task.layer.kind == "matmul":
        return None
    fitting = [known for known in task.accelerator.nm if known[1] == pattern[1] and known[0] >= pattern[0]]
    return min(fitting, default=None)


def used_zeros(accelerator: Accelerator) -> set[Operand]:
    """Operands whose zeros save something on a chip, wherever they lie."""
    compressed = {o for memory in accelerator.memories().values() for o in memory.compressed}
    return {*accelerator.gating, *accelerator.skipping, *compressed}


def useful_zeros(task: Task) -> Density:
    """The density with the zeros that the accelerator cannot use counted as values: fewer layers to map."""
    used, d = used_zeros(task.accelerator), task.layer.density
    return Density(
        w=weight_density(d) if "W" in used else 1.0,
        i=d.i if "I" in used else 1.0,
        o=d.o if "O" in used else 1.0,
        pattern="unstructured" if nm_pattern(task) is None else d.pattern,
    )


def skipped_fraction(task: Task) -> float:
    """Fraction of the MACs that skipping leaves to do, load imbalance aside."""
    skipping = task.accelerator.skipping
    left = fraction(task.layer.density, skipping)
    pattern = nm_pattern(task)
    if pattern is not None and "W" not in skipping:
        left *= pattern[0] / pattern[1]
    return left


def active_fraction(task: Task) -> float:
    """Fraction of the MACs that spend energy: neither gated, skipped nor left out by an N:M pattern."""
    density, used = task.layer.density, task.accelerator.gating + task.accelerator.skipping
    pattern = nm_pattern(task)
    w = weight_density(density)
    if "W" not in used:
        w = 1.0 if pattern is None else pattern[0] / pattern[1]
    return w * (density.i if "I" in used else 1.0)


@dataclass(frozen=True)
class Skips:
    """How the zeros of a task shorten the work of its PEs.

    Attributes:
        balanced: cycles left by an N:M pattern, the same in every PE.
        operands: whose zeros are skipped, with the densities and sizes of their tensors (0: any).
        both: density of the MACs left where both are skipped, else 1.
    """

    balanced: float
    operands: tuple[tuple[Operand, float, int], ...]
    both: float

    @classmethod
    def of(cls, task: Task) -> Skips:
        """Of a task as the array sees it."""
        skipping, density = task.accelerator.skipping, task.layer.density
        pattern = nm_pattern(task)
        balanced = pattern[0] / pattern[1] if pattern is not None and "W" not in skipping else 1.0
        shares = [(o, fraction(density, (o,)), task.layer.elements(o)) for o in skipping]
        used = tuple(item for item in shares if item[1] < 1.0)
        return cls(balanced, used, fraction(density, skipping) if len(used) > 1 else 1.0)

    def slowest(self, tiles: dict[Operand, tuple[int, int]], macs: int, pes: int) -> float:
        """Cycles with skipping over cycles without, in (0, 1].

        Args:
            tiles: per skipped operand the words of a PE's tile, and the different tiles across the PEs.
            macs: of a PE between two synchronisations.
            pes: that work.
        """
        if not self.operands:
            return self.balanced
        shares = []
        for operand, density, population in self.operands:
            tile, different = tiles[operand]
            shares.append(expected_maximum(tile, density, different, population) / tile)
        if self.both < 1.0:
            shares.append(expected_maximum(macs, self.both, pes) / macs)
        return self.balanced * min(shares)  # skipping both is never slower than skipping either


def slowest(task: Task, mapping: Mapping) -> float:
    """Cycles with skipping over cycles without, in (0, 1]: the expected maximum over the PEs in lockstep.

    PEs that take the same tile of the skipped operand have the same zeros and count once. They synchronise
    after every tile of the innermost per-PE level; a chip without one synchronises after every MAC.
    """
    skips, loops = Skips.of(task), _loops_of_a_pe(task, mapping)
    inner, last = task.accelerator.array_level, len(mapping.levels) - 1
    tiles = {
        operand: (
            math.prod(loop.bound for loop in loops if loop.dim in RELEVANT[operand]),
            distinct_tiles(task.layer, mapping, operand, inner - 1, last),
        )
        for operand, _, _ in skips.operands
    }
    return skips.slowest(tiles, math.prod(loop.bound for loop in loops), mapping.num_active)


def _loops_of_a_pe(task: Task, mapping: Mapping) -> list[Loop]:
    return [loop for level in mapping.levels[: task.accelerator.array_level] for loop in level.temporal]


@lru_cache(maxsize=65536)
def expected_maximum(tile: int, density: float, pes: int, population: int = 0) -> float:
    """Expected number of effectual MACs of the PE with the most, at least 1.

    Args:
        tile: MACs of one PE between two synchronisations.
        density: probability that one is effectual, in (0, 1].
        pes: independent PEs that wait for each other.
        population: elements of the tensor that tiles are drawn from without replacement (hypergeometric);
            0 for independent MACs (binomial).

    Returns:
        In [1, tile]; `tile` at density 1; never falls when density or pes rises.
    """
    if density >= 1.0:
        return float(tile)
    mean = tile * density
    if 0 < population <= tile:
        return max(1.0, mean)
    spread = WINDOW * math.sqrt(mean * (1.0 - density)) + WINDOW
    low, high = max(0, math.floor(mean - spread)), min(tile, math.ceil(mean + spread))
    k = np.arange(low, high + 1, dtype=np.float64)
    if population > tile:
        marked = max(1.0, population * density)
        log_p = _log_choose(marked, k) + _log_choose(population - marked, tile - k)
    else:
        log_p = _log_choose(float(tile), k) + k * math.log(density) + (tile - k) * math.log1p(-density)
    p = np.exp(log_p - log_p.max())
    below = np.cumsum(p)[:-1] / p.sum()
    if low == 0 and len(below):
        below[0] = 0.0  # a synchronisation takes a cycle even where nothing is to do
    return float(np.clip(round(low + float(np.sum(1.0 - below**pes)), 9), 1.0, tile))


def _log_choose(n: float, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """log of n over k, k (m); minus infinity where k is outside 0..n."""
    inside = (k >= 0) & (k <= n)
    safe = np.where(inside, k, 0.0)
    value = [math.lgamma(n + 1) - math.lgamma(v + 1) - math.lgamma(n - v + 1) for v in safe.tolist()]
    return np.where(inside, np.array(value), -np.inf)
