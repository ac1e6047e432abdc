"""Every mapping of a small layer with a tile per operand and memory, and the least energy among them.

Energies of W, I and O know nothing of each other once loops and unrollings are given: so the places of the tiles of
each are tried alone, and then put together where they fit.
"""

from __future__ import annotations

import itertools
import math

from hwmodel.nest import access
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping, sums_return, tile_bits
from hwmodel.network.layer import DIM_NAMES, RELEVANT
from hwmodel.price.spatial import price
from tests.hwmodel.mapper.test_mapper import divisors, kept_choices


def least_energy(task, monkeypatch):
    """The least energy of all mappings with tiles of their own, without padding [pJ]; infinite where none fits."""
    best = math.inf
    with monkeypatch.context() as patched:
        patched.setattr(access, "check_mapping", lambda task, mapping: None)
        for across in every_unrolling(task):
            unrolled = [loop for own in across for loop in own]
            left = {dim: task.layer.dims[dim] // product(unrolled, dim) for dim in DIM_NAMES}
            for keeps in itertools.product(*(kept_choices(level, task) for level in task.accelerator.levels)):
                for loops in every_order(left):
                    best = min(best, best_tiles(task, across, keeps, loops, best))
    return best


def every_unrolling(task):
    """Spatial loops of every level, in all ways that divide the layer."""
    chip = task.accelerator
    ways = [[]]
    for axis in chip.axes:
        per_dim = [[(dim, bound) for bound in divisors(task.layer.dims[dim])] for dim in axis.dims]
        ways = [
            [*way, tuple(Loop(dim, bound, axis.name) for dim, bound in chosen if bound > 1)]
            for way in ways
            for chosen in itertools.product(*per_dim)
            if math.prod(bound for _, bound in chosen) <= axis.size
        ]
    for way in ways:
        unrolled = [loop for own in way for loop in own]
        if all(task.layer.dims[dim] % product(unrolled, dim) == 0 for dim in DIM_NAMES):
            yield [
                tuple(loop for loop in unrolled if chip.split_levels[loop.axis] == level)
                for level in range(len(chip.levels))
            ]


def product(loops, dim):
    return math.prod(loop.bound for loop in loops if loop.dim == dim)


def every_order(left):
    """Temporal loops that multiply to given bounds, in every order, split in every way."""
    if all(bound == 1 for bound in left.values()):
        yield ()
        return
    for dim, bound in left.items():
        for factor in divisors(bound)[1:]:
            for rest in every_order({**left, dim: bound // factor}):
                yield (Loop(dim, factor), *rest)


def best_tiles(task, across, keeps, loops, limit):
    """The least energy of all places of the tiles among loops, below a limit; else infinite."""
    options = []
    for operand in "WIO":
        holders = [level for level, own in enumerate(keeps) if operand in own][:-1]
        own = []
        for places in itertools.product(range(len(loops) + 1), repeat=len(holders)):
            if list(places) == sorted(places, reverse=True):  # what lies inside lies inside of more loops
                found = built(task, across, keeps, loops, {operand: dict(zip(holders, places, strict=True))})
                if not allowed(task, operand, keeps, loops, dict(zip(holders, places, strict=True))):
                    continue
                energy = price(task, found).energy_pj
                bits = {level: tile_bits(task, found, level, operand) for level in holders}
                more = task.unfinished_bits() if operand == "O" and sums_return(task, found) else 0.0
                own.append((sum(value for key, value in energy.items() if key[1] == operand), bits, more))
        if not own:
            return math.inf
        options.append(sorted(own, key=lambda item: item[0]))
    fixed = sum(value for key, value in energy.items() if key[1] not in ("W", "I", "O"))
    best = math.inf
    for chosen in itertools.product(*options):
        energy = fixed + sum(item[0] for item in chosen)
        if energy < min(best, limit) and fits(task, chosen):
            best = energy
    return best


def allowed(task, operand, keeps, loops, places):
    """Levels may loop, in time, over the loops right inside of their tiles that index the operand."""
    end, dims = len(loops), set()
    for index, level in enumerate(task.accelerator.levels):
        dims |= set(level.temporal_dims)
        if operand in keeps[index]:
            begin = places.get(index, 0)
            if any(loop.dim in RELEVANT[operand] and loop.dim not in dims for loop in loops[begin:end]):
                return False
            end, dims = begin, set()
    return True


def fits(task, chosen):
    """The tiles of W, I and O fit their memories together, beside unfinished sums of outputs that stay."""
    for index, level in enumerate(task.accelerator.levels[:-1]):
        for memory in level.memories:
            if memory.size_bits is None:
                continue
            need = sum(
                memory.copies * bits.get(index, 0)
                for operand, (_, bits, _) in zip("WIO", chosen, strict=True)
                if operand in memory.holds
            )
            if task.rests("O", memory):
                need += chosen[2][2]
            if need > task.room_bits(memory):
                return False
    return True


def built(task, across, keeps, loops, places):
    """A mapping all of whose temporal loops are the innermost level's, with tiles at given places among them."""
    levels = []
    for index, level in enumerate(task.accelerator.levels):
        inward = tuple(
            (operand, own[index])
            for operand, own in places.items()
            if own.get(index, 0) and operand in keeps[index]
        )
        levels.append(
            LevelMapping(
                name=level.name, temporal=tuple(loops) if index == 0 else (), spatial=across[index],
                keeps=tuple(o for o in "WIO" if o in keeps[index]), inward=inward,
            )
        )  # fmt: skip
    return Mapping(levels=tuple(levels))
