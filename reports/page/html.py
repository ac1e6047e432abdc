"""`write_report`: one self-contained HTML page per run, and the same figures as PNG."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from hwmodel.files import write_atomic
from hwmodel.network.names import safe_name, shortened
from reports.figures import theme
from reports.figures.bars import breakdown_frame, plot_breakdown, plot_layers
from reports.figures.files import few_colours, figure_bytes
from reports.figures.occupancy import plot_memory
from reports.figures.pareto import plot_pareto
from reports.page import htmltables, sections
from reports.page.data import page_data
from reports.page.embed import json_text, policy, script
from reports.page.templating import data_uri, environment
from reports.run.alerts import alerts
from reports.run.findings import decision, finding
from reports.run.folder import Run, read_run
from reports.run.metrics import known_costs
from reports.terminal.placement import placement_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwmodel import NetworkCost

REPORT = "report.html"
#: Letters of a cell; the whole is its title.
NAME_LENGTH = 80
#: The space between a number and its unit, where no line may end.
NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=%|[npµmkMG]?[JsB]\b)")
COMPARISON_NOTE = (
    "Accuracies are measured. Energy, latency and memory come from the cost model, each configuration "
    "under its own best mapping."
)


def write_report(run: Any) -> Path:
    """Write `report.html` and `figures/*.png` into the folder of a run.

    The page needs no network: styles, script, data and figures are inside, and every name is escaped. Without
    scripts it shows pictures and tables.

    Args:
        run: the folder, or an object with a `.folder` (a `Study`).

    Returns:
        Path of the page.

    Raises:
        ConfigError: the folder is not that of a run.
    """
    return write_page(read_run(run))


def write_page(run: Run) -> Path:
    """As `write_report`, of a run that is read."""
    return write_atomic(run.folder / REPORT, render(run))


def render(run: Run) -> str:
    """The page as text; the figures are written to `figures/` on the way."""
    templates = environment("reports.page")
    templates.filters["is_long"] = lambda text: shortened(text, NAME_LENGTH) != text
    templates.filters["unbroken"] = _unbroken
    templates.filters["short"] = lambda text: shortened(text, NAME_LENGTH)
    return templates.get_template("report.html.j2").render(report=context(run)) + "\n"


def _unbroken(text: str) -> Markup:
    """The text with numbers that stay beside their units."""
    return Markup(NUMBER_AND_UNIT.sub("&nbsp;", str(escape(safe_name(text)))))


def context(run: Run) -> dict[str, Any]:
    """Everything that the template shows, as text, rows and figures."""
    page: dict[str, Any] = {
        "title": f"{run.graph.name} on {run.accelerator.name}" if run.accelerator else run.graph.name,
        "subtitle": run.subtitle,
        "policy": policy(),
        "alerts": [*alerts(run), *run.warnings],
        "decision": decision(run),
        "cards": sections.cards(run),
        "summary": finding(run),
        "comparison": _comparison(run),
        "comparison_note": COMPARISON_NOTE,
        "comparison_title": f"The pick beside {run.baseline_name}",
        "front": None, "layers": None, "breakdown_figure": None, "memory_figure": None,
        "candidates": None, "data": None, "script": None,
        "method": sections.method(run),
        "sources": sections.sources(run),
        "commands": sections.commands(run),
        "footer": f"Written by hwmodel {run.version} from {run.folder.name}. Nothing is loaded from the network.",
    }  # fmt: skip
    if len(run.candidates):
        _add_candidates(page, run)
    if run.layers is not None:
        _add_layers(page, run)
    page["contents"] = _contents(page)
    return page


def _comparison(run: Run) -> htmltables.HtmlTable | None:
    if run.picked_row is None or run.baseline_row is None:
        return None
    costs = known_costs(run.candidates)
    return htmltables.comparison_table(
        run.picked_row, run.baseline_row, run.baseline_name, costs, _float_value(run)
    )


def _float_value(run: Run) -> float | None:
    return None if run.float_accuracy is None else run.float_accuracy.value


def _add_candidates(page: dict[str, Any], run: Run) -> None:
    page["front"] = htmltables.front_table(run.candidates, _float_value(run))
    page["front_note"] = (
        "Accuracy is on the validation split. PTQ: quantized after training. QAT: finetuned while quantized. "
        "The front compares candidates of one fidelity: the finetuned ones, if there are any. "
        f"Test: measured once, at the end. {run.precision_definition}"
    )
    page["front_figures"] = [
        _figure(
            run, f"pareto_{cost.name}", partial(plot_pareto, run.candidates, x=cost.key),
            f"Accuracy over {cost.axis.lower()}, every candidate. Error bars: 95 % intervals.",
        )
        for cost in known_costs(run.candidates)
        if cost.name in run.objectives
    ]  # fmt: skip
    page["candidates"] = htmltables.candidates_table(run.candidates)
    page["candidates_note"] = f"{len(run.candidates):,} scores. All of them are in candidates.csv and ledger.jsonl."
    shown = min(len(run.candidates), htmltables.MAX_ROWS)
    is_cut = shown < len(run.candidates)
    page["candidates_cut"] = f"The first {shown} of {len(run.candidates)} are here." if is_cut else ""
    if run.picked_row is not None:
        page["data"], page["script"] = Markup(json_text(page_data(run))), Markup(script())


def _add_layers(page: dict[str, Any], run: Run) -> None:
    layers = run.layers
    assert layers is not None
    page["layers"] = htmltables.layers_table(layers, sum(run.graph.weights.values()))
    page["layers_note"] = f"Average weight precision {run.average_precision:.4f} bit. {run.precision_definition}"
    page["layers_figure"] = _figure(
        run, "layers", partial(plot_layers, layers),
        "Weight bits of every layer of the picked configuration, and its share of the energy.",
    )  # fmt: skip
    if run.cost is None:
        return
    frame = breakdown_frame(run.cost)
    page["breakdown"] = htmltables.breakdown_table(frame)
    page["breakdown_note"] = "Energy of the accesses to each memory, and of the arithmetic, per inference."
    page["breakdown_figure"] = _figure(
        run, "breakdown", partial(plot_breakdown, frame),
        "Energy of every layer by memory level.",
    )  # fmt: skip
    _add_memory(page, run, run.cost)


def _add_memory(page: dict[str, Any], run: Run, cost: NetworkCost) -> None:
    """Where the tensors lie, on a chip with a memory where they may stay."""
    if run.accelerator is None or not (lines := placement_lines(cost, run.accelerator)):
        return
    page["memory_note"] = f"{lines[0][1][:1].upper()}{lines[0][1][1:]}."
    page["memory_figure"] = _figure(
        run, "memory", partial(plot_memory, cost, run.accelerator),
        "What lies in memory while each layer runs, in the order of execution. Tiles as the memory keeps them.",
    )  # fmt: skip


def _figure(run: Run, name: str, draw: Callable[..., Axes], caption: str) -> dict[str, str]:
    """One figure in light and dark for the page, and as PNG in the folder."""
    light = figure_bytes(draw(theme=theme.LIGHT))
    write_atomic(run.folder / "figures" / f"{name}.png", light)
    return {
        "light": data_uri(few_colours(light), "png"),
        "dark": data_uri(few_colours(figure_bytes(draw(theme=theme.DARK))), "png"),
        "alt": caption,
        "caption": caption,
    }


def _contents(page: dict[str, Any]) -> list[dict[str, str]]:
    """(id, title) of the sections that this page has."""
    sections_of = {
        "summary": ("Summary", True),
        "front": ("Pareto front", page["front"]),
        "layers": ("Layers", page["layers"]),
        "memory": ("Memory", page["memory_figure"]),
        "choices": ("Choices", page["data"]),
        "candidates": ("Candidates", page["candidates"]),
        "method": ("Method", True),
        "next": ("Next", True),
    }
    return [{"id": name, "title": title} for name, (title, shown) in sections_of.items() if shown]
