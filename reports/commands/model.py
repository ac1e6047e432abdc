"""`hwmodel trace`, `cost` and `map`: what a model is made of, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import (
    ContextOption,
    CsvOption,
    DepthOption,
    HardwareOption,
    HardwaresOption,
    HtmlOption,
    InputOption,
    JsonOption,
    MeasureOption,
    ModelArgument,
    NoFuseOption,
    OptimizeOption,
    OptionOption,
    PhaseOption,
    StrictBitsOption,
    StrictOption,
    UnfoldOption,
    VerboseOption,
)


def trace(
    model: ModelArgument,
    input: InputOption = None,
    option: OptionOption = None,
    depth: DepthOption = None,
    unfold: UnfoldOption = False,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="FILE.png|svg|pdf", help="Draw the network.", show_default=False),
    ] = None,
    csv: CsvOption = None,
    strict: StrictOption = False,
    verbose: VerboseOption = False,
    phase: PhaseOption = None,
    context: ContextOption = None,
    measure_density: MeasureOption = None,
    json: JsonOption = False,
) -> None:
    """Trace a model: its layers, their shapes, parameters and MACs."""
    jobs.trace(
        model=model,
        input=input,
        option=option,
        depth=depth,
        unfold=unfold,
        figure=figure,
        csv=csv,
        strict=strict,
        verbose=verbose,
        phase=phase,
        context=context,
        measure_density=measure_density,
        json=json,
    )


def cost(
    model: ModelArgument,
    hw: HardwaresOption,
    w_bits: Annotated[
        int | None, typer.Option("--w-bits", min=1, max=32, help="Weight bits of every layer.")
    ] = None,
    a_bits: Annotated[int | None, typer.Option("--a-bits", min=1, max=32, help="Activation bits.")] = None,
    density: Annotated[float | None, typer.Option("--density", help="Non-zero fraction of the weights.")] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Add weights at every width, and what fits in which memory.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="best.yaml", help="A configuration file.", show_default=False)
    ] = None,
    optimize: OptimizeOption = "energy",
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="What several accelerators are compared by: energy, latency or edp; default: as --optimize.",
            show_default=False,
            autocompletion=completing.objectives,
        ),
    ] = None,
    strict_bits: StrictBitsOption = False,
    no_fuse: NoFuseOption = False,
    input: InputOption = None,
    option: OptionOption = None,
    depth: DepthOption = None,
    unfold: UnfoldOption = False,
    csv: CsvOption = None,
    html: HtmlOption = None,
    strict: StrictOption = False,
    verbose: VerboseOption = False,
    phase: PhaseOption = None,
    context: ContextOption = None,
    measure_density: MeasureOption = None,
    json: JsonOption = False,
) -> None:
    """Price a model on one or more accelerators: energy, cycles and memory of every layer."""
    jobs.cost(
        model=model,
        hw=hw,
        w_bits=w_bits,
        a_bits=a_bits,
        density=density,
        memory=memory,
        config=config,
        optimize=optimize,
        by=by,
        html=html,
        strict_bits=strict_bits,
        fuse=not no_fuse,
        input=input,
        option=option,
        depth=depth,
        unfold=unfold,
        csv=csv,
        strict=strict,
        verbose=verbose,
        phase=phase,
        context=context,
        measure_density=measure_density,
        json=json,
    )


def map_layer(
    layer: Annotated[
        str,
        typer.Argument(
            metavar="LAYER",
            help="MODEL:LAYER, or loop bounds as K=64,C=64,OY=56,OX=56,FY=3,FX=3.",
            show_default=False,
            autocompletion=completing.layers,
        ),
    ],
    hw: HardwareOption,
    w_bits: Annotated[int | None, typer.Option("--w-bits", min=1, max=32, help="Weight bits.")] = None,
    a_bits: Annotated[int | None, typer.Option("--a-bits", min=1, max=32, help="Activation bits.")] = None,
    stride: Annotated[int, typer.Option("--stride", min=1, help="Stride, when bounds are given.")] = 1,
    optimize: OptimizeOption = "energy",
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="NAME|FILE",
            help="A second accelerator, side by side.",
            show_default=False,
            autocompletion=completing.accelerators,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FILE.yaml",
            help="Write what --hw is, and the mapping, for Timeloop.",
            show_default=False,
        ),
    ] = None,
    strict_bits: StrictBitsOption = False,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="Map a layer of a model alone, its operands outside, not in its network."),
    ] = False,
    no_fuse: NoFuseOption = False,
    html: HtmlOption = None,
    input: InputOption = None,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Find the best mapping of one layer; print its loop nest, and why it costs what it costs."""
    jobs.map_layer(
        layer=layer,
        hw=hw,
        w_bits=w_bits,
        a_bits=a_bits,
        stride=stride,
        optimize=optimize,
        compare=compare,
        export=export,
        strict_bits=strict_bits,
        alone=alone,
        fuse=not no_fuse,
        html=html,
        input=input,
        option=option,
        json=json,
    )
