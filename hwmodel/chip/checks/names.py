"""Names of memories and axes that mean another thing in a cost or a chip file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.chip.yamlfile import misplaced

if TYPE_CHECKING:
    from hwmodel.chip.chipfile import ChipFile

#: What energies are told apart by beside memories.
OTHER_PLACES = frozenset({"mac", "mul", "add", "vector", "dac", "adc", "idle"})
#: What `per:` of a memory says beside axes: it is in every PE, or there once.
EVERY_PE, WHOLE_ARRAY = "pe", "array"


def check_names(chip: ChipFile) -> None:
    """Raises the error of the first name that is taken: energies of two parts would be one, places of two axes."""
    leaks = chip.unit.leakage or chip.unit.component
    for index, memory in enumerate(chip.memories):
        if memory.name in OTHER_PLACES or (memory.name == "array" and leaks):
            raise misplaced(
                f"{memory.name!r} is the name of another part in every cost: call no memory so",
                "memories", index, "name",
            )  # fmt: skip
    for index, axis in enumerate(chip.array):
        if axis.axis in (EVERY_PE, WHOLE_ARRAY):
            raise misplaced(
                f"`per: {axis.axis}` of a memory means another thing: call no axis so", "array", index, "axis"
            )
