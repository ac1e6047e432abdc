"""Mappings found once: layers that are mapped alike share theirs, in memory and on disk.

A mapping for a room of the resident memory is the one for the next larger room where that fits, and else searched
for: the best of more mappings that fits fewer is the best of these too (Lemma 13 of docs/explain/mapper.md). So it
is with narrower outputs (Lemma 14).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper.blocks import best_block
from hwmodel.mapper.cache import load_mapping, store_mapping
from hwmodel.mapper.commands.tilings import best_tiling
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.free import Objective, best_mapping, bound_best
from hwmodel.mapper.kin.chips import as_mapped, has_bounds, is_optimal, shares_mappings
from hwmodel.mapper.kin.floors import floors_for
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.row_stationary import row_stationary
from hwmodel.mapper.space.hierarchy import is_deep
from hwmodel.mapper.space.unrolling import padded_variants
from hwmodel.mapper.uneven.find import uneven_mapping
from hwmodel.nest.mapping import Mapping, room_needed
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Identity, Task, rooms_of
from hwmodel.nest.view import array_view
from hwmodel.network.layer import MAX_BITS, RELEVANT, Density
from hwmodel.price.priced import Priced
from hwmodel.price.spatial import price

#: The mapping found; None where none fits.
_mappings: dict[tuple[Identity, str], Mapping | None] = {}
_prices: dict[tuple[Identity, str, Density, str], tuple[Mapping, Priced]] = {}
#: Of mappings that need not be known.
_bounds: dict[tuple[Identity, str, Density, str], float] = {}
#: What chips share while `sharing_chips` is entered.
_library: list[Library] = []


@contextmanager
def sharing_chips(library: Library) -> Iterator[None]:
    """Within it chips that differ in sizes and bandwidths alone share what is found for one of them.

    Costs are the same with and without it; of mappings that are equal in what is minimised and in cycles it may
    take another.
    """
    _library.append(library)
    try:
        yield
    finally:
        _library.pop()


def map_and_price(task: Task, optimize: Objective) -> tuple[Mapping, Priced]:
    """The best mapping of a task and its price under it; each is found once, whatever its layers are called.

    Mapping and price both depend on the zeros: give the task with those as values that its accelerator cannot use.
    The price depends also on the kind of the layer (a matmul has no pattern among its weights). A row-stationary
    chip keeps the mapping of the dense layer, which its offline optimiser chooses.

    Raises:
        MappingError: no mapping fits.
    """
    key = (task.identity, optimize, task.layer.density, task.layer.kind)
    if key not in _prices:
        mapped = task.with_density(Density()) if task.accelerator.dataflow == "row_stationary" else task
        mapping = _best_mapping(mapped, optimize) or _search(mapped, optimize)  # raises again what it raised before
        priced = _library[-1].price(task, mapping) if _shares(task) else price(task, mapping)
        _prices[key] = (mapping, priced)
    return _prices[key]


def bound_mapping(task: Task, optimize: Objective) -> float:
    """A lower bound of the least energy, or the fewest cycles, of a task; 0 on chips whose mappings have none.

    The task is asked for with its zeros as `map_and_price` wants them.
    """
    chip = task.accelerator
    timed = optimize != "energy" and chip.timing.by_commands
    if timed or not chip.maps_freely:
        return 0.0
    if _library:
        return _library[-1].bound(task, optimize)
    key = (task.identity, optimize, task.layer.density, task.layer.kind)
    if key not in _bounds:
        view = array_view(task)
        _bounds[key] = floors_for(view, optimize).bound(view) if is_deep(chip) else bound_best(view, optimize)
    return _bounds[key]


def remembered(task: Task, what: Hashable, compute: Callable[[], Any]) -> Any:
    """What `compute` gives of a task where no size enters it; chips that share mappings share it, too."""
    return _library[-1].least(task, what, compute) if _library and has_bounds(task.accelerator) else compute()


def forget_mappings() -> None:
    """Forget what this process has found; what is on disk stays."""
    for found in (_mappings, _prices, _bounds):
        found.clear()


def resident_room(task: Task, mapping: Mapping) -> float:
    """What the tiles of a mapping take of the memory in which tensors may stay [bit]; 0 without one."""
    view, memory = array_view(task), task.accelerator.keeper
    return 0.0 if memory is None else room_needed(view, mapping, len(mapping.levels) - 2, memory)


def _best_mapping(task: Task, optimize: Objective) -> Mapping | None:
    """From this process, else from a larger room, from the disk, or searched for."""
    if is_optimal(task.accelerator) and is_deep(task.accelerator):
        task = replace(task, accelerator=as_mapped(task.accelerator, optimize))
    key = (task.identity, optimize)
    if key not in _mappings:
        # what a library knows of any larger room it finds itself, without a search for each room between
        roomier = None if _shares(task) else _larger_room(task)
        for easier in (roomier, _narrower_outputs(task, optimize)):
            if easier is not None:
                mapping = _best_mapping(easier, optimize)
                if mapping is None or _fits(task, mapping):
                    _mappings[key] = mapping
                    break
        else:
            _mappings[key] = _found(task, optimize)
    return _mappings[key]


def _fits(task: Task, mapping: Mapping) -> bool:
    try:
        check_mapping(array_view(task), mapping)
    except MappingError:
        return False
    return True


def _narrower_outputs(task: Task, optimize: Objective) -> Task | None:
    """The task with outputs of the width at which most mappings fit; None where another width may change the best.

    Every mapping writes each finished output as often as any other that keeps O at the same levels. Where all do,
    and none is padded to more outputs, the width of the outputs adds the same energy to all, and only decides which
    of them fit; among equals the fewest cycles count at that width. Resident outputs take less beside them the
    wider they are.
    """
    accelerator = task.accelerator
    is_free = accelerator.maps_freely and not any(level.bypass for level in accelerator.levels)
    is_free = is_free and not is_deep(accelerator)  # there places add into the same outputs beyond a level
    if optimize != "energy" or not is_free:
        return None
    if _pads_outputs(array_view(task)):
        return None
    keeper = accelerator.resident("O") if "O" in task.stay.resident else None
    if keeper is not None and "O" not in keeper.holds:
        return None
    width = 1 if keeper is None else MAX_BITS
    return None if task.widths.o == width else task.with_outputs(width)


def _pads_outputs(view: Task) -> bool:
    """Some mappings of a task, as the array sees it, have more outputs than the layer."""
    padded = padded_variants(view.layer.dims, view.accelerator.axes)
    return any(dim in RELEVANT["O"] for _, original in padded for dim in original)


def _larger_room(task: Task) -> Task | None:
    """The task with the next larger room; None where it has all of it."""
    memory = task.accelerator.keeper
    if task.stay.room_bits is None or memory is None:
        return None
    whole, *steps = rooms_of(memory)
    larger = [room for room in steps if room > task.stay.room_bits]
    return task.in_room(min(larger, default=None)) if task.stay.room_bits < whole else None


def _shares(task: Task) -> bool:
    return bool(_library) and shares_mappings(task.accelerator)


def _found(task: Task, optimize: Objective) -> Mapping | None:
    library = _library[-1] if _library and is_optimal(task.accelerator) else None
    reached = math.inf
    if library is not None and _shares(task):
        is_known, known = library.find(task, optimize)
        if is_known:
            return known
    elif library is not None and optimize == "energy":
        reached = library.reached(task, optimize)
    try:
        mapping = _search(task, optimize, reached)
    except MappingError:
        mapping = None
    if library is not None:
        library.add(task, optimize, mapping)
    return mapping


def _finder(chip: Accelerator, reached: float) -> Callable[[Task, Objective], Mapping]:
    """Who maps layers on a chip; reached: as for `deep_mapping` and `uneven_mapping`."""
    if chip.timing.by_blocks:
        return lambda view, _: best_block(view)
    if chip.dataflow == "row_stationary":
        return row_stationary
    if chip.timing.by_commands:
        return best_tiling
    if chip.tiles == "uneven":
        return partial(uneven_mapping, reached=reached)
    return partial(deep_mapping, reached=reached) if is_deep(chip) else best_mapping


def _search(task: Task, optimize: Objective, reached: float = math.inf) -> Mapping:
    view = array_view(task)
    mapping = load_mapping(view, optimize)
    if mapping is None:
        mapping = _finder(task.accelerator, reached)(view, optimize)
        store_mapping(view, optimize, mapping)
    return mapping
