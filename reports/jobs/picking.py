"""`hwmodel pick`, `report`, and `--pick` of other commands: another point of the front, and the folder follows."""

from __future__ import annotations

import shlex
import webbrowser
from pathlib import Path
from typing import Any

import typer

from reports.jobs.reporting import reported, show
from reports.page.html import REPORT
from reports.run.folder import Run
from reports.run.metrics import known_costs, picked_text
from reports.terminal.console import emit_json, make_console, say
from reports.terminal.tables import print_lines
from search.job import finish_pick, pick_job
from search.ledger import LEDGER
from search.outputs import BEST, picked_number


def pick(*, run: Path, rule: str, design: int | None, device: str | None, json: bool) -> None:
    """Choose another candidate; weights, tables, `best.yaml` and the page follow."""
    before = picked_number(run)
    pick_job(run, rule, design=design, device=device)
    found = reported(run)
    if json:
        emit_json(_data(found, before))
    else:
        print_lines(make_console(), [("", text) for text in _lines(found, before)])


def report(*, run: Path, pick: str | None, open: bool, json: bool) -> None:
    """Write the page and the figures of a run again, and show its front."""
    picked_run(run, pick)
    show(reported(run), json=json)
    page = (run / REPORT).resolve()
    if open and not webbrowser.open(page.as_uri()):
        say(f"No browser could be opened: open {page} in one.")


def picked_run(source: Path, rule: str | None, device: str | None = None) -> None:
    """What `--pick` does before its command: choose, or finish a pick that was interrupted.

    Args:
        source: folder of a run, or the `best.yaml` in one.
        rule: None chooses nothing.
    """
    folder = source if source.is_dir() else source.parent
    is_run = (folder / LEDGER).exists() and (source.is_dir() or source.name == BEST)
    if rule is None:
        if is_run and (finished := finish_pick(folder, device=device)) is not None:
            reported(folder)
            say(f"Picking candidate {finished.number} was interrupted: finished now.")
        return
    if not is_run:
        raise typer.BadParameter(f"needs the folder of a run, but got {str(source)!r}", param_hint="--pick")
    before = picked_number(folder)
    pick_job(folder, rule, device=device)
    for text in _lines(reported(folder), before)[:-1]:
        say(text)


def _lines(run: Run, before: int | None) -> list[str]:
    """What is picked now, what ties with it, and what follows it; the last line says what to type next."""
    row = run.picked_row
    was = "" if before is None else " (as before)" if before == row["number"] else f" (was #{before})"
    costs = [cost.written(row[cost.key]) + (" bits" if cost.shown[0] == "bit" else "") for cost in _shown(run)]
    lines = [f"#{row['number']} picked{was}: {', '.join([picked_text(row), *costs])}{_saving(run)}"]
    ties = [f"#{number}" for number in run.candidates.loc[run.candidates["tie"], "number"].unique()]
    if ties:
        lines.append(f"In accuracy a tie with {', '.join(ties)} of the front: their 95 % intervals overlap.")
    folder = shlex.quote(str(run.folder))
    follow = f"{BEST}, weights, tables and {REPORT} follow it."
    return [*lines, f"{follow} hwmodel export {folder} -f qonnx -o net.onnx"]


def _shown(run: Run) -> list[Any]:
    """Average bits, and the costs that the search optimised."""
    wanted = {"avg_w_bits", *run.objectives}
    return [cost for cost in known_costs(run.candidates) if cost.name in wanted]


def _saving(run: Run) -> str:
    """The last of the costs against the baseline: ` (-26.0 % against uniform 8-bit)`."""
    costs = _shown(run)
    if run.baseline_row is None or not costs or not run.baseline_row[costs[-1].key]:
        return ""
    share = run.picked_row[costs[-1].key] / run.baseline_row[costs[-1].key] - 1
    return f" ({share * 100:+.1f} % against {run.baseline_name})"


def _data(run: Run, before: int | None) -> dict[str, Any]:
    row = run.picked_row
    return {
        "run": str(run.folder), "picked": int(row["number"]), "was": before, "accuracy": row["accuracy"],
        "low": row["accuracy_low"], "high": row["accuracy_high"], "believed": row["believed"],
        "ties": [int(number) for number in run.candidates.loc[run.candidates["tie"], "number"].unique()],
        "costs": {cost.key: row[cost.key] for cost in known_costs(run.candidates)},
        "config": f"{run.folder}/{BEST}", "report": f"{run.folder}/{REPORT}",
    }  # fmt: skip
