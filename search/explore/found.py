"""What an exploration found: the fronts, every design that was priced, and how many needed no price."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwmodel.chip.sweep.space import Design, DesignSpace
from hwmodel.errors import ConfigError, did_you_mean
from search.explore.axes import KEYS, Axes, View, mean
from search.explore.field import FAILED, NO_CHIP, OUTSIDE, PRICED, RULED_OUT, Field
from search.front.pareto import knee

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the designs.

    Attributes:
        space: combinations there are.
        seen: that were looked at: all, or those that were proposed.
        priced: mapped and priced.
        ruled_out: lower bounds show that they are on no front.
        outside: of the budget, by their bounds or their costs.
        no_chip: combinations that can be no chip.
        failed: chips on which some network does not run.
    """

    space: int
    seen: int
    priced: int
    ruled_out: int
    outside: int
    no_chip: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class ChipRow:
    """One priced design.

    Attributes:
        number: of the combination, in the order of the ranges.
        values: path -> value.
        area_mm2: of the chip [mm^2], None where it is not known.
        energy_pj, latency_s, cycles: of every network, by name.
        fronts: that it is on: names of networks, "" of the means.
        is_knee: where a front bends.
    """

    number: int
    values: Mapping[str, Any]
    area_mm2: float | None
    energy_pj: Mapping[str, float]
    latency_s: Mapping[str, float]
    cycles: Mapping[str, int]
    fronts: tuple[str, ...]
    is_knee: bool

    @property
    def key(self) -> str:
        """8 hex digits of its values, the same in any other exploration."""
        text = ", ".join(f"{path}={value}" for path, value in self.values.items())
        return hashlib.sha256(text.encode()).hexdigest()[:8]

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
        """A row per design of a front, or of all priced ones by number, the front marked.

        Args:
            every: all that were priced.
            model: whose front; None is the only one, or all of them.
        """
        import pandas as pd

        chosen: Sequence[ChipRow] = self.rows
        if not every:
            named = [model] if model is not None or len(self.fronts) == 1 else list(self.fronts)
            chosen = list({row.number: row for name in named for row in self.front(name)}.values())
        return pd.DataFrame([{**row.to_dict(), "front": bool(row.fronts), "knee": row.is_knee} for row in chosen])


def found_of(space: DesignSpace, field: Field, notes: Sequence[str]) -> ChipExploration:
    """The result of a field whose designs are all decided."""
    axes, fronts = field.axes, {view.model: field.front(view.columns) for view in field.axes.views}
    knees = set()
    for view in axes.views:
        rows = fronts[view.model]
        if len(rows) > 2:
            knees.add(int(rows[knee(field.losses(rows)[:, list(view.columns)])]))
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
                is_knee=row in knees,
            )
        )
    count = {state: len(field.rows(state)) for state in (PRICED, RULED_OUT, OUTSIDE, NO_CHIP, FAILED)}
    return ChipExploration(
        space=space,
        axes=axes,
        rows=tuple(found),
        counts=Counts(
            space=space.size, seen=len(field), priced=field.num_priced, ruled_out=count[RULED_OUT],
            outside=count[OUTSIDE], no_chip=count[NO_CHIP], failed=count[FAILED],
        ),
        notes=tuple(notes),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    import numpy as np

    return float(mean(np.array([values], dtype=float))[0])


__all__ = ["KEYS", "ChipExploration", "ChipRow", "Counts", "found_of"]
