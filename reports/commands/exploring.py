"""`hwmodel explore`: chips that a file describes by ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import HtmlOption, InputOption, JsonOption, OptionOption


def explore(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...|FILE.yaml]",
            help="Networks, as for cost; or a file that says all of it.",
            show_default=False,
            autocompletion=completing.models,
        ),
    ] = None,
    hw: Annotated[
        str | None,
        typer.Option(
            "--hw",
            metavar="NAME|FILE",
            help="Chip file, with ranges or without, or a preset.",
            show_default=False,
            autocompletion=completing.accelerators,
        ),
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUES",
            help="A range: array.X.size=8,16,32, memories.sram.size=64KiB..1MiB*2; with ; between paths that "
            "change together. Repeatable.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="'area<=4 mm2'",
            help="Bound on area, energy or latency. Repeatable.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="In place of models: a finished search, priced on every design; nothing is trained.",
            show_default=False,
            autocompletion=completing.runs,
        ),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            "--objectives",
            metavar="energy,latency,...",
            help="Of the front; default: energy, latency, and area where it is known; with --run accuracy, too.",
            show_default=False,
        ),
    ] = None,
    per_model: Annotated[
        bool, typer.Option("--per-model", help="A front for each network, not one of geometric means.")
    ] = False,
    optimize: Annotated[
        str | None,
        typer.Option(
            "--optimize",
            help="What mappings minimize: energy (the default), latency or edp.",
            show_default=False,
            autocompletion=completing.objectives,
        ),
    ] = None,
    w_bits: Annotated[
        int | None, typer.Option("--w-bits", min=1, max=32, help="Weight bits of every layer.", show_default=False)
    ] = None,
    a_bits: Annotated[
        int | None, typer.Option("--a-bits", min=1, max=32, help="Input bits of every layer.", show_default=False)
    ] = None,
    density: Annotated[
        float | None,
        typer.Option("--density", min=0.0, max=1.0, help="Weight density of every layer.", show_default=False),
    ] = None,
    no_fuse: Annotated[bool, typer.Option("--no-fuse", help="Price every operation and layer apart.")] = False,
    input: InputOption = None,
    option: OptionOption = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            help="Price so many designs that a sampler proposes; default: all.",
            show_default=False,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler", help="Who proposes them: nsga2 (the default), tpe or random.", show_default=False
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of its draws.", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Keeps every price: the same command goes on where it was ended.",
            show_default=False,
        ),
    ] = None,
    num_jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; default: 1.", show_default=False)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every priced design (with --run every pair), not the front alone.")
    ] = False,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE|-", help="Write the rows as CSV; - is stdout.", show_default=False),
    ] = None,
    html: HtmlOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Write the front as a figure.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Explore a chip: the front of energy, latency and area over all designs of a file with ranges.

    Lower bounds rule out most designs before any layer is mapped, and the front is that of evaluating every design
    by itself. With --run the front of accuracy, energy and area of what a search has finetuned.
    """
    jobs.explore(
        models=models or (), run=run, hw=hw, ranges=ranges, budget=budget, objectives=objectives, input=input,
        option=option,
        given={
            "per_model": per_model or None, "optimize": optimize, "w_bits": w_bits, "a_bits": a_bits,
            "density": density, "fuse": False if no_fuse else None, "trials": trials, "sampler": sampler,
            "seed": seed, "out": out, "jobs": num_jobs,
        },
        shown=jobs.Shown(every=every, csv=csv, html=html, plot=plot, json=json),
    )  # fmt: skip
