"""The costs of a candidate as people see them: one list for every table, card and axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports import units

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A cost on the x axis: its label, its unit, and the factor to that unit; prefixes follow the data."""

    label: str
    unit: str = ""
    factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A cost.

    Attributes:
        key: in the results.
        label: heads a column, names a card.
        short: heads a column of a terminal; "" where the terminal leaves it out.
        title: a word on what it is.
        write: the value as text.
        axis: of figures.
        is_tabled: has a column in the table of all candidates.
        is_on_front: has one in the table of the front.
    """

    key: str
    label: str
    short: str = ""
    title: str
    write: Callable[[float], str]
    axis: Axis
    is_tabled: bool = True
    is_on_front: bool = True


def _write_bits(value: float) -> str:
    return units.number(value, 3)


METRICS = (
    Metric(
        key="avg_w_bits", label="Average bits", short="W bits", title="average weight precision", write=_write_bits,
        axis=Axis(label="Average weight precision", unit="bit"),
    ),
    Metric(
        key="energy_pj", label="Energy", short="Energy", title="per inference", write=units.energy,
        axis=Axis(label="Energy per inference", unit="J", factor=1e-12),
    ),
    Metric(
        key="latency_s", label="Latency", short="Latency", title="per inference", write=units.seconds,
        axis=Axis(label="Latency", unit="s"),
    ),
    Metric(
        key="cycles", label="Cycles", title="per inference", write=units.count, axis=Axis(label="Cycles"),
        is_tabled=False, is_on_front=False,
    ),
    Metric(
        key="memory_bits", label="Memory", short="Memory", title="weights and peak activations",
        write=units.data_size, axis=Axis(label="Weights and peak activations", unit="B", factor=1 / 8),
    ),
    Metric(
        key="weight_bits", label="Weights", title="stored weights", write=units.data_size,
        axis=Axis(label="Weights", unit="B", factor=1 / 8),
    ),
    Metric(
        key="bops", label="Bit operations", title="MACs × weight bits × activation bits", write=units.count,
        axis=Axis(label="Bit operations"), is_on_front=False,
    ),
)  # fmt: skip


def known_metrics(candidates: pd.DataFrame) -> list[Metric]:
    """The costs with a column in tables that the candidates carry."""
    return [
        metric
        for metric in METRICS
        if metric.is_tabled and metric.key in candidates.columns and candidates[metric.key].notna().any()
    ]


def change(value: float, reference: float) -> str:
    """`3.20× less`, `1.10× more`, `no less`; a dash where there is nothing to compare."""
    if not (value > 0 and reference > 0):
        return units.MISSING
    ratio = reference / value
    if 0.995 < ratio < 1.005:
        return "no less"
    return f"{ratio:.2f}× less" if ratio > 1 else f"{1 / ratio:.2f}× more"


def points(gap: float) -> str:
    """A difference of accuracies in percentage points."""
    return units.MISSING if math.isnan(gap) else f"{gap * 100:+.2f} points"


def test_text(row: Mapping[str, Any]) -> str:
    """`96.11 ± 0.42 %`, or a dash where the test split was not used."""
    if not math.isfinite(row["test_accuracy"]):
        return units.MISSING
    spread = f" ± {row['test_sd'] * 100:.2f}" if math.isfinite(row["test_sd"]) else ""
    return f"{row['test_accuracy'] * 100:.2f}{spread} %"


def bits_text(bits: float) -> str:
    """A width [bit]; 32 is float."""
    return "float" if bits == 32 else str(int(bits))


def share_text(value: float, total: float) -> str:
    """A part of a total, as `12.5 %`."""
    return f"{value / total * 100:.1f} %" if total else units.MISSING
