"""`hwmodel trace`, `cost` and `map`: what a model is made of, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.commands.options import (
    ContextOption,
    CsvOption,
    DepthOption,
    HardwareOption,
    InputOption,
    JsonOption,
    MeasureOption,
    ModelArgument,
    OptimizeOption,
    OptionOption,
    PhaseOption,
    StrictBitsOption,
    StrictOption,
    UnfoldOption,
    VerboseOption,
)
from reports.jobs import common

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.cost import Configuration
    from hwmodel.mapper.free import Objective
    from hwmodel.network.choice import Choice
    from hwmodel.network.graph import LayerGraph
    from hwmodel.network.layer import Layer
    from reports.terminal.explanations import Mapped


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
    common.check_output(figure, (".png", ".svg", ".pdf"), "--figure")
    common.check_csv(csv, json=json)
    common.check_phase(phase, context, with_shape=input is not None, measured=measure_density is not None)
    if phase is not None:
        graph = common.phase_traced(model, option, phase=phase, context=context, strict=strict)
    else:
        graph = common.traced(model, input, option, strict=strict, measure=measure_density)
    from reports.terminal.attention import attention_data, attention_lines
    from reports.terminal.console import emit_json, make_console, say
    from reports.terminal.totals import graph_lines
    from reports.terminal.trees import summary

    if figure is not None:
        from reports.figures.pictures import plot_graph
        from reports.figures.plots import save_figure

        with common.writing(figure, "--figure"):
            save_figure(plot_graph(graph), figure)
        say(f"{figure}: a picture of {graph.name}")
    if csv is not None:
        common.write_csv(graph.to_dataframe(), csv)
    if json:
        emit_json({**graph_data(graph), **attention_data(graph)})
    elif csv != "-":
        notes = [*graph_lines(graph, verbose=verbose), *attention_lines(graph)]
        summary(graph, depth, fold=not unfold, notes=notes).print(make_console())


def cost(
    model: ModelArgument,
    hw: HardwareOption,
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
    strict_bits: StrictBitsOption = False,
    input: InputOption = None,
    option: OptionOption = None,
    depth: DepthOption = None,
    unfold: UnfoldOption = False,
    csv: CsvOption = None,
    strict: StrictOption = False,
    verbose: VerboseOption = False,
    phase: PhaseOption = None,
    context: ContextOption = None,
    measure_density: MeasureOption = None,
    json: JsonOption = False,
) -> None:
    """Price a model on an accelerator: energy, cycles and memory of every layer."""
    objective = common.check_objective(optimize)
    common.check_input(model, input)
    common.parse_options(option)
    common.check_csv(csv, json=json)
    common.check_phase(phase, context, with_shape=input is not None, measured=measure_density is not None)
    from hwmodel import evaluate, load_accelerator
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.memories import fit_lines, memory_data, weight_table
    from reports.terminal.tables import print_lines
    from reports.terminal.totals import cost_lines
    from reports.terminal.trees import summary

    accelerator = load_accelerator(hw)
    file = common.check_choices(config, w_bits, a_bits, density)
    made_with = common.model_options(file, model)
    if phase is not None:
        graph = common.phase_traced(model, option, phase=phase, context=context, strict=strict)
    else:
        graph = common.traced(model, input, option, strict=strict, made_with=made_with, measure=measure_density)
    choices: Configuration | Mapping[str, Choice] | None
    if file is not None:
        choices = common.file_config(file, graph)
    else:
        choices = common.uniform_choices(graph, accelerator, w_bits=w_bits, a_bits=a_bits, density=density)
    priced = evaluate(graph, accelerator, choices, optimize=objective, strict_bits=strict_bits)
    if csv is not None:
        common.write_csv(priced.to_dataframe(), csv)
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


def graph_data(graph: LayerGraph) -> dict[str, Any]:
    """A graph as JSON: its nodes and edges, totals, and what was not counted (`uncounted`)."""
    frame = graph.to_dataframe()
    return {
        **graph.to_dict(),
        "fingerprint": graph.fingerprint,
        "macs": graph.macs,
        "weights": sum(graph.weights.values()),
        "params": int(frame["params"].sum()) if len(frame) else 0,
        "lower_bound": graph.is_lower_bound,
    }


def cost_data(priced: NetworkCost, graph: LayerGraph) -> dict[str, Any]:
    """A cost as JSON: totals, layers, notes, and what was not counted. Units are in the names."""
    from reports.run.frames import records

    totals = ("macs", "effectual_macs", "energy_pj", "cycles", "latency_s", "weight_bits", "activation_bits",
              "memory_bits", "bops")  # fmt: skip
    return {
        "model": graph.name,
        "fingerprint": graph.fingerprint,
        "total": {name: getattr(priced, name) for name in totals},
        "layers": records(priced.to_dataframe()),
        "notes": list(priced.notes),
        "lower_bound": graph.is_lower_bound,
        "uncounted": [{"op": u.op, "module": u.module, "calls": u.calls} for u in graph.uncounted],
    }


def map_layer(
    layer: Annotated[
        str,
        typer.Argument(
            metavar="LAYER",
            help="MODEL:LAYER, or loop bounds as K=64,C=64,OY=56,OX=56,FY=3,FX=3.",
            show_default=False,
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
            "--compare", metavar="NAME|FILE", help="A second accelerator, side by side.", show_default=False
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
    input: InputOption = None,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Find the best mapping of one layer; print its loop nest, and why it costs what it costs."""
    objective = common.check_objective(optimize)
    if export is not None and export.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"must be a .yaml file, but got {str(export)!r}", param_hint="--export")
    from hwmodel import load_accelerator
    from reports.terminal.console import emit_json, make_console, say
    from reports.terminal.explanations import explanation_data
    from reports.terminal.mappings import mapping_data

    chips = [load_accelerator(name) for name in (hw, compare) if name is not None]
    chosen = _layer(layer, stride, input, option)
    mapped = [_mapped(_with_bits(chosen, chip, w_bits, a_bits), chip, objective, strict_bits) for chip in chips]
    if export is not None:
        from hwmodel.files import write_atomic
        from hwmodel.interop.timeloop_export import to_timeloop_yaml

        first = mapped[0]
        write_atomic(export, to_timeloop_yaml(first.cost.layer, first.accelerator, first.mapping))
        say(f"{export}: for timeloop-model")
    if json:
        data = [
            {
                "accelerator": item.accelerator.name,
                "layer": item.cost.layer.to_dict(),
                **mapping_data(item.mapping, item.cost),
                "explanation": explanation_data(item.told),
            }
            for item in mapped
        ]
        emit_json({**data[0], "compare": data[1]} if compare is not None else data[0])
        return
    _print_mapped(make_console(), chosen, mapped)


def _with_bits(layer: Layer, accelerator: Accelerator, w_bits: int | None, a_bits: int | None) -> Layer:
    """The layer at widths; those that are not given are the accelerator's own."""
    from hwmodel.network.layer import Bits

    if w_bits is None and a_bits is None:
        return layer
    native = accelerator.native_bits
    return layer.with_bits(Bits(w=w_bits or native.w, i=a_bits or native.i))


def _mapped(layer: Layer, accelerator: Accelerator, objective: Objective, strict_bits: bool) -> Mapped:
    """The best mapping of a layer."""
    from hwmodel import find_mapping
    from hwmodel.explain import explain_mapping
    from reports.terminal.explanations import Mapped

    mapping, cost = find_mapping(layer, accelerator, optimize=objective, strict_bits=strict_bits)
    return Mapped(
        accelerator=accelerator, mapping=mapping, cost=cost, told=explain_mapping(cost.layer, accelerator, mapping)
    )


def _print_mapped(console: Any, layer: Layer, mapped: list[Mapped]) -> None:
    from hwmodel.network.names import WARNING
    from reports.terminal import explanations
    from reports.terminal.mappings import mapping_lines, mapping_table
    from reports.terminal.tables import print_lines

    if len(mapped) == 2:
        first, second = mapped
        print_lines(console, [("", layer.name), ("", "")])
        console.print(explanations.comparison_table(first, second, width=console.width))
        print_lines(console, [("", "")])
        console.print(explanations.nest_table(first, second, width=console.width))
        for item in mapped:
            lines = [*explanations.bound_lines(item.told), *((WARNING, note) for note in item.cost.notes)]
            print_lines(console, [("", ""), ("", item.accelerator.name), *lines])
            console.print(explanations.cycle_table(item.told, width=console.width))
        return
    (item,) = mapped
    print_lines(console, mapping_lines(item.cost.layer, item.accelerator, item.mapping, item.cost))
    console.print(explanations.tile_table(item.told, width=console.width))
    print_lines(console, [("", ""), *explanations.bound_lines(item.told), ("", "")])
    console.print(explanations.cycle_table(item.told, width=console.width))
    print_lines(console, [("", "")])
    console.print(mapping_table(item.cost, width=console.width))


_BOUNDS = re.compile(r"[A-Z]+=[^,:]*(,[A-Z]+=[^,:]*)*")


def _layer(text: str, stride: int, shape: str | None, option: list[str] | None) -> Layer:
    from hwmodel.errors import LayerError
    from hwmodel.network.layer import Dims, Layer

    if _BOUNDS.fullmatch(text):
        pairs = dict(part.split("=", 1) for part in text.split(","))
        if len(pairs) < text.count("="):
            raise LayerError(f"dims: each once, but got {text}")
        for name, bound in pairs.items():
            if not bound.isdecimal():
                raise LayerError(f"dims: `{name} >= 1` must hold (an integer), but got {name}={bound!r}")
        dims = Dims.of({name: int(bound) for name, bound in pairs.items()})
        return Layer(name=text, dims=dims, stride=(stride, stride))
    model, colon, name = text.rpartition(":")
    if not colon:
        raise LayerError(
            f"LAYER must be MODEL:LAYER or bounds as K=64,C=64, but got {text!r}. Try {text or 'resnet20'}:conv1."
        )
    return common.traced(model, shape, option).layer(name)
