"""What an exploration found: the fronts, every design that was priced, and how many needed no price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwmodel.chip.sweep.space import Design, DesignSpace
from hwmodel.errors import ConfigError, did_you_mean
from search.explore.axes import Axes, View, mean
from search.explore.field import FAILED, NO_AREA, NO_CHIP, OPEN, OUTSIDE, PRICED, RULED_OUT, Field
from search.front.pareto import knee

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the designs.

    Attributes:
        space: combinations there are.
        seen: that were looked at: all, or those that were proposed.
        priced: mapped and priced, and within the budget.
        ruled_out: lower bounds show that they are on no front.
        outside: of the budget, by their bounds or their costs.
        no_chip: combinations that can be no chip.
        no_area: chips whose area is asked for and not known.
        failed: chips on which some network does not run.
        undecided: that bounds do not rule out and that no trial was left for.
    """

    space: int
    seen: int
    priced: int
    ruled_out: int
    outside: int
    no_chip: int
    no_area: int
    failed: int
    undecided: int

    @property
    def is_whole(self) -> bool:
        """What becomes of every design is known, so the front is that of all."""
        return self.seen == self.space and not self.undecided


@dataclass(frozen=True, kw_only=True)
class ChipRow:
    """One priced design.

    Attributes:
        number: of the combination, in the order of the ranges.
        values: path -> value.
        area_mm2: of the chip [mm^2], None where it is not known.
        energy_pj, latency_s, cycles: of every network, by name.
        fronts: that it is on: names of networks, "" of the means.
        knees: of those the fronts that bend here.
    """

    number: int
    values: Mapping[str, Any]
    area_mm2: float | None
    energy_pj: Mapping[str, float]
    latency_s: Mapping[str, float]
    cycles: Mapping[str, int]
    fronts: tuple[str, ...]
    knees: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As tables show it: of several networks the geometric means first, then each."""
        row: dict[str, Any] = {"design": self.number, **self.values, "area_mm2": self.area_mm2}
        costs: tuple[tuple[str, Mapping[str, float]], ...] = (
            ("energy_pj", self.energy_pj), ("latency_s", self.latency_s), ("cycles", self.cycles),
        )  # fmt: skip
        several = len(self.energy_pj) > 1
        for key, found in costs:
            if several and key != "cycles":
                row[key] = _mean(list(found.values()))
            elif not several:
                row[key] = next(iter(found.values()))
        if several:
            row |= {f"{key}:{model}": value for model in self.energy_pj for key, found in costs
                    for value in (found[model],)}  # fmt: skip
        return row


@dataclass(frozen=True, kw_only=True)
class ChipExploration:
    """Designs of a chip, and what networks cost on them.

    Attributes:
        space: of the designs.
        axes: that they are compared in.
        rows: priced designs within the budget, by number.
        counts: what became of all.
        notes: what a reader must know first.
    """

    space: DesignSpace
    axes: Axes
    rows: tuple[ChipRow, ...]
    counts: Counts
    notes: tuple[str, ...]

    @cached_property
    def fronts(self) -> dict[str, tuple[ChipRow, ...]]:
        """Of the means ("") or of the one network, or of every network, by name; least energy first."""
        return {view.model: self._sorted(view) for view in self.axes.views}

    def front(self, model: str | None = None) -> tuple[ChipRow, ...]:
        """The designs that no other beats, least first.

        Args:
            model: whose front; None is the only one.

        Raises:
            ConfigError: there is no such front, or several.
        """
        if model is None and len(self.fronts) == 1:
            return next(iter(self.fronts.values()))
        if model not in self.fronts:
            names = ", ".join(self.fronts)
            raise ConfigError(
                f"front: must be of one of {names}, but got {model!r}.{did_you_mean(str(model), self.fronts)}"
            )
        return self.fronts[model]

    def _sorted(self, view: View) -> tuple[ChipRow, ...]:
        members = [row for row in self.rows if view.model in row.fronts]
        return tuple(sorted(members, key=lambda row: (*self.values(row, view.model), row.number)))

    def values(self, row: ChipRow, model: str = "") -> tuple[float, ...]:
        """A design in the axes of a front."""
        found = []
        for name in self.axes.names:
            if name == "area":
                found.append(row.area_mm2 or 0.0)
            else:
                costs = row.energy_pj if name == "energy" else row.latency_s
                found.append(costs[model] if model else _mean(list(costs.values())))
        return tuple(found)

    def design(self, number: int) -> Design:
        """A combination as a chip.

        Raises:
            AcceleratorError: it can be none.
        """
        return self.space.design(number)

    def to_dataframe(self, *, every: bool = False, model: str | None = None) -> pd.DataFrame:
        """A row per design of a front, or of all priced ones by number; `front` and `knee` mark those that are so.

        Args:
            every: all that were priced.
            model: whose front; None is the only one, or any of them.

        Raises:
            ConfigError: there is no such front.
        """
        import pandas as pd

        fronts = self.fronts if model is None else {model: self.front(model)}
        members = {row.number: row for front in fronts.values() for row in front}
        return pd.DataFrame([
            {
                **row.to_dict(),
                "front": not fronts.keys().isdisjoint(row.fronts),
                "knee": not fronts.keys().isdisjoint(row.knees),
            }
            for row in (self.rows if every else members.values())
        ])  # fmt: skip


def found_of(space: DesignSpace, field: Field, notes: Sequence[str]) -> ChipExploration:
    """The result of a field."""
    axes, fronts = field.axes, {view.model: field.front(view.columns) for view in field.axes.views}
    knees = {}
    for view in axes.views:
        rows = fronts[view.model]
        if len(rows) > 2:
            knees[view.model] = int(rows[knee(field.losses(rows)[:, list(view.columns)])])
    found = []
    for row in sorted(field.rows(PRICED).tolist(), key=lambda row: field.looks[row].number):
        look = field.looks[row]
        latency = field.cycles[row] / field.clock[row]
        found.append(
            ChipRow(
                number=look.number,
                values=space.values(look.number),
                area_mm2=look.area_mm2,
                energy_pj=dict(zip(axes.models, field.energy[row].tolist(), strict=True)),
                latency_s=dict(zip(axes.models, latency.tolist(), strict=True)),
                cycles={name: int(value) for name, value in zip(axes.models, field.cycles[row], strict=True)},
                fronts=tuple(name for name, members in fronts.items() if row in members),
                knees=tuple(name for name, place in knees.items() if place == row),
            )
        )
    ends = (PRICED, RULED_OUT, OUTSIDE, NO_CHIP, NO_AREA, FAILED, OPEN)
    priced, ruled_out, outside, no_chip, no_area, failed, undecided = (len(field.rows(end)) for end in ends)
    return ChipExploration(
        space=space,
        axes=axes,
        rows=tuple(found),
        counts=Counts(
            space=space.size, seen=len(field), priced=priced, ruled_out=ruled_out, outside=outside,
            no_chip=no_chip, no_area=no_area, failed=failed, undecided=undecided,
        ),
        notes=tuple(notes),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    import numpy as np

    return float(mean(np.array([values], dtype=float))[0])
