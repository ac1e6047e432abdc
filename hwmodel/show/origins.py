"""Where the numbers of a chip come from that its file leaves to components."""

from __future__ import annotations

from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.chip.components.filling import mac_numbers, memory_numbers


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A part whose numbers follow from what it is.

    Attributes:
        place: `mac`, or the name of the memory.
        derived: number -> value, of those that the component gives: energies [pJ/bit, of a MAC pJ], `area` of one
            instance [mm^2], `leakage` of one instance [W].
        stated: numbers of it that the file states itself.
        said: model, node, and what was scaled from where.
    """

    place: str
    derived: dict[str, float]
    stated: tuple[str, ...]
    said: str


def origins(chip: Accelerator) -> tuple[Origin, ...]:
    """Every part of a chip that has a component, the MAC first, then the memories innermost first."""
    macs = [] if chip.mac_component is None else [_of_mac(chip)]
    return (*macs, *(_of_memory(memory) for memory in chip.memories().values() if memory.component is not None))


def _of_mac(chip: Accelerator) -> Origin:
    assert chip.mac_component is not None
    found = mac_numbers(chip.mac_component, chip.precision)
    return _origin(
        "mac",
        found.said,
        energy=(found.energy_pj, chip.precision.mac_pj),
        area=(found.area_mm2, chip.mac_area_mm2),
        leakage=(found.leakage_w, chip.array_leakage_w / chip.num_pes),
    )


def _of_memory(memory: Memory) -> Origin:
    assert memory.component is not None
    found, size = memory_numbers(memory.component, memory.size_bits), memory.size_bits
    area = None if found.area_mm2_per_bit is None or size is None else found.area_mm2_per_bit * size
    own = None if memory.area_mm2_per_bit is None or size is None else memory.area_mm2_per_bit * size
    return _origin(
        memory.name,
        memory.component.figures(size).said,
        read_energy=(found.read_pj_per_bit, memory.read_pj_per_bit),
        write_energy=(found.write_pj_per_bit, memory.write_pj_per_bit),
        area=(area, own),
        leakage=(found.leakage_w, memory.leakage_w),
    )


def _origin(place: str, said: str, **numbers: tuple[float | None, float | None]) -> Origin:
    """Numbers as (what the component gives, what the chip has)."""
    derived: dict[str, float] = {}
    stated = []
    for name, (given, own) in numbers.items():
        if given is not None and own is not None and _same(given, own):
            if given > 0:
                derived[name] = given
        elif own is not None:
            stated.append(name)
    return Origin(place=place, derived=derived, stated=tuple(stated), said=said)


def _same(one: float, two: float) -> bool:
    """Equal to the rounding of a product with a number of PEs."""
    return abs(one - two) <= 1e-12 * max(abs(one), abs(two))
