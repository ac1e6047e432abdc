"""Our mapper against the best mapping known [pJ per MAC], with free dataflow and bypass.

Any level may keep any operand there, so all levels have words of one width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from benchmarks.replays.case import Case
from benchmarks.replays.timeloop import accelerator_of, layer_of, widths_of
from hwmodel import Accelerator, Layer, find_mapping


def replay(data: object) -> list[Case]:
    """One case per row: energy per MAC of the best mapping."""
    content = cast(dict[str, Any], data)
    cases = []
    for row in content["rows"]:
        layer, accelerator = problem_of(content, row)
        _, cost = find_mapping(layer, accelerator)
        cases.append(
            Case(name=row["layer"], reference=row["best_pj_per_mac"], prediction=cost.energy_pj / layer.macs)
        )
    return cases


def problem_of(content: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[Layer, Accelerator]:
    """The layer of a row and its architecture."""
    spec = content["arch_specs"][row["arch"]]
    bits = widths_of(spec)
    return layer_of(row["problem"], bits, row["layer"]), accelerator_of(spec, bits)
