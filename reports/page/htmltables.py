"""The tables of the HTML report as rows of text; the template only lays them out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports import units
from reports.run.candidates import front_rows
from reports.run.frames import records
from reports.run.metrics import (
    bits_text,
    change,
    interval_of,
    interval_text,
    known_costs,
    points,
    seeds_text,
    share_text,
)
from search.front.costs import Cost

if TYPE_CHECKING:
    import pandas as pd

#: Rows of the table of all candidates where no script runs; the rest is in candidates.csv.
MAX_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class Column:
    """Header of a table; `align` is left, right or wrap, `title` explains it."""

    header: str
    align: str = "right"
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Cells of a table; `mark` is "", picked or failed."""

    cells: Sequence[str]
    mark: str = ""


@dataclass(frozen=True, kw_only=True)
class HtmlTable:
    """What the template's table macro draws."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    total: Sequence[str] = ()


ACCURACIES = (
    ("Accuracy, quantized (PTQ)", "ptq_accuracy"),
    ("Accuracy, finetuned (QAT)", "qat_accuracy"),
    ("Accuracy on the test split", "test_accuracy"),
)


def columns(*headers: str, titles: Mapping[str, str] | None = None) -> list[Column]:
    """Columns from headers; a leading `<` aligns left, a leading `~` wraps."""
    align = {"<": "left", "~": "wrap"}
    return [
        Column(header=text.lstrip("<~"), align=align.get(text[:1], "right"), title=(titles or {}).get(text, ""))
        for text in headers
    ]


def cost_columns(costs: Sequence[Cost]) -> list[Column]:
    return [Column(header=cost.label, title=cost.note) for cost in costs]


def comparison_table(
    picked: pd.Series, baseline: pd.Series, name: str, costs: Sequence[Cost], float_accuracy: float | None
) -> HtmlTable:
    """The picked candidate beside a baseline called `name`."""
    rows = [Row(cells=["Accuracy of the float model", *[units.percent(float_accuracy)] * 2, ""])]
    rows += [
        Row(cells=[label, units.percent(baseline[key]), units.percent(picked[key]), _gap(picked, baseline, key)])
        for label, key in ACCURACIES
        if math.isfinite(picked[key])
    ]
    for cost in costs:
        before, after = baseline[cost.key], picked[cost.key]
        rows.append(Row(cells=[cost.label, cost.written(before), cost.written(after), change(after, before)]))
    return HtmlTable(columns=columns("<", name, "Picked", "Change"), rows=rows)


def _gap(picked: Any, baseline: Any, key: str) -> str:
    """The difference in points; a tie where the intervals of both are known and overlap."""
    first, second = (
        interval_of(row, "test" if key == "test_accuracy" else "accuracy")
        if key in ("test_accuracy", f"{row['stage']}_accuracy")
        else None
        for row in (picked, baseline)
    )
    tie = ", a tie" if first is not None and second is not None and first.overlaps(second) else ""
    return points(picked[key] - baseline[key]) + tie


def front_table(candidates: pd.DataFrame, float_accuracy: float | None) -> HtmlTable:
    """The front with its float, PTQ, QAT and test columns."""
    costs = [cost for cost in known_costs(candidates) if cost.role != "comparison"]
    titles = {
        "95 %": "Wilson interval of the finest accuracy [%]",
        "Believed": "what all results together say of its accuracy; the front is over these",
        "Test": "mean over seeds",
        "95 % of test": "Wilson interval of the mean [%]",
        "<Seeds": "finetunings of the candidate, and the standard deviation of their test accuracies",
        "<Tie": "accuracy not told apart from the picked one: the intervals overlap",
    }
    rows = []
    for row in records(front_rows(candidates)):
        cells = [
            str(row["number"]),
            "picked" if row["picked"] else "tie" if row["tie"] else "",
            *(cost.written(row[cost.key]) for cost in costs),
            units.percent(float_accuracy),
            units.percent(row["ptq_accuracy"]),
            units.percent(row["qat_accuracy"]),
            interval_text(row, "accuracy") or units.MISSING,
            units.percent(row["believed"]),
            units.percent(row["test_accuracy"]),
            interval_text(row, "test") or units.MISSING,
            seeds_text(row) or units.MISSING,
            str(row["origin"]),
        ]
        rows.append(Row(cells=cells, mark="picked" if row["picked"] else ""))
    tail = columns(
        "Float", "PTQ", "QAT", "95 %", "Believed", "Test", "95 % of test", "<Seeds", "<From", titles=titles
    )
    return HtmlTable(columns=[*columns("#", "<Tie", titles=titles), *cost_columns(costs), *tail], rows=rows)


def candidates_table(candidates: pd.DataFrame) -> HtmlTable:
    """Every score, in the order of the ledger, up to `MAX_ROWS`; errors where there are any."""
    costs = known_costs(candidates)
    shown = candidates.head(MAX_ROWS)
    has_errors = bool((shown["status"] == "failed").any())
    rows = [_candidate_row(row, costs, has_errors) for row in records(shown)]
    head = columns("#", "<Stage", "<From", "Accuracy")
    tail = columns("Time", "<Key", *(["~Error"] if has_errors else []))
    return HtmlTable(columns=[*head, *cost_columns(costs), *tail], rows=rows)


def _candidate_row(row: Mapping[str, Any], costs: Sequence[Cost], has_errors: bool) -> Row:
    failed = row["status"] == "failed"
    cells = [
        str(row["number"]),
        str(row["stage"]).upper(),
        str(row["origin"]),
        "failed" if failed else units.percent(row["accuracy"]),
        *(cost.written(row[cost.key]) for cost in costs),
        units.seconds(row.get("wall_s")),
        str(row["key"])[:8],
        *([str(row["error"])[:400]] if has_errors else []),
    ]
    return Row(cells=cells, mark="failed" if failed else "picked" if row["picked"] else "")


def layers_table(frame: pd.DataFrame, num_weights: int) -> HtmlTable:
    """Bits, density, weights, MACs and, if priced, the cost of every layer of one configuration.

    Args:
        frame: a row per layer.
        num_weights: that the network stores, each once (`LayerGraph.weights`): rows may share one.
    """
    priced = "energy_pj" in frame.columns
    total = float(frame["energy_pj"].sum()) if priced else 0.0
    titles = {
        "Huffman": "average length of a Huffman code of the weights [bit]",
        "Share": "of the energy",
        "Use": "MACs over what the array could do in these cycles",
        "Out bits": "width at which the output is written: what its readers ask for",
        "<Stays": "operands that lie in the memory where tensors stay",
    }
    stays = ["<Stays"] if priced and _any_resident(frame) else []
    written = ["Out bits"] if "o_bits" in frame.columns else []
    coded = ["Huffman"] if "huffman_bits" in frame.columns else []
    head = columns(
        "<Layer", "<Out", "W bits", *coded, "A bits", *written, "Density", "Weights", "MACs", titles=titles
    )
    tail = columns("Energy", "Share", "Cycles", "Use", "<Bound", *stays, titles=titles) if priced else []
    rows = [
        Row(
            cells=_layer_cells(row)
            + (_priced_cells(row, total) if priced else [])
            + ([str(row["resident"])] if stays else [])
        )
        for row in records(frame)
    ]
    sums = [
        "Total",
        "",
        "",
        *([""] * len(coded + written)),
        "",
        "",
        f"{num_weights:,}",
        units.count(frame["macs"].sum()),
    ]
    if priced:
        sums += [
            units.energy(total),
            "100.0 %",
            units.count(frame["cycles"].sum()),
            "",
            "",
            *([""] if stays else []),
        ]
    return HtmlTable(columns=[*head, *tail], rows=rows, total=sums)


def _any_resident(frame: pd.DataFrame) -> bool:
    return "resident" in frame.columns and bool((frame["resident"] != "").any())


def _layer_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["layer"]),
        str(row["out_shape"]).replace("x", "×"),
        bits_text(row["w_bits"]) if row["weights"] else units.MISSING,
        *_code_length(row),
        bits_text(row["a_bits"]),
        *([bits_text(row["o_bits"])] if "o_bits" in row else []),
        f"{row['density']:.2f}",
        f"{int(row['weights']):,}",
        units.count(row["macs"]),
    ]


def _code_length(row: Mapping[str, Any]) -> list[str]:
    if "huffman_bits" not in row:
        return []
    length = row["huffman_bits"]
    return [units.MISSING if length is None or math.isnan(length) else f"{length:.2f}"]


def _priced_cells(row: Mapping[str, Any], total: float) -> list[str]:
    return [
        units.energy(row["energy_pj"]),
        share_text(row["energy_pj"], total),
        units.count(row["cycles"]),
        f"{row['utilization'] * 100:.0f} %",
        str(row["bound"]),
    ]


def breakdown_table(frame: pd.DataFrame) -> HtmlTable:
    """Energy per level over the whole network; `frame` has columns level and energy_pj."""
    sums = frame.groupby("level", sort=False)["energy_pj"].sum()
    total = float(sums.sum())
    rows = [
        Row(cells=[units.level_name(str(level)), units.energy(value), share_text(value, total)])
        for level, value in sums.items()
    ]
    return HtmlTable(
        columns=columns("<Where", "Energy", "Share"), rows=rows, total=["Total", units.energy(total), "100.0 %"]
    )
