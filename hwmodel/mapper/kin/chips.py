"""What chips that differ in sizes and bandwidths alone have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from hwmodel.chip.accelerator import Accelerator, Level
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


def shares_mappings(accelerator: Accelerator) -> bool:
    """The mapper finds the optimum of such a chip, with the fewest cycles among equals."""
    is_free = accelerator.kind == "spatial" and accelerator.maps_freely
    return is_free and not accelerator.timing.by_commands and not is_deep(accelerator)


@lru_cache(maxsize=4096)
def kin_of(accelerator: Accelerator) -> Kin:
    """The chip as its mappings see it."""
    memories = [memory for level in accelerator.levels for memory in level.memories]
    plain = replace(
        accelerator, name="", clock_hz=1.0, technology_nm=None, vector=Vector(), mac_area_mm2=None,
        array_leakage_w=0.0, levels=tuple(_plain(level) for level in accelerator.levels),
    )  # fmt: skip
    ports = [
        (memory.read_bits_per_cycle, memory.write_bits_per_cycle, memory.network_bits_per_cycle)
        for memory in memories
    ]
    return Kin(
        outline=plain.fingerprint,
        ports=tuple(math.inf if width is None else width for found in ports for width in found),
    )


def _plain(level: Level) -> Level:
    """A level without what a roomier chip may have more of, and without what no mapping sees."""
    memories = (
        replace(
            memory, size_bits=None if memory.size_bits is None else 1.0, read_bits_per_cycle=None,
            write_bits_per_cycle=None, network_bits_per_cycle=None, area_mm2_per_bit=None, leakage_w=0.0, source="",
        )
        for memory in level.memories
    )  # fmt: skip
    return replace(level, memories=tuple(memories))
