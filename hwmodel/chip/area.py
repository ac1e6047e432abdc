"""How large a chip is, from the cited area of each of its parts. What no source gives is unknown, not zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator


@dataclass(frozen=True, kw_only=True)
class ComponentArea:
    """All copies of one component.

    Attributes:
        name: `MACs`, or of the memory.
        copies: on the chip.
        mm2: of all copies together [mm^2], None when its description states no area.
        source: of its figures.
    """

    name: str
    copies: int
    mm2: float | None
    source: str


@dataclass(frozen=True, kw_only=True)
class Area:
    """A chip by component.

    Attributes:
        components: the MACs, then the on-chip memories innermost first.
    """

    components: tuple[ComponentArea, ...]

    @property
    def known_mm2(self) -> float:
        """Sum of the components whose area is known [mm^2]: a lower bound while `unknown` is not empty."""
        return sum(component.mm2 for component in self.components if component.mm2 is not None)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Components whose description states no area."""
        return tuple(component.name for component in self.components if component.mm2 is None)

    @property
    def mm2(self) -> float | None:
        """The sum, None when some component is unknown [mm^2]."""
        return None if self.unknown else self.known_mm2


def areas_not_known(parts: Iterable[str]) -> str:
    """A note on the parts whose description states no area."""
    return f"The area of the chip is not known: {', '.join(parts)} state none (`area:` in the file)."


def chip_area(accelerator: Accelerator) -> Area:
    """Area of a chip by component: PEs * area of a MAC, and copies * size * area per bit of each memory.

    Wires, control, pads and the vector unit are in it only as far as the cited figures include them. Memories
    without a size (DRAM) are off the chip.

    Args:
        accelerator: `area:` in its YAML, under `mac` and under each memory, gives the figures.
    """
    macs = accelerator.mac_area_mm2
    components = [
        ComponentArea(
            name="MACs",
            copies=accelerator.num_pes,
            mm2=None if macs is None else macs * accelerator.num_pes,
            source=accelerator.mac_source,
        )
    ]
    for level in accelerator.levels:
        for memory in level.memories:
            if memory.size_bits is None:
                continue
            copies = accelerator.num_copies(memory)
            per_bit = memory.area_mm2_per_bit
            mm2 = None if per_bit is None else copies * memory.size_bits * per_bit
            components.append(ComponentArea(name=memory.name, copies=copies, mm2=mm2, source=memory.source))
    return Area(components=tuple(components))
