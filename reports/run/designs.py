"""The front of a run on a chip file with ranges, as its folder holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.csvfile import read_csv
from reports.run.frames import records
from search.codesign.outputs import CHIP, DESIGNS
from search.front.results import Result
from search.outputs import PARETO

if TYPE_CHECKING:
    from hwmodel.chip.sweep.designs import Designs
    from workloads.compress import ConfigFile


@dataclass(frozen=True, kw_only=True)
class DesignRow:
    """A result of the front on one of its designs.

    Attributes:
        result: with the costs on the design.
        design: its number.
        is_picked: the run ends with this pair.
    """

    result: Result
    design: int
    is_picked: bool


def on_designs(folder: Path, results: Sequence[Result]) -> tuple[DesignRow, ...]:
    """The front of a finished run; none before its end."""
    path = folder / PARETO
    if not path.exists():
        return ()
    known = {result.number: result for result in results}
    return tuple(
        DesignRow(
            result=replace(known[row["number"]], costs={key: row[key] for key in known[row["number"]].costs}),
            design=int(row["design"]),
            is_picked=bool(row["picked"]),
        )
        for row in records(read_csv(path))
        if row["number"] in known
    )


def designs_data(designs: Designs, best: ConfigFile | None) -> dict[str, Any]:
    """How many designs there were, what they differ in, and the values of the picked one, as JSON."""
    picked = None if best is None else best.metrics.get("design")
    return {"count": len(designs), "paths": list(designs.paths), "picked": picked}


def designs_text(data: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    count = f"{data['count']} designs of {', '.join(data['paths'])}"
    if not isinstance(data["picked"], Mapping):
        return f"{count}: candidates are shown on the reference design of each."
    values = ", ".join(f"{path}={value}" for path, value in data["picked"]["values"].items())
    return f"{count}: picked is design {data['picked']['number']} ({values}), in {CHIP}; all are in {DESIGNS}."
