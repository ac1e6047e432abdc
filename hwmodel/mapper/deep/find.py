"""The best mapping on chips of any number of levels: paddings and bypasses, each walked to its optimum."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper.counting import ORDERS, Ints
from hwmodel.mapper.deep import hopes, walk
from hwmodel.mapper.deep.hopes import NUM_VALUES
from hwmodel.mapper.deep.ladder import Kept, Ladder, Lattice, Splits, build, energies, lattice, splits
from hwmodel.mapper.space import padded_bounds
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, DimName, Dims, Operand

#: Labels that there is room for at first.
ROOM = 1 << 18
#: Limits over the lowest bound, tried one after the other: what is found first is close to the best.
BUDGETS = (1.03, 1.1, 1.25, 1.6, 3.0, math.inf)


def is_deep(accelerator: Accelerator) -> bool:
    """A chip for this mapper: more than one level in a PE, more than two shared ones, or memories along axes."""
    inner = sum(level.per_pe for level in accelerator.levels)
    alone = any(not axis.multicast for axis in accelerator.axes)
    return alone or accelerator.has_clusters or inner > 1 or len(accelerator.levels) - inner > 2


def deep_mapping(task: Task) -> Mapping:
    """The mapping with the least energy; of equal ones one that unrolls more.

    Args:
        task: whole filters already removed, as the array sees it; on an accelerator of kind `spatial`.

    Raises:
        MappingError: no mapping fits, or a level has a fixed `order`.
    """
    chip = task.accelerator
    ordered = [level.name for level in chip.levels if level.order]
    if ordered:
        raise MappingError(
            f"accelerator {chip.name!r}: on chips of more than three levels loops run in any order, but `order` "
            f"fixes that of {', '.join(ordered)}. Leave it out, or use `temporal`."
        )
    best, found = math.inf, None
    for dims, padded in _paddings(chip, task.layer.dims):
        tiles, parted = _tiles(dims), _splits(chip, dims, tuple(padded.items()))
        for kept in choices(task):
            ladder = build(task, dims, kept, energies(task), tiles, parted)
            constant = float(ladder.saved[-1])
            energy, mapping = _walk(task, ladder, kept, parted, best + constant)
            if mapping is not None and energy - constant < best:
                best, found = energy - constant, mapping
    if found is None:
        raise MappingError(_nothing_fits(task))
    return found


def choices(task: Task) -> list[Kept]:
    """What the levels may keep: every subset of the operands that may bypass, left out."""
    per_level: list[list[frozenset[Operand]]] = []
    for level in task.accelerator.levels[:-1]:
        held = frozenset(o for memory in level.memories for o in memory.holds if not task.rests(o, memory))
        free = [operand for operand in level.bypass if operand in held]
        left_out = itertools.chain.from_iterable(itertools.combinations(free, n) for n in range(len(free) + 1))
        per_level.append([held - frozenset(out) for out in left_out])
    return [(*inner, frozenset(OPERANDS)) for inner in itertools.product(*per_level)]


@lru_cache(maxsize=64)
def _tiles(dims: Dims) -> Lattice:
    return lattice(dims)


@lru_cache(maxsize=64)
def _splits(chip: Accelerator, dims: Dims, padded: tuple[tuple[str, tuple[DimName, int]], ...]) -> Splits:
    return splits(chip, dims, dict(padded))


def _paddings(chip: Accelerator, dims: Dims) -> list[tuple[Dims, dict[str, tuple[DimName, int]]]]:
    """The dims, and variants in which one dim per axis, each on one axis alone, is padded to fill it; and which."""
    options: list[list[tuple[str, DimName, int] | None]] = []
    for axis in chip.axes:
        found: list[tuple[str, DimName, int] | None] = [None]
        for dim in axis.dims:
            found += [(axis.name, dim, bound) for bound in padded_bounds(dims[dim], axis.size)]
        options.append(found)
    variants: list[tuple[Dims, dict[str, tuple[DimName, int]]]] = []
    for combination in itertools.product(*options):
        chosen = [item for item in combination if item]
        if len({dim for _, dim, _ in chosen}) == len(chosen):
            larger = replace(dims, **{dim: bound for _, dim, bound in chosen})
            variants.append((larger, {axis: (dim, dims[dim]) for axis, dim, _ in chosen}))
    return variants


def _walk(task: Task, ladder: Ladder, kept: Kept, parted: Splits, limit: float) -> tuple[float, Mapping | None]:
    """The least energy at or below a limit and its mapping, None where there is none."""
    reached, begun = (np.empty((len(ladder.keep), len(ladder.vectors))) for _ in range(2))
    hopes.hopes(ladder, reached, begun)
    root = _root(ladder) + float(begun[0, 0])
    found, room = np.zeros((len(ladder.keep), 3), dtype=np.int64), ROOM
    for growth in BUDGETS:
        budget = min(root * growth, limit) if root > 0 else limit
        while True:
            values, links = np.empty((room, NUM_VALUES)), np.empty((room, walk.NUM_LINKS), np.int64)
            energy, count = walk.walk(ladder, budget, reached, begun, values, links, found)
            if count <= room:
                break
            room *= 2
        if energy < math.inf:
            return energy, _mapping(task.accelerator, ladder, kept, parted, found)
        if budget >= limit:
            break
    return math.inf, None


def _root(ladder: Ladder) -> float:
    """The least that the MACs' own accesses cost, whatever splits share them."""
    return float((ladder.first * ladder.first_shares).sum() - ladder.arrival[0])


def _mapping(chip: Accelerator, ladder: Ladder, kept: Kept, parted: Splits, found: Ints) -> Mapping:
    """The mapping whose tiles, splits and orders the walk found."""
    levels, inside = [], np.ones(8, dtype=np.int64)
    for index, level in enumerate(chip.levels):
        tile, split, order = found[index].tolist()
        reached = ladder.vectors[tile]
        factors = reached // (inside * parted.whole[split])
        levels.append(
            LevelMapping(
                name=level.name,
                temporal=tuple(Loop(DIM_NAMES[d], int(factors[d])) for d in ORDERS[order] if factors[d] > 1),
                spatial=tuple(
                    Loop(dim, int(bound), axis.name)
                    for axis, part in zip(chip.axes, parted.parts_of[split], strict=True)
                    for dim, bound in zip(DIM_NAMES, part, strict=True)
                    if bound > 1
                ),
                keeps=tuple(operand for operand in OPERANDS if operand in kept[index]),
            )
        )
        inside = reached
    return Mapping(levels=tuple(levels))


def _nothing_fits(task: Task) -> str:
    bits = task.widths
    sizes = ", ".join(
        f"{m.name} {m.size_bits:g} bits{' (half at a time)' if m.double_buffered else ''}"
        for level in task.accelerator.levels[:-1]
        for m in level.memories
        if m.size_bits is not None
    )
    return (
        f"no mapping of {task.layer.name!r} fits {task.accelerator.name!r}: one weight, input and partial sum "
        f"take {bits.w}, {bits.i} and {bits.acc} bits, but the memories hold {sizes}. Use fewer bits, or a larger "
        "memory."
    )
