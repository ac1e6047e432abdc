"""`hwmodel cost`: what a model costs on an accelerator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hwmodel
from reports.jobs.arguments import check_input, check_phase, parse_objective, parse_options
from reports.jobs.choices import check_choices, file_config, model_options, uniform_choices
from reports.jobs.models import phase_traced, traced
from reports.jobs.outputs import check_csv, write_csv
from reports.terminal.console import emit_json, make_console
from reports.terminal.memories import fit_lines, memory_data, weight_table
from reports.terminal.tables import print_lines
from reports.terminal.totals import cost_data, cost_lines
from reports.terminal.trees import summary

if TYPE_CHECKING:
    from hwmodel.cost import Configuration
    from hwmodel.network.choice import Choice


def cost(
    *,
    model: str,
    hw: str,
    w_bits: int | None,
    a_bits: int | None,
    density: float | None,
    memory: bool,
    config: Path | None,
    optimize: str,
    strict_bits: bool,
    input: str | None,
    option: Sequence[str] | None,
    depth: int | None,
    unfold: bool,
    csv: str | None,
    strict: bool,
    verbose: bool,
    phase: str | None,
    context: int | None,
    measure_density: str | None,
    json: bool,
) -> None:
    """Price a model; show its tree, write its rows."""
    objective = parse_objective(optimize)
    check_input(model, input)
    parse_options(option)
    check_csv(csv, json=json)
    check_phase(phase, context, with_shape=input is not None, measured=measure_density is not None)
    accelerator = hwmodel.load_accelerator(hw)
    file = check_choices(config, w_bits, a_bits, density)
    if phase is not None:
        graph = phase_traced(model, option, phase=phase, context=context, strict=strict)
    else:
        made_with = model_options(file, model)
        graph = traced(model, input, option, strict=strict, made_with=made_with, measure=measure_density)
    choices: Configuration | Mapping[str, Choice] | None
    if file is not None:
        choices = file_config(file, graph)
    else:
        choices = uniform_choices(graph, accelerator, w_bits=w_bits, a_bits=a_bits, density=density)
    priced = hwmodel.evaluate(graph, accelerator, choices, optimize=objective, strict_bits=strict_bits)
    if csv is not None:
        write_csv(priced.to_dataframe(), csv)
    if json:
        extra = {"memory": memory_data(graph, priced, accelerator)} if memory else {}
        emit_json({"accelerator": accelerator.name, **cost_data(priced, graph), **extra})
        return
    if csv == "-":
        return
    console = make_console()
    notes = cost_lines(priced, graph, accelerator=accelerator, verbose=verbose)
    summary(priced, depth, name=graph.name, fold=not unfold, notes=notes).print(console)
    if memory:
        print_lines(console, [("", "")])
        console.print(weight_table(graph, width=console.width))
        print_lines(console, [("", ""), *fit_lines(priced, accelerator)])
