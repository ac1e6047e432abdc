"""The end of a search on the terminal: the front, the precision of every layer, and where everything is."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import OK, WARNING, safe_name, shortened
from reports import units
from reports.run.alerts import alerts
from reports.run.candidates import front_rows
from reports.run.designs import designs_text
from reports.run.findings import decision, finding
from reports.run.folder import Run
from reports.run.frames import records
from reports.run.metrics import (
    bits_text,
    float_test_text,
    interval_text,
    known_costs,
    scored_text,
    seeds_text,
    share_text,
)
from reports.terminal.tables import new_table, safe_text

if TYPE_CHECKING:
    from rich.table import Table

#: Letters of a layer's name in a table; `--json` and layers.csv have the whole.
NAME_LENGTH = 40


def front_table(run: Run, width: int = 80) -> Table:
    """The front: costs that may be objectives, validation (PTQ, QAT) and test accuracy; pick and ties marked."""
    costs = [cost for cost in known_costs(run.candidates) if cost.role == "objective"]
    rows = records(front_rows(run.candidates))
    believes = any(math.isfinite(row["believed"]) for row in rows)
    accuracies = ["PTQ", "QAT", "95 %", *(["Believed"] if believes else []), "Test"]
    has_designs = "design" in run.candidates.columns
    table = new_table(
        "#",
        *(["Design"] if has_designs else []),
        *(cost.short or cost.label for cost in costs),
        *accuracies,
        "<",
        width=width,
    )
    for row in rows:
        cells = [
            str(row["number"]),
            *([str(row["design"])] if has_designs else []),
            *(cost.written(row[cost.key]) for cost in costs),
            units.percent(row["ptq_accuracy"]),
            units.percent(row["qat_accuracy"]),
            interval_text(row, "accuracy") or units.MISSING,
            *([units.percent(row["believed"])] if believes else []),
            units.percent(row["test_accuracy"]),
            "picked" if row["picked"] else "tie" if row["tie"] else "",
        ]
        table.add_row(*(safe_text(cell) for cell in cells), style="bold" if row["picked"] else "")
    return table


def precision_table(run: Run, width: int = 80) -> Table:
    """Bits, density, weights, MACs and share of the energy, layer by layer, of the picked configuration."""
    layers = run.layers
    priced = layers is not None and "energy_pj" in layers.columns
    headers = ["<Layer", "<W/A", "Density", "Weights", "MACs", *(["Energy", "Share"] if priced else [])]
    table = new_table(*headers, width=width)
    if layers is None:
        return table
    total = float(layers["energy_pj"].sum()) if priced else 0.0
    for row in records(layers):
        cells = [
            f"{bits_text(row['w_bits'])}/{bits_text(row['a_bits'])}",
            f"{row['density']:.2f}",
            units.count(row["weights"]),
            units.count(row["macs"]),
        ]
        if priced:
            cells += [units.energy(row["energy_pj"]), share_text(row["energy_pj"], total)]
        table.add_row(safe_text(shortened(safe_name(row["layer"]), NAME_LENGTH)), *cells)
    return table


def run_lines(run: Run) -> list[tuple[str, str]]:
    """What to deploy and what was found, the definition of average precision, warnings, and what to type next."""
    lines = [("", decision(run)), ("", finding(run))]
    if run.designs is not None:
        lines.append(("", designs_text(run.designs)))
    if run.float_accuracy is not None:
        lines.append(("", f"float model: {run.float_accuracy} on the validation split"))
    if run.picked_row is not None and math.isfinite(run.picked_row["test_accuracy"]):
        lines.append(("", f"test split: {_test_text(run)}"))
    if run.layers is not None:
        lines.append(("", f"average weight precision of the picked one: {run.average_precision:.4f} bit"))
        lines.append(("", run.precision_definition))
    lines += [(WARNING, warning) for warning in (*alerts(run), *run.warnings)]
    lines.append((OK, f"report: {run.folder}/report.html"))
    if run.has_config:
        lines.append(
            (OK, f"train it further: hwmodel finetune --config {shlex.quote(str(run.folder / 'best.yaml'))}")
        )
    return lines


def _test_text(run: Run) -> str:
    """The picked one on the test split, its seeds, and the float model."""
    seeds = seeds_text(run.picked_row)
    text = scored_text(run.picked_row, "test") + (f", {seeds}" if seeds else "")
    return text if run.float_test is None else f"{text}; float {float_test_text(run.float_test)}"


def run_data(run: Run) -> dict[str, Any]:
    """The run as JSON: front, picked configuration, paths."""
    picked = run.picked_row
    return {
        "run": str(run.folder),
        "objectives": list(run.objectives),
        "float_accuracy": None if run.float_accuracy is None else run.float_accuracy.value,
        "float_interval": None if run.float_accuracy is None else asdict(run.float_accuracy.interval),
        "num_candidates": len(run.candidates),
        "num_failed": int((run.candidates["status"] == "failed").sum()),
        "front": records(front_rows(run.candidates)),
        "picked": None if picked is None else int(picked["number"]),
        "average_precision_bits": run.average_precision,
        "average_precision_definition": run.precision_definition,
        "designs": run.designs,
        "decision": decision(run),
        "warnings": [*alerts(run), *run.warnings],
        "report": f"{run.folder}/report.html",
        "config": f"{run.folder}/best.yaml" if run.has_config else None,
    }
