"""What a run on a chip file with ranges leaves beside the files of every run: `designs.csv`, `best_chip.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hwmodel.csvfile import csv_text
from hwmodel.files import write_atomic
from search.codesign.front import OnDesign, design_frame, worthwhile
from search.front.results import Result

if TYPE_CHECKING:
    from search.study import Study

#: Finished candidates on every design that is worth something for them; the picked design as a chip file.
DESIGNS, CHIP = "designs.csv", "best_chip.yaml"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A finished run on several designs, and its pick.

    Attributes:
        front: pairs of candidate and design, cheapest first.
        pairs: every finished candidate of the stage of the front on its own best designs.
        picked: one of the front.
    """

    front: tuple[OnDesign, ...]
    pairs: tuple[OnDesign, ...]
    picked: OnDesign

    @classmethod
    def of(cls, study: Study, picked: Result) -> Self:
        """Of a study.

        Args:
            study: finished.
            picked: a result of its `design_front`, with the costs on its design.
        """
        front = study.design_front()
        stage, results = picked.stage, study.results()
        finished = [result for result in results if result.stage == stage]
        pairs = worthwhile(study.design_table(), finished, study.beliefs(results))
        return cls(front=front, pairs=pairs, picked=next(pair for pair in front if pair.result == picked))

    def columns(self, position: int) -> dict[str, Any]:
        """What the row of a member of the front says of its design."""
        design = self.front[position].design
        return {"design": design.number, **design.values}

    def record(self) -> dict[str, Any]:
        """The design of the pick, for `best.yaml`."""
        design = self.picked.design
        return {"number": design.number, "values": dict(design.values), "chip": CHIP}

    def write(self, folder: Path) -> None:
        """Both files, each whole or not at all."""
        write_atomic(folder / DESIGNS, csv_text(design_frame(self.pairs, self.front)))
        write_atomic(folder / CHIP, self.picked.design.to_yaml())
