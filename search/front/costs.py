"""The costs of a candidate, one row each: what the YAML, the ledger, the tables and the figures know of them.

To add a cost, add its row to `COSTS`. Nothing else lists them: as an `objective` it may then be asked for in the
specification, it is priced, written into every CSV, a column of every table and an axis of the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from hwmodel.show.quantities import count, engineering, number, quantity, stripped

#: Units of `Cost.shown` that no prefix goes with.
WITHOUT_PREFIX = ("bit", "mm²")
#: Where a cost appears beside files and figures, which hold all. `objective`: it may be searched for, and every
#: table has it. `page`: the tables of the HTML page. `comparison`: those that are not of the front. `file`: none.
Role = Literal["objective", "page", "comparison", "file"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One cost; less is better.

    Attributes:
        key: of `Result.costs` and the column of every table, unit included: `energy_pj`.
        name: as users write it among the objectives: `energy`.
        unit: of the value.
        label: of a column.
        short: the same where 80 columns must do; "" is `label`.
        axis: the whole name, for axes and captions.
        note: a word on what it is, beside its label.
        shown: unit that people read, and the factor to it: ("J", 1e-12).
        role: where it appears.
        needs_accelerator: it depends on one.
        needs_designs: it tells the designs of a chip file with ranges apart, and is the same for all configurations
            on one chip, so it is a cost only there.
        compute: from `hwmodel.table.Totals` or a `NetworkCost`; None reads the attribute `key`. Without an
            accelerator it is given `search.propose.pricing.ModelTotals`.
    """

    key: str
    name: str
    unit: str
    label: str
    short: str = ""
    axis: str
    note: str = ""
    shown: tuple[str, float]
    role: Role = "objective"
    needs_accelerator: bool = True
    needs_designs: bool = False
    compute: Callable[[Any], float] | None = None

    def is_known(self, totals: Any) -> bool:
        """Totals have it: a table of several designs whose areas are known."""
        return not self.needs_designs or hasattr(totals, self.key)

    def of(self, totals: Any) -> float:
        """The value for one candidate [unit]."""
        return float(getattr(totals, self.key) if self.compute is None else self.compute(totals))

    def written(self, value: float | None) -> str:
        """As tables show it: `4.10 mJ`; bits and counts without a unit."""
        unit, factor = self.shown
        if unit in WITHOUT_PREFIX:
            return number(value, 3) + ("" if unit == "bit" or value is None else f" {unit}")
        return quantity(None if value is None else value * factor, unit) if unit else count(value)

    def in_full(self, value: float) -> str:
        """In the same unit, with what rounds away in a table: `4.10172 mJ`, `2 ms`, `3.5 bit`."""
        unit, factor = self.shown
        if unit in ("", *WITHOUT_PREFIX):
            return f"{value:.6g} {unit}".rstrip()
        mantissa, prefix = engineering(value * factor, 6)
        return f"{stripped(mantissa)} {prefix}{unit}"


#: In the order of the columns of the CSV files. Tables show the objectives first (`in_tables`).
COSTS: tuple[Cost, ...] = (
    Cost(
        key="avg_w_bits", name="avg_w_bits", unit="bit", label="Average bits", short="W bits",
        axis="Average weight precision", note="average weight precision", shown=("bit", 1.0),
        needs_accelerator=False,
    ),
    Cost(
        key="weight_bits", name="weight_bits", unit="bit", label="Weights", axis="Weights", note="stored weights",
        shown=("B", 1 / 8), role="page", needs_accelerator=False,
    ),
    Cost(
        key="bops", name="bops", unit="", label="Bit operations", axis="Bit operations",
        note="MACs × weight bits × activation bits", shown=("", 1.0), role="comparison", needs_accelerator=False,
    ),
    Cost(
        key="energy_pj", name="energy", unit="pJ", label="Energy", axis="Energy per inference",
        note="per inference", shown=("J", 1e-12),
    ),
    Cost(
        key="latency_s", name="latency", unit="s", label="Latency", axis="Latency", note="per inference",
        shown=("s", 1.0),
    ),
    Cost(key="cycles", name="cycles", unit="", label="Cycles", axis="Cycles", shown=("", 1.0), role="file"),
    Cost(
        key="memory_bits", name="memory", unit="bit", label="Memory", axis="Weights and peak activations",
        note="weights and peak activations", shown=("B", 1 / 8),
    ),
    Cost(
        key="area_mm2", name="area", unit="mm^2", label="Area", axis="Area of the chip", note="of the chip",
        shown=("mm²", 1.0), needs_designs=True,
    ),
)  # fmt: skip


def at_chip(key: str, name: str) -> str:
    """The key of a cost on a further accelerator of that name: `energy_pj@tpu_v1`."""
    return f"{key}@{name}"


def cost_named(key: str) -> Cost | None:
    """The cost of a key, of a further accelerator too (`energy_pj@tpu_v1`); None: there is none."""
    plain, _, chip = key.partition("@")
    found = next((cost for cost in COSTS if cost.key == plain), None)
    if found is None or not chip:
        return found
    if not found.needs_accelerator:
        return None
    return replace(
        found, key=key, name=at_chip(found.name, chip), label=f"{found.label} ({chip})",
        short=f"{found.short or found.label} ({chip})", axis=f"{found.axis}, {chip}",
    )  # fmt: skip


def costs_of(columns: Iterable[str]) -> tuple[Cost, ...]:
    """The costs among the names of columns, in the order of the tables; those of further accelerators last."""
    names = list(columns)
    known = [cost for cost in (*in_tables(), *COSTS) if cost.key in names]
    more = [cost for name in names if "@" in name and (cost := cost_named(name)) is not None]
    return tuple({cost.key: cost for cost in (*known, *more)}.values())


def in_tables() -> tuple[Cost, ...]:
    """The costs that tables show, objectives first."""
    shown = [cost for cost in COSTS if cost.role != "file"]
    return tuple(sorted(shown, key=lambda cost: cost.role != "objective"))
