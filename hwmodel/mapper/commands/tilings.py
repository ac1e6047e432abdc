"""The tiling that a machine driven by commands ends a layer first with: all tilings of its kind, priced at
once.

A tiling is what the software of such a machine chooses: the sizes of a tile, and the order of the loops around
it. Sizes divide the layer; filters and channels are dealt in whole columns and rows of the array. Loops over
FY, FX and C run inside of the others, so that sums leave the accumulator once, when they are done; those over
K, OY and OX run in any order. A tile has to fit, twice where the buffers are double. Inside of a tile the
machine itself sets the order: filters, taps and channels, and for each block of weights all pixels.

All of them are priced by `hwmodel.price.commands`. The fastest is the first; the one with the least energy
times cycles is found by rising cycles, until these times the least energy of any mapping say that no other can
win. Energy alone does not depend on the timing: there the mapper's own search stands.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.free import Objective, best_mapping
from hwmodel.mapper.space.hierarchy import is_deep
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping, footprint
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, DimName, Layer, Operand
from hwmodel.price.commands.cycles import array_of, commands_of, phases_of
from hwmodel.price.commands.tilings import Floats, Ints, Tilings
from hwmodel.price.spatial import price

#: Loops around a tile that may run in any order, and those inside of them that add to the same sums.
FREE: tuple[DimName, ...] = ("K", "OY", "OX")
INSIDE: tuple[DimName, ...] = ("FY", "FX", "C")
#: Loops outside of all.
AROUND: tuple[DimName, ...] = ("B", "G")
#: Loops of a tile, outer to inner: blocks of weights, and the pixels that stream past one.
BLOCKS: tuple[DimName, ...] = ("G", "K", "FY", "FX", "C")
PIXELS: tuple[DimName, ...] = ("B", "OY", "OX")
#: Dims along the rows and the columns of the array.
SIDES: tuple[DimName, DimName] = ("C", "K")


@dataclass(frozen=True)
class Candidates:
    """Tilings of a layer under every order, by rising cycles.

    Attributes:
        tiles: sizes per dim, each (n,).
        orders: loops around the tile, outer to inner, of each.
        cycles: of each, rising.
    """

    tiles: dict[DimName, Ints]
    orders: list[tuple[DimName, ...]]
    cycles: Floats


def best_tiling(task: Task, optimize: Objective) -> Mapping:
    """The mapping with the fewest cycles, or the least energy times cycles, among the tilings of its kind.

    Args:
        task: as the array sees it, on a chip with `timing: {kind: commands}`.
        optimize: `latency` or `edp`; for `energy` it is the mapping of the mapper's own search.

    Raises:
        MappingError: no tiling fits.
    """
    if optimize == "energy":
        return most_frugal(task)
    found = candidates(task)
    least = sum(price(task, most_frugal(task)).energy_pj.values()) if optimize == "edp" else math.inf
    best: tuple[float, Mapping] | None = None
    for n, cycles in enumerate(found.cycles):
        if best is not None and cycles * least >= best[0]:
            break
        tile = {dim: int(sizes[n]) for dim, sizes in found.tiles.items()}
        mapping = tiling_mapping(task, tile, found.orders[n])
        priced = price(task, mapping)
        score = priced.cycles * (sum(priced.energy_pj.values()) if optimize == "edp" else 1.0)
        if best is None or score < best[0]:
            best = score, mapping
    if best is None:
        raise MappingError(
            f"no tiling of {task.layer.name!r} fits {task.accelerator.name!r}: even the smallest tile that fills "
            "the array is larger than its buffers. Give them a larger `size`."
        )
    return best[1]


def most_frugal(task: Task) -> Mapping:
    """The mapping with the least energy of all, which does not depend on the timing."""
    return (deep_mapping if is_deep(task.accelerator) else best_mapping)(task, "energy")


def candidates(task: Task) -> Candidates:
    """Every tiling that fits the memories and may be looped over, under every order."""
    layer, chip = task.layer, task.accelerator
    sizes = _fitting(task, _all_tiles(layer, array_of(chip)))
    tiles: list[dict[DimName, Ints]] = []
    orders: list[tuple[DimName, ...]] = []
    cycles: list[Floats] = []
    for own in _orders(layer):
        tilings = Tilings(layer, sizes, own)
        total = phases_of(commands_of(chip), task, tilings).total
        tiles.append(sizes)
        orders += [own] * len(total)
        cycles.append(total)
    joined = np.concatenate(cycles) if cycles else np.zeros(0)
    rank = np.argsort(joined, kind="stable")
    return Candidates(
        tiles={dim: np.concatenate([one[dim] for one in tiles])[rank] for dim in DIM_NAMES},
        orders=[orders[n] for n in rank],
        cycles=joined[rank],
    )


def _orders(layer: Layer) -> Iterator[tuple[DimName, ...]]:
    """Orders of the loops around a tile that differ; dims of one iteration stand still."""
    moving = [dim for dim in FREE if layer.dims[dim] > 1]
    for free in itertools.permutations(moving):
        yield (*AROUND, *(dim for dim in FREE if dim not in moving), *free, *INSIDE)


def _all_tiles(layer: Layer, array: tuple[int, int]) -> dict[DimName, Ints]:
    """All sizes of all dims, each with each, (n,)."""
    side: dict[DimName, int] = dict(zip(SIDES, array, strict=True))
    sizes = [_sizes(layer.dims[dim], side.get(dim, 1)) for dim in DIM_NAMES]
    grid = np.meshgrid(*sizes, indexing="ij")
    return {dim: axis.reshape(-1) for dim, axis in zip(DIM_NAMES, grid, strict=True)}


def _sizes(bound: int, side: int) -> Ints:
    """Sizes of a tile: divisors, of a dim along the array in whole sides of it."""
    units = math.ceil(bound / side)
    divisors = [n for n in range(1, math.isqrt(units) + 1) if units % n == 0]
    divisors = sorted({*divisors, *(units // n for n in divisors)})
    return np.array(sorted({min(n * side, bound) for n in divisors}), dtype=np.int64)


def _fitting(task: Task, tiles: dict[DimName, Ints]) -> dict[DimName, Ints]:
    """Tiles whose loops the levels may run, and that fit the memories; sums are as wide as the accumulator."""
    chip = task.accelerator
    widths: dict[Operand, int] = {"W": task.widths.w, "I": task.widths.i, "O": task.widths.acc}
    loops = _Loops(task, tiles)
    fits = loops.allowed()
    for n, level in enumerate(chip.levels):
        if n == len(chip.levels) - 1 and len(level.memories) > 1:
            continue  # they hold whole tensors apart: whether these fit is the network's matter
        for memory in level.memories:
            held = sum(
                (
                    footprint(task.layer, operand, loops.bounds(n, operand)) * widths[operand]
                    for operand in memory.holds
                ),
                start=np.zeros(1),
            )
            fits &= memory.copies * held <= task.room_bits(memory)
    return {dim: sizes[fits] for dim, sizes in tiles.items()}


class _Loops:
    """The loops of `tiling_mapping`, of many tilings at once.

    Attributes:
        across: side by side in the array; inside: in a tile, around it: all per dim, each (n,).
        axis: of the dims along the array.
    """

    def __init__(self, task: Task, tiles: MappingType[DimName, Ints]) -> None:
        self.chip = task.accelerator
        side = dict(zip(SIDES, array_of(self.chip), strict=True))
        self.across = {dim: np.minimum(tiles[dim], side.get(dim, 1)) for dim in DIM_NAMES}
        self.inside = {dim: -(-tiles[dim] // self.across[dim]) for dim in DIM_NAMES}
        self.around = {dim: -(-task.layer.dims[dim] // tiles[dim]) for dim in DIM_NAMES}
        self.axis = {axis.dims[0]: axis.name for axis in self.chip.axes}

    def allowed(self) -> NDArray[np.bool_]:
        """Some level of a tile may run each of its loops, and the outermost those around it, (n,)."""
        found = np.ones(len(self.inside["K"]), dtype=bool)
        for dim in DIM_NAMES:
            if _home(self.chip, dim) is None:
                found &= self.inside[dim] == 1
            if dim not in self.chip.levels[-1].temporal_dims:
                found &= self.around[dim] == 1
        return found

    def bounds(self, level: int, operand: Operand) -> dict[DimName, Any]:
        """Sizes of the tile that one instance of a level holds of an operand, each (n,)."""
        bounds: dict[DimName, Any] = {}
        for dim in DIM_NAMES:
            home = _home(self.chip, dim)
            bounds[dim] = self.inside[dim] if home is not None and home <= level else np.ones(1, dtype=np.int64)
            if dim in self.axis and self._split(self.axis[dim], operand) <= level:
                bounds[dim] = bounds[dim] * self.across[dim]
            if level == len(self.chip.levels) - 1:
                bounds[dim] = bounds[dim] * self.around[dim]
        return bounds

    def _split(self, axis: str, operand: Operand) -> int:
        """The first level whose memory of an operand has no copies along an axis."""
        split = self.chip.split_levels[axis]
        memories = ((n, self.chip.levels[n].memory(operand)) for n in range(split))
        return next((n for n, m in memories if m is not None and axis not in self.chip.own_axes(m)), split)


def tiling_mapping(task: Task, tile: dict[DimName, int], order: tuple[DimName, ...]) -> Mapping:
    """The mapping of a tiling: blocks of weights and pixels inside, the loops around it outside."""
    layer, chip = task.layer, task.accelerator
    across = {dim: min(tile[dim], side) for dim, side in zip(SIDES, array_of(chip), strict=True)}
    inside = {dim: math.ceil(size / across.get(dim, 1)) for dim, size in tile.items()}
    around = {dim: math.ceil(layer.dims[dim] / tile[dim]) for dim in DIM_NAMES}
    temporal: list[list[Loop]] = [[] for _ in chip.levels]
    for dim in (*BLOCKS, *PIXELS):
        home = _home(chip, dim)
        temporal[len(chip.levels) - 2 if home is None else home].append(Loop(dim, inside[dim]))
    temporal[-1] = [Loop(dim, around[dim]) for dim in order]
    spatial: list[list[Loop]] = [[] for _ in chip.levels]
    for axis in chip.axes:
        spatial[chip.split_levels[axis.name]] += [
            Loop(dim, across[dim], axis.name) for dim in axis.dims if across[dim] > 1
        ]
    return Mapping(
        levels=tuple(
            LevelMapping(
                name=level.name,
                temporal=tuple(loop for loop in temporal[n] if loop.bound > 1),
                spatial=tuple(spatial[n]),
                keeps=level.holds,
            )
            for n, level in enumerate(chip.levels)
        )
    )


def _home(chip: Accelerator, dim: DimName) -> int | None:
    """Level whose loops over a dim make up a tile: of pixels the registers with the weights, if they may; None: no
    level may loop over it inside of a tile."""
    first = 0 if dim in PIXELS else chip.array_level
    return next((n for n in range(first, len(chip.levels) - 1) if dim in chip.levels[n].temporal_dims), None)
