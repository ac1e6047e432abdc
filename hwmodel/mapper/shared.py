"""Mappings found once: identical layers share theirs, in memory and on disk."""

from __future__ import annotations

from dataclasses import replace

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.cache import load_mapping, store_mapping
from hwmodel.mapper.free import Objective, best_mapping
from hwmodel.mapper.row_stationary import row_stationary
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.view import array_view
from hwmodel.network.layer import Density, Layer
from hwmodel.price.spatial import Priced, price

_mapped: dict[tuple[Layer, str, str], tuple[Mapping, Priced]] = {}
_mappings: dict[tuple[Layer, str, str], Mapping] = {}


def map_and_price(layer: Layer, accelerator: Accelerator, optimize: Objective) -> tuple[Mapping, Priced]:
    """Identical layers are mapped once, whatever they are called, and kept on disk."""
    key = (replace(layer, name="", module="", has_bias=False), accelerator.fingerprint, optimize)
    if key not in _mapped:
        mapping = _dense_mapping(layer, accelerator, optimize)
        _mapped[key] = (mapping, price(layer, accelerator, mapping))
    return _mapped[key]


def _dense_mapping(layer: Layer, accelerator: Accelerator, optimize: Objective) -> Mapping:
    """The mapping of the dense layer: it does not depend on the zeros, so that fewer values never cost more."""
    key = (replace(layer, name="", module="", has_bias=False, density=Density()), accelerator.fingerprint, optimize)
    if key not in _mappings:
        dense, array = array_view(replace(layer, density=Density()), accelerator)
        _mappings[key] = _stored_mapping(dense, array, optimize)
    return _mappings[key]


def _stored_mapping(layer: Layer, accelerator: Accelerator, optimize: Objective) -> Mapping:
    """The best mapping, from the disk where it is known."""
    mapping = load_mapping(layer, accelerator, optimize)
    if mapping is None:
        find = row_stationary if accelerator.dataflow == "row_stationary" else best_mapping
        mapping = find(layer, accelerator, optimize)
        store_mapping(layer, accelerator, optimize, mapping)
    return mapping
