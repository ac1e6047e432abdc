"""Our mapper against the best mapping known [pJ per MAC], with free dataflow and bypass."""

from __future__ import annotations

from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel import find_mapping
from hwmodel.interop.timeloop import accelerator_of, layer_of


def replay(data: object) -> list[Case]:
    """One case per row: energy per MAC of the best mapping."""
    content = cast(dict[str, Any], data)
    accelerators = {name: accelerator_of(spec) for name, spec in content["arch_specs"].items()}
    cases = []
    for row in content["rows"]:
        layer = layer_of(row["problem"], row["layer"])
        _, cost = find_mapping(layer, accelerators[row["arch"]])
        cases.append(
            Case(name=row["layer"], reference=row["best_pj_per_mac"], prediction=cost.energy_pj / layer.macs)
        )
    return cases
