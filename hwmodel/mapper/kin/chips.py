"""What chips that differ in sizes and bandwidths alone have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from hwmodel.chip.accelerator import Accelerator, Level, Memory
from hwmodel.chip.vector import Vector
from hwmodel.mapper.space.hierarchy import is_deep

#: Sizes [bit] and bandwidths [bit/cycle] of a chip, the room of residents among them.
Limits = tuple[float, ...]


@dataclass(frozen=True)
class Kin:
    """A chip as its mappings see it.

    Attributes:
        outline: fingerprint of all that sizes and bandwidths leave of it, and that enters energy or cycles.
        ports: read and write bandwidth of every memory, and that of its network, infinite where it has none
            [bit/cycle].
    """

    outline: str
    ports: Limits


def has_bounds(accelerator: Accelerator) -> bool:
    """What a network costs on such a chip has lower bounds that no mapping is needed for."""
    return accelerator.kind == "spatial"


def is_optimal(accelerator: Accelerator) -> bool:
    """The mapper finds the optimum of such a chip; ports decide about no energy, at most which equals are taken."""
    is_free = accelerator.kind == "spatial" and accelerator.maps_freely
    return is_free and not accelerator.timing.by_commands


def shares_mappings(accelerator: Accelerator) -> bool:
    """The mapper finds the optimum of such a chip, with the fewest cycles among equals."""
    return is_optimal(accelerator) and not is_deep(accelerator)


@lru_cache(maxsize=4096)
def kin_of(accelerator: Accelerator) -> Kin:
    """The chip as its mappings see it."""
    memories = [memory for level in accelerator.levels for memory in level.memories]
    ports = [
        (memory.read_bits_per_cycle, memory.write_bits_per_cycle, memory.network_bits_per_cycle)
        for memory in memories
    ]
    return Kin(
        outline=_plain(accelerator, sizes=False, ports=False).fingerprint,
        ports=tuple(math.inf if width is None else width for found in ports for width in found),
    )


@lru_cache(maxsize=4096)
def as_mapped(accelerator: Accelerator, optimize: str) -> Accelerator:
    """The chip as a mapper sees it that looks at its ports for cycles alone (`hwmodel.mapper.deep`)."""
    return _plain(accelerator, sizes=True, ports=optimize != "energy")


def _plain(accelerator: Accelerator, *, sizes: bool, ports: bool) -> Accelerator:
    """The chip without what no mapping sees, and if wanted without what a roomier one may have more of."""

    def plain(memory: Memory) -> Memory:
        bare = replace(memory, area_mm2_per_bit=None, leakage_w=0.0, source="")
        if not sizes and memory.size_bits is not None:
            bare = replace(bare, size_bits=1.0)
        if ports:
            return bare
        return replace(bare, read_bits_per_cycle=None, write_bits_per_cycle=None, network_bits_per_cycle=None)

    def plain_level(level: Level) -> Level:
        return replace(level, memories=tuple(plain(memory) for memory in level.memories))

    return replace(
        accelerator, name="", clock_hz=1.0, technology_nm=None, vector=Vector(), mac_area_mm2=None,
        array_leakage_w=0.0, levels=tuple(plain_level(level) for level in accelerator.levels),
    )  # fmt: skip
