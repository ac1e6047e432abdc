"""`hwmodel trace`: what a model is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.figures.files import save_figure
from reports.figures.pictures import plot_graph
from reports.jobs.arguments import check_input, check_phase, parse_options
from reports.jobs.models import phase_traced, traced
from reports.jobs.outputs import check_csv, check_output, write_csv, writing
from reports.terminal.attention import attention_data, attention_lines
from reports.terminal.console import emit_json, make_console, say
from reports.terminal.totals import graph_data, graph_lines
from reports.terminal.trees import summary


def trace(
    *,
    model: str,
    input: str | None,
    option: Sequence[str] | None,
    depth: int | None,
    unfold: bool,
    figure: Path | None,
    csv: str | None,
    strict: bool,
    verbose: bool,
    phase: str | None,
    context: int | None,
    measure_density: str | None,
    json: bool,
) -> None:
    """Trace a model; show its tree, write its rows, draw it."""
    check_output(figure, (".png", ".svg", ".pdf"), "--figure")
    check_csv(csv, json=json)
    check_input(model, input)
    parse_options(option)
    check_phase(phase, context, with_shape=input is not None, measured=measure_density is not None)
    if phase is not None:
        graph = phase_traced(model, option, phase=phase, context=context, strict=strict)
    else:
        graph = traced(model, input, option, strict=strict, measure=measure_density)
    if figure is not None:
        with writing(figure, "--figure"):
            save_figure(figure, plot_graph(graph))
        say(f"{figure}: a picture of {graph.name}")
    if csv is not None:
        write_csv(graph.to_dataframe(), csv)
    if json:
        emit_json({**graph_data(graph), **attention_data(graph)})
    elif csv != "-":
        notes = [*graph_lines(graph, verbose=verbose), *attention_lines(graph)]
        summary(graph, depth, fold=not unfold, notes=notes).print(make_console())
