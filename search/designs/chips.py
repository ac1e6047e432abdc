"""The accelerators of a study: none, one, several, or the designs of a chip file with ranges."""

from __future__ import annotations

from collections.abc import Sequence

from hwmodel import load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.sweep.designs import Designs, has_ranges, load_designs
from hwmodel.errors import ConfigError, did_you_mean
from search.designs.table import check_areas
from search.front.objective import Objective, has_energies


def as_accelerators(
    accelerator: Accelerator | Designs | str | Sequence[Accelerator | str] | None,
) -> tuple[Accelerator, ...] | Designs:
    """One, several or none, loaded; the designs of a file with ranges.

    Raises:
        ConfigError: two have the same name.
        AcceleratorError: a file cannot be read, or one of several has ranges.
    """
    if isinstance(accelerator, Designs):
        return accelerator
    if isinstance(accelerator, str) and has_ranges(accelerator):
        return load_designs(accelerator)
    given: Sequence[Accelerator | str]
    if accelerator is None:
        given = ()
    else:
        given = (accelerator,) if isinstance(accelerator, Accelerator | str) else accelerator
    chips = tuple(load_accelerator(item) if isinstance(item, str) else item for item in given)
    names = [chip.name for chip in chips]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"accelerator: each name may be given once, but got {', '.join(names)}. Rename one.")
    return chips


def examples_of(chips: Sequence[Accelerator] | Designs) -> tuple[Accelerator, ...]:
    """The chips, or the first design: what all designs have in common it has."""
    return (chips[0].accelerator,) if isinstance(chips, Designs) else tuple(chips)


def check_priced(
    objectives: Sequence[Objective], given: Sequence[Accelerator] | Designs, *, has_table: bool
) -> None:
    """Refuse costs that the chips, or the one that stands for all designs, cannot give.

    Raises:
        ConfigError: so it is.
    """
    chips = examples_of(given)
    _check_designs(objectives, given, has_table=has_table)
    further = {chip.name: chip for chip in chips[1:]}
    for objective in objectives:
        name = objective.name.partition("@")[2]
        if name and name not in further:
            raise ConfigError(
                f"objectives: {objective.name} needs a further accelerator of that name, but there are "
                f"{', '.join(further) or 'none'}. The first is meant by plain names.{did_you_mean(name, further)}"
            )
        chip = further[name] if name else (chips[0] if chips else None)
        if objective.needs_accelerator and chip is None and not has_table:
            raise ConfigError(f"objectives: {objective.name} needs an accelerator. Give one, such as 'eyeriss'.")
        if objective.key.startswith("energy_pj") and chip is not None and not has_energies(chip):
            raise ConfigError(
                f"objectives: energy needs energies, but {chip.name!r} has none: every candidate would cost 0 pJ. "
                "Use latency."
            )


def _check_designs(
    objectives: Sequence[Objective], given: Sequence[Accelerator] | Designs, *, has_table: bool
) -> None:
    """What only designs have a cost in, and what they cannot have."""
    keys = [objective.key for objective in objectives]
    if isinstance(given, Designs):
        if has_table:
            raise ConfigError("table: a chip file with ranges needs one for each design. Leave table out.")
        check_areas(given, keys)
    elif "area_mm2" in keys:
        raise ConfigError(
            "objectives: area is the same for every configuration on one chip. Give a chip file with ranges "
            "(`sweep`), or leave area out."
        )
