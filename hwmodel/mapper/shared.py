"""Mappings found once: layers that are mapped alike share theirs, in memory and on disk.

A mapping for a room of the resident memory is the one for the next larger room where that fits, and else searched
for: the best of more mappings that fits fewer is the best of these too.
"""

from __future__ import annotations

from hwmodel.errors import MappingError
from hwmodel.mapper.cache import load_mapping, store_mapping
from hwmodel.mapper.free import Objective, best_mapping
from hwmodel.mapper.row_stationary import row_stationary
from hwmodel.nest.mapping import Mapping, room_needed
from hwmodel.nest.task import Identity, Task, rooms_of
from hwmodel.nest.view import array_view
from hwmodel.network.layer import Density
from hwmodel.price.spatial import Priced, price

#: The mapping found; None where none fits.
_mappings: dict[tuple[Identity, str], Mapping | None] = {}
_prices: dict[tuple[Identity, str, Density, str], tuple[Mapping, Priced]] = {}


def map_and_price(task: Task, optimize: Objective) -> tuple[Mapping, Priced]:
    """The best mapping of a task and its price under it; each is found once, whatever its layers are called.

    Both depend on the zeros: give the task with those as values that its accelerator cannot use. The price
    depends also on the kind of the layer (a matmul has no pattern among its weights). A row-stationary chip that
    skips zeros keeps the mapping of the dense layer: how long its PEs wait for each other is not searched for.

    Raises:
        MappingError: no mapping fits.
    """
    key = (task.identity, optimize, task.layer.density, task.layer.kind)
    if key not in _prices:
        waits = task.accelerator.dataflow == "row_stationary" and task.accelerator.skipping
        mapping = _best_mapping(task.with_density(Density()) if waits else task, optimize)
        if mapping is None:
            mapping = _search(task, optimize)  # raises again what it raised before
        _prices[key] = (mapping, price(task, mapping))
    return _prices[key]


def forget_mappings() -> None:
    """Forget what this process has found; what is on disk stays."""
    _mappings.clear()
    _prices.clear()


def resident_room(task: Task, mapping: Mapping) -> float:
    """What the tiles of a mapping take of the memory in which tensors may stay [bit]; 0 without one."""
    view, memory = array_view(task), task.accelerator.keeper
    return 0.0 if memory is None else room_needed(view, mapping, len(mapping.levels) - 2, memory)


def _best_mapping(task: Task, optimize: Objective) -> Mapping | None:
    """From this process, else from a larger room, from the disk, or searched for."""
    key = (task.identity, optimize)
    if key not in _mappings:
        larger = _larger_room(task)
        roomy = None if larger is None else _best_mapping(larger, optimize)
        if larger is not None and (roomy is None or resident_room(task, roomy) <= task.room_left):
            _mappings[key] = roomy
        else:
            _mappings[key] = _found(task, optimize)
    return _mappings[key]


def _larger_room(task: Task) -> Task | None:
    """The task with the next larger room; None where it has all of it."""
    memory = task.accelerator.keeper
    if task.stay.room_bits is None or memory is None:
        return None
    whole, *steps = rooms_of(memory)
    larger = [room for room in steps if room > task.stay.room_bits]
    return task.in_room(min(larger, default=None)) if task.stay.room_bits < whole else None


def _found(task: Task, optimize: Objective) -> Mapping | None:
    try:
        return _search(task, optimize)
    except MappingError:
        return None


def _search(task: Task, optimize: Objective) -> Mapping:
    view = array_view(task)
    mapping = load_mapping(view, optimize)
    if mapping is None:
        find = row_stationary if task.accelerator.dataflow == "row_stationary" else best_mapping
        mapping = find(view, optimize)
        store_mapping(view, optimize, mapping)
    return mapping
