"""Ways to unroll a layer over the axes of a chip, and what each costs at least, whatever its tiles are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.counting import FX, FY, INPUT, OUTPUT, OX, OY, RELEVANT, Floats, Ints
from hwmodel.mapper.deep.branch import Branch
from hwmodel.mapper.deep.metrics import holders
from hwmodel.mapper.deep.splits import REDUCED
from hwmodel.network.layer import OPERANDS

#: The hop of the MACs, out of no memory.
MACS = -1
#: Dims of outputs and of the filter that move a window along the rows and the columns of I.
CROSSING = ((OY, FY), (OX, FX))


def every_split(branch: Branch) -> Ints:
    """Factors on each axis, of all ways to unroll the layer of a branch. (N, axes, 8)"""
    parted, bounds = branch.parted, np.array(branch.dims.values_tuple, dtype=np.int64)
    found = np.ones((1, parted.on_axes.shape[1], 8), dtype=np.int64)
    for begin, end in zip(parted.spans[:-1], parted.spans[1:], strict=True):
        found = found[:, None] * parted.on_axes[None, begin:end]
        found = found.reshape(found.shape[0] * found.shape[1], found.shape[2], 8)
        found = found[(bounds % found.prod(axis=1) == 0).all(axis=1)]
    return found


class Network(NamedTuple):
    """Places that are served together.

    Attributes:
        alone: nothing is shared among them.
        factors: (N, 8) that are unrolled over them.
        steps: (N, 8) tiles of a place, from one to the next one along a dim: what is unrolled inside.
    """

    alone: bool
    factors: Ints
    steps: Ints


@dataclass(frozen=True)
class Ways:
    """All ways to unroll the layer of a branch. A *hop* goes out of a holder: of a level that keeps an operand.

    Attributes:
        branch: the (padded) dims, and what the levels keep.
        on_axes: (N, axes, 8) factors on each axis.
    """

    branch: Branch
    on_axes: Ints

    @property
    def chip(self) -> Accelerator:
        return self.branch.task.accelerator

    @cached_property
    def whole(self) -> Ints:
        """Factors of all axes. (N, 8)"""
        return np.asarray(self.on_axes.prod(axis=1))

    @cached_property
    def chains(self) -> list[list[int]]:
        """Levels that keep W, I and O, innermost first; the last is the home."""
        return [holders(self.branch.ladder.shape.keep, x) for x in range(3)]

    def axes_inside(self, x: int, hop: int) -> NDArray[np.bool_]:
        """Axes whose places a holder serves together: inside of its memory. (axes)"""
        if hop == MACS:
            return np.zeros(len(self.chip.axes), dtype=np.bool_)
        memory = self.chip.levels[self.chains[x][hop]].memory(OPERANDS[x])
        own = () if memory is None or hop == len(self.chains[x]) - 1 else self.chip.own_axes(memory)
        return np.array([axis.name not in own for axis in self.chip.axes], dtype=np.bool_)

    @cached_property
    def inside(self) -> list[list[Ints]]:
        """Factors inside of the memories of W, I and O, holder by holder. (N, 8) each"""
        return [
            [np.asarray(self.on_axes[:, self.axes_inside(x, hop)].prod(axis=1)) for hop in range(len(chain))]
            for x, chain in enumerate(self.chains)
        ]

    @cached_property
    def networks(self) -> list[list[list[Network]]]:
        """Of W, I and O, holder by holder, behind them that of the MACs: who shares a word on the hop."""
        return [
            [self._networks(x, hop) for hop in (*range(len(chain) - 1), MACS)]
            for x, chain in enumerate(self.chains)
        ]

    @cached_property
    def narrows(self) -> list[Ints]:
        """Of the holders of O, 1 where no places outside of the level add into the same outputs. (N) each"""
        return [(self.sums_beyond(level) == 1).astype(np.int64) for level in self.chains[OUTPUT]]

    def _networks(self, x: int, hop: int) -> list[Network]:
        """As `hwmodel.nest.access.distinct_tiles` has them: spatial loops are nested by levels and by axes."""
        chip, members = self.chip, dict[tuple[int, str], list[int]]()
        between = np.flatnonzero(self.axes_inside(x, hop + 1) & ~self.axes_inside(x, hop)).tolist()
        levels = {n: self._level_of(chip.axes[n].name, x) for n in between}
        inner = np.ones((len(self.on_axes), 8), dtype=np.int64)
        first: dict[tuple[int, str], Ints] = {}
        for n in sorted(between, key=lambda n: (levels[n], -n)):  # innermost first
            axis, factors = chip.axes[n], self.on_axes[:, n]
            key = (levels[n], axis.name if not chip.diagonal or not axis.multicast else "")
            members.setdefault(key, []).append(n)
            known = first.setdefault(key, np.zeros_like(inner))
            first[key] = np.where((known == 0) & (factors > 1), inner, known)
            inner = inner * factors
        return [
            Network(not chip.axes[axes[0]].multicast, self.on_axes[:, axes].prod(axis=1), np.maximum(first[key], 1))
            for key, axes in members.items()
        ]

    def _level_of(self, axis: str, x: int) -> int:
        """Level of the spatial loops along an axis as an operand has them (`hwmodel.nest.mapping.seen_by`)."""
        split = self.chip.split_levels[axis]
        memory = self.chip.levels[split - 1].memory(OPERANDS[x]) if split else None
        shares = memory is not None and axis not in self.chip.own_axes(memory)
        return split - 1 if shares and self.branch.ladder.shape.keep[split - 1, x] else split

    def shares(self, x: int, hop: int, *, at_least: bool = True) -> Floats:
        """Share of the transfers of all places that the next holder sees, at least or (of MACs) exactly. (N)"""
        found = np.ones(len(self.on_axes))
        for network in self.networks[x][hop]:
            if not network.alone:
                found *= share_of(x, network.factors, None if at_least else network.steps, self.branch.ladder.pace)
        return found

    def has_crossing(self, n: int) -> bool:
        """Windows of outputs and filter elements meet among the places of a way."""
        return any(
            network.factors[n, out] > 1 and network.factors[n, tap] > 1
            for networks in self.networks[INPUT]
            for network in networks
            for out, tap in CROSSING
            if not network.alone
        )

    @cached_property
    def rates(self) -> Floats:
        """Least energy of a word of every hop. (N, 3, hops) [pJ]"""
        costs, most = self.branch.ladder.costs, max(len(chain) for chain in self.chains)
        found = np.zeros((len(self.on_axes), 3, most))
        for x, chain in enumerate(self.chains):
            for hop, level in enumerate(chain[:-1]):
                found[:, x, hop] = costs.near[0, level, x] + costs.far[0, level, x] * self.shares(x, hop)
        return found

    def loops(self, most: int) -> Ints:
        """As of `hwmodel.mapper.uneven.nest.Prices`, of so many holders at most. (3, most + 1, 8)"""
        own, found = self.branch.ladder.shape.loops, np.ones((3, most + 1, 8), dtype=np.int64)
        for x, chain in enumerate(self.chains):
            for hop, level in enumerate(chain):
                inner = chain[hop - 1] if hop else -1
                found[x, hop] = own[inner + 1 : level + 1].any(axis=0) | (RELEVANT[x] == 0)
        return found

    def later_sums(self, hop: int) -> Ints:
        """Places outside of a holder of O that add into the same outputs. (N)"""
        outside = self.on_axes[:, ~self.axes_inside(OUTPUT, hop)]
        return np.asarray(outside[:, :, REDUCED].prod(axis=(1, 2)))

    def sums_beyond(self, level: int) -> Ints:
        """The same for all axes whose loops are outside of a level. (N)"""
        beyond = [self.chip.split_levels[axis.name] > level for axis in self.chip.axes]
        return np.asarray(self.on_axes[:, beyond][:, :, REDUCED].prod(axis=(1, 2)))

    @cached_property
    def fixed(self) -> Floats:
        """Energy that no tile changes: of the MACs and what they ask for, less what first visits and finished
        outputs spare. (N) [pJ]"""
        costs = self.branch.ladder.costs
        asked = (costs.first[0, x] * self.shares(x, MACS, at_least=False) for x in range(3))
        found = costs.base[0] + sum(asked)
        for hop, level in enumerate(self.chains[OUTPUT]):
            later = self.later_sums(hop)
            found = found - costs.saved[0, level] * later
            if hop:
                found = found - costs.finished[0, level] * (later == 1)
        return np.asarray(found)

    @cached_property
    def least(self) -> Floats:
        """Energy at least: every hop moves every word that its holder needs once. (N) [pJ]"""
        found = self.fixed.copy()
        bounds = np.array(self.branch.dims.values_tuple, dtype=np.int64)
        for x, chain in enumerate(self.chains):
            for hop in range(len(chain) - 1):
                outside = self.whole // self.inside[x][hop]
                words = self._needed(x, bounds // outside, from_off_chip=hop == len(chain) - 2)
                found += self.rates[:, x, hop] * words * outside.prod(axis=1)
        return found

    @cached_property
    def floor(self) -> Floats:
        """The same with one tile per level, too, where windows that meet at the MACs may share more. (N) [pJ]"""
        first = self.branch.ladder.costs.first[0, INPUT]
        return np.asarray(
            self.least - first * (self.shares(INPUT, MACS, at_least=False) - self.shares(INPUT, MACS))
        )

    def _needed(self, x: int, region: Ints, *, from_off_chip: bool) -> Floats:
        """Different words of an operand that parts of a layer (N, 8) need; of I off the chip, none around it."""
        if x != INPUT:
            return np.asarray(region[:, RELEVANT[x] > 0].prod(axis=1), dtype=np.float64)
        words = np.asarray(region[:, [0, 1, 3]].prod(axis=1), dtype=np.float64)
        for axis, around in enumerate(self._around() if from_off_chip else (0, 0)):
            out, tap = region[:, OY + axis], region[:, OY + 2 + axis]
            stride, dilation = self.branch.ladder.pace[axis], self.branch.ladder.pace[2 + axis]
            gapless = (dilation == 1) & (stride <= tap)
            rows = np.where(gapless, (out - 1) * stride + tap, np.maximum(out, tap))
            words *= np.maximum(rows - around, 0)
        return words

    def _around(self) -> tuple[int, int]:
        """Rows and columns that no memory off the chip holds: zeros around I, and what the dims are padded by."""
        layer, dims = self.branch.task.layer, self.branch.dims
        more = dims.OY - layer.dims.OY, dims.OX - layer.dims.OX, dims.FY - layer.dims.FY, dims.FX - layer.dims.FX
        pace = (*layer.stride, *layer.dilation)
        beyond = [pace[n] * more[n] + pace[n + 2] * more[n + 2] for n in range(2)]
        return sum(layer.padding[0]) + beyond[0], sum(layer.padding[1]) + beyond[1]


def share_of(x: int, factors: Ints, steps: Ints | None, pace: Ints) -> Floats:
    """Different tiles of an operand over the places of a network.

    Args:
        x: the operand.
        factors: (..., 8) that are unrolled over it.
        steps: (..., 8) loop iterations from one place to the next along a dim; None: any, so that windows of `out`
            outputs and `tap` filter elements begin at out + tap - 1 places at least.
        pace: (4) stride y, x and dilation y, x.
    """
    relevant = np.flatnonzero(RELEVANT[x])
    different = factors[..., relevant[relevant < OY] if x == INPUT else relevant].prod(axis=-1)
    for out, tap in CROSSING if x == INPUT else ():
        many, across = factors[..., out], factors[..., tap]
        if steps is None:
            different = different * (many + across - 1)
        else:
            own = steps[..., out] * pace[out - OY], steps[..., tap] * pace[tap - OY]
            different = different * starts(many, across, *own)
    return np.asarray(different / factors.prod(axis=-1))


def starts(out: Ints, tap: Ints, out_step: Ints | int, tap_step: Ints | int) -> Ints:
    """Different places x * out_step + y * tap_step of x < out and y < tap.

    They are equal where x rises by tap_step / gcd while y falls by out_step / gcd; one of each chain counts.
    """
    common = np.gcd(out_step, tap_step)
    return np.asarray(out * tap - np.maximum(out - tap_step // common, 0) * np.maximum(tap - out_step // common, 0))
