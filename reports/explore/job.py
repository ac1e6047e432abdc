"""`hwmodel explore`: networks, or a finished run, on every design of a chip file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from hwmodel.chip.sweep.designs import Designs, load_designs
from hwmodel.chip.yamlfile import parse_document
from hwmodel.errors import ConfigError
from hwmodel.network.names import safe_name
from reports.explore.chips import MAX_ROWS, chips_data, chips_lines, chips_sheet, chips_table
from reports.explore.figure import plot_chips
from reports.explore.tables import design_lines, exploration_data, front_table
from reports.explore.watching import exploring
from reports.figures.files import save_figure
from reports.jobs.arguments import check_input
from reports.jobs.models import traced
from reports.jobs.outputs import check_csv, check_output, write_csv, write_page, writing
from reports.terminal.console import emit, emit_json, make_console, say
from reports.terminal.tables import print_lines
from search.codesign.explore import explore_run
from search.explore.explore import explore_chips
from search.explore.found import ChipExploration
from search.explore.spec import read_explore_spec
from workloads.names import short_name


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How an exploration is shown: every design, as CSV, page, figure, JSON; chip file of the knee."""

    every: bool
    csv: str | None
    html: Path | None
    plot: Path | None
    json: bool


def explore(
    *,
    models: Sequence[str],
    run: Path | None,
    hw: str | None,
    ranges: Sequence[str] | None,
    budget: Sequence[str] | None,
    objectives: str | None,
    given: Mapping[str, Any],
    input: str | None,
    option: Sequence[str] | None,
    shown: Shown,
) -> None:
    """Explore designs of a chip for networks, for a finished run, or as a file says.

    Args:
        models: names of networks, or one exploration file.
        run: folder of a finished search.
        hw: chip file, or name of a preset.
        ranges: of `--set`.
        budget, objectives: as they were typed.
        given: further options that were typed, by the names of `explore_chips`.
        input, option: of one model.
        shown: how.
    """
    check_csv(shown.csv, json=shown.json)
    check_output(shown.html, (".html",), "--html")
    check_output(shown.plot, (".png", ".svg", ".pdf"), "--plot")
    if (run is None) == (not models):
        raise typer.BadParameter("give either models (or an exploration file) or --run RUN", param_hint="MODEL")
    if run is not None:
        _check_run({"budget": budget, "input": input, "option": option, **given}, shown)
        if hw is None:
            raise typer.BadParameter("is needed with --run", param_hint="--hw")
        designs = load_designs(hw, [parse_set(text) for text in ranges]) if ranges else hw
        _explore_run(run, designs, objectives=objectives, every=shown.every, csv=shown.csv, json=shown.json)
        return
    options = _options(models, hw, ranges, budget, objectives, given)
    names = options.pop("models")
    if (input is not None or option is not None) and len(names) > 1:
        hint = "--option" if input is None else "--input"
        raise typer.BadParameter("is of one model: give one", param_hint=hint)
    check_input(names[0], input)
    with exploring("tracing") as progress:
        graphs = {short_name(name): traced(name, input, option) for name in names}
        if len(graphs) < len(names):
            raise typer.BadParameter("names a model twice", param_hint="MODEL")
        found = explore_chips(graphs, progress=progress, **options)
    _show(found, shown)


def _options(
    models: Sequence[str],
    hw: str | None,
    ranges: Sequence[str] | None,
    budget: Sequence[str] | None,
    objectives: str | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Arguments of `explore_chips`, and `models`: those of a file, what was typed in place of them."""
    options: dict[str, Any] = {"models": list(models)}
    if len(models) == 1 and models[0].endswith((".yaml", ".yml")):
        options = read_explore_spec(models[0]).model_dump(exclude_unset=True)
    if hw is not None:
        options["hw"] = hw
    if "hw" not in options:
        raise typer.BadParameter("names the chip file whose designs are explored", param_hint="--hw")
    if ranges is not None:
        options["set"] = [*_listed(options.get("set")), *(parse_set(text) for text in ranges)]
    if budget is not None:
        options["budget"] = list(budget)
    if objectives is not None:
        options["objectives"] = objectives
    options |= {name: value for name, value in given.items() if value is not None}
    for name in ("sampler", "seed"):
        if name in options and options.get("trials") is None:
            raise typer.BadParameter(
                "goes with --trials: without, every design is looked at", param_hint=f"--{name}"
            )
    return options


def _listed(ranges: Any) -> list[Any]:
    """Ranges as a list of mappings of paths that change together."""
    if isinstance(ranges, Mapping):
        return [{path: values} for path, values in ranges.items()]
    return list(ranges or ())


def parse_set(text: str) -> dict[str, Any]:
    """`array.X.size=8,16,32` as in `sweep` of a chip file; paths with `;` between change together."""
    found: dict[str, Any] = {}
    for part in text.split(";"):
        path, equals, values = part.partition("=")
        if not equals or not path.strip() or not values.strip():
            raise typer.BadParameter(
                "must be PATH=VALUES, as array.X.size=8,16,32 or memories.sram.size=64KiB..1MiB*2, but got "
                f"{text!r}",
                param_hint="--set",
            )
        if path.strip() in found:
            raise typer.BadParameter(f"names {path.strip()} twice: {text!r}", param_hint="--set")
        found[path.strip()] = _values(values.strip())
    return found


def _values(text: str) -> Any:
    """A range as it stands, or the items of a list as YAML reads them."""
    if ".." in text:
        return text
    return parse_document(f"values: [{text}]", "--set", ConfigError).data["values"]


def _check_run(given: Mapping[str, Any], shown: Shown) -> None:
    """What a finished run does not ask."""
    for name, value in {**given, "html": shown.html, "plot": shown.plot}.items():
        if value is not None:
            hint = "--no-fuse" if name == "fuse" else f"--{name.replace('_', '-')}"
            raise typer.BadParameter("goes with models, not with --run", param_hint=hint)


def _show(found: ChipExploration, shown: Shown) -> None:
    if shown.csv is not None:
        write_csv(found.to_dataframe(every=shown.every), shown.csv, "designs")
    if shown.html is not None:
        write_page(shown.html, chips_sheet(found))
    if shown.plot is not None:
        for model, front in found.fronts.items():
            if front:
                path = shown.plot if len(found.fronts) == 1 else _named_plot(shown.plot, model)
                with writing(path, "--plot"):
                    save_figure(path, plot_chips(found, model))
                say(f"{path}: the front as a figure")
    if shown.json:
        emit_json(chips_data(found, every=shown.every))
    elif shown.csv != "-":
        console = make_console()
        for model, front in found.fronts.items():
            if len(found.fronts) > 1:
                emit(f"{safe_name(model)}")
            if front:
                console.print(chips_table(found, model, width=console.width, most=MAX_ROWS, every=shown.every))
            emit("")
        print_lines(console, chips_lines(found, most=None if shown.every else MAX_ROWS))


def _named_plot(path: Path, model: str) -> Path:
    return path.with_name(f"{path.stem}-{model.replace('/', '_')}{path.suffix}")


def _explore_run(
    run: Path, hw: str | Designs, *, objectives: str | None, every: bool, csv: str | None, json: bool
) -> None:
    """Price a run on every design, and show the front of configurations and designs."""
    names = None if objectives is None else [name.strip() for name in objectives.split(",")]
    with exploring("pricing designs") as progress:

        def step(done: int, total: int) -> None:
            progress("pricing designs", done, total, 0)

        found = explore_run(run, hw, objectives=names, progress=step)
    if csv is not None:
        write_csv(found.to_dataframe(every=every), csv, "rows")
    if json:
        emit_json(exploration_data(found, every=every))
    elif csv != "-":
        console = make_console()
        console.print(front_table(found, every=every, width=console.width))
        emit("")
        print_lines(console, design_lines(found))
