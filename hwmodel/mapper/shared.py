"""Mappings found once: layers that are mapped alike share theirs, in memory and on disk."""

from __future__ import annotations

from hwmodel.mapper.cache import load_mapping, store_mapping
from hwmodel.mapper.free import Objective, best_mapping
from hwmodel.mapper.row_stationary import row_stationary
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Identity, Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import Density
from hwmodel.price.spatial import Priced, price

_mappings: dict[tuple[Identity, str], Mapping] = {}
_prices: dict[tuple[Identity, str, Density, str], tuple[Mapping, Priced]] = {}


def map_and_price(task: Task, optimize: Objective) -> tuple[Mapping, Priced]:
    """The best mapping of a task and its price under it; each is found once, whatever its layers are called.

    The mapping is that of the dense layer: it does not depend on the zeros, so that fewer values never cost more.
    The price depends on them, and on the kind of the layer (a matmul has no pattern among its weights).
    """
    key = (task.identity, optimize, task.layer.density, task.layer.kind)
    if key not in _prices:
        mapping = _best_mapping(task, optimize)
        _prices[key] = (mapping, price(task, mapping))
    return _prices[key]


def forget_mappings() -> None:
    """Forget what this process has found; what is on disk stays."""
    _mappings.clear()
    _prices.clear()


def _best_mapping(task: Task, optimize: Objective) -> Mapping:
    """From this process, else from the disk, else searched for."""
    key = (task.identity, optimize)
    if key not in _mappings:
        dense = array_view(task.with_density(Density()))
        mapping = load_mapping(dense, optimize)
        if mapping is None:
            find = row_stationary if task.accelerator.dataflow == "row_stationary" else best_mapping
            mapping = find(dense, optimize)
            store_mapping(dense, optimize, mapping)
        _mappings[key] = mapping
    return _mappings[key]
