"""`hwmodel cost`: what a model costs on an accelerator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import hwmodel
from reports.jobs.arguments import check_input, check_phase, parse_objective, parse_options
from reports.jobs.choices import check_choices, file_config, model_options, uniform_choices
from reports.jobs.models import phase_traced, traced
from reports.jobs.outputs import check_csv, check_output, write_csv, write_page
from reports.live.waiting import waiting
from reports.sheets.costs import cost_sheet
from reports.terminal.beside import Priced, beside, beside_data, beside_frame, named
from reports.terminal.console import emit_json, make_console
from reports.terminal.memories import fit_lines, memory_data, weight_table
from reports.terminal.tables import print_lines
from reports.terminal.totals import cost_data, cost_lines
from reports.terminal.trees import summary

if TYPE_CHECKING:
    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.cost import Configuration
    from hwmodel.mapper.free import Objective
    from hwmodel.network.choice import Choice
    from hwmodel.network.graph import LayerGraph


def cost(
    *,
    model: str,
    hw: Sequence[str],
    w_bits: int | None,
    a_bits: int | None,
    density: float | None,
    memory: bool,
    config: Path | None,
    optimize: str,
    by: str | None,
    html: Path | None,
    strict_bits: bool,
    fuse: bool,
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
    compared = objective if by is None else parse_objective(by, "--by")
    check_input(model, input)
    parse_options(option)
    check_csv(csv, json=json)
    check_output(html, (".html",), "--html")
    check_phase(phase, context, with_shape=input is not None, measured=measure_density is not None)
    check_beside(hw, memory=memory, by=by)
    chips = [hwmodel.load_accelerator(name) for name in hw]
    file = check_choices(config, w_bits, a_bits, density)
    with waiting(f"tracing {model}") as bar:
        if phase is not None:
            graph = phase_traced(model, option, phase=phase, context=context, strict=strict)
        else:
            made_with = model_options(file, model)
            graph = traced(model, input, option, strict=strict, made_with=made_with, measure=measure_density)
        configured = None if file is None else file_config(file, graph)
        costs = []
        for chip in chips:
            choices: Configuration | Mapping[str, Choice] | None = configured
            if choices is None:
                choices = uniform_choices(graph, chip, w_bits=w_bits, a_bits=a_bits, density=density)
            tell = partial(bar.step, f"pricing on {chip.name}")
            costs.append(
                hwmodel.evaluate(graph, chip, choices, objective, strict_bits=strict_bits, fuse=fuse, progress=tell)
            )
    shown = Shown(depth=depth, fold=not unfold, verbose=verbose, csv=csv, html=html, json=json)
    if len(chips) > 1:
        _show_beside(named(hw, chips, costs), graph, compared, shown)
    else:
        _show_one(costs[0], graph, chips[0], shown, memory=memory)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a price is shown: levels of modules, equal blocks in one line, names of cheap ops; as CSV, page, JSON."""

    depth: int | None
    fold: bool
    verbose: bool
    csv: str | None
    html: Path | None
    json: bool


def _show_beside(items: Sequence[Priced], graph: LayerGraph, by: Objective, how: Shown) -> None:
    """Several accelerators side by side."""
    tree = beside(items, graph, by, depth=how.depth, fold=how.fold, verbose=how.verbose)
    if how.csv is not None:
        write_csv(beside_frame(items, by), how.csv)
    if how.html is not None:
        write_page(how.html, cost_sheet(graph.name, items, tree))
    if how.json:
        emit_json(beside_data(items, graph, by))
    elif how.csv != "-":
        tree.print(make_console())


def _show_one(
    priced: NetworkCost, graph: LayerGraph, accelerator: Accelerator, how: Shown, *, memory: bool
) -> None:
    """One accelerator: the tree with all columns, and what is stored where."""
    notes = cost_lines(priced, graph, accelerator=accelerator, verbose=how.verbose)
    tree = summary(priced, how.depth, name=graph.name, fold=how.fold, notes=notes)
    if how.csv is not None:
        write_csv(priced.to_dataframe(), how.csv)
    if how.html is not None:
        one = Priced(name=accelerator.name, accelerator=accelerator, cost=priced)
        write_page(how.html, cost_sheet(graph.name, [one], tree))
    if how.json:
        extra = {"memory": memory_data(graph, priced, accelerator)} if memory else {}
        emit_json({"accelerator": accelerator.name, **cost_data(priced, graph), **extra})
        return
    if how.csv == "-":
        return
    console = make_console()
    tree.print(console)
    if memory:
        print_lines(console, [("", "")])
        console.print(weight_table(graph, width=console.width))
        print_lines(console, [("", ""), *fit_lines(priced, accelerator)])


def check_beside(hw: Sequence[str], *, memory: bool, by: str | None) -> None:
    """Several accelerators are compared, so each is there once, and what is shown of one alone is not asked for."""
    for name in hw:
        if hw.count(name) > 1:
            raise typer.BadParameter(f"names {name!r} twice", param_hint="--hw")
    if memory and len(hw) > 1:
        raise typer.BadParameter("is of one accelerator: give one --hw with it", param_hint="--memory")
    if by is not None and len(hw) == 1:
        raise typer.BadParameter("compares accelerators: give a second --hw with it", param_hint="--by")
