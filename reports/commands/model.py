"""`hwmodel trace`, `cost` and `map`: what a model is made of, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.commands import common
from reports.commands.common import (
    DepthOption,
    HardwareOption,
    InputOption,
    JsonOption,
    ModelArgument,
    OptimizeOption,
    OptionOption,
    StrictOption,
    VerboseOption,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodel import NetworkCost
    from hwmodel.choice import Choice
    from hwmodel.cost import Configuration
    from hwmodel.graph import LayerGraph
    from hwmodel.layer import Layer


def trace(
    model: ModelArgument,
    input: InputOption = None,
    option: OptionOption = None,
    depth: DepthOption = None,
    strict: StrictOption = False,
    verbose: VerboseOption = False,
    json: JsonOption = False,
) -> None:
    """Trace a model: its layers, their shapes, weights and MACs."""
    graph = common.traced(model, input, option, strict=strict)
    from reports.console import emit_json, make_console
    from reports.tables import graph_lines, graph_table, print_lines

    if json:
        emit_json(
            {**graph.to_dict(), "fingerprint": graph.fingerprint, "macs": graph.macs,
             "weights": sum(graph.weights.values())}
        )  # fmt: skip
        return
    console = make_console()
    console.print(graph_table(graph, depth=depth, width=console.width))
    print_lines(console, graph_lines(graph, verbose=verbose))


def cost(
    model: ModelArgument,
    hw: HardwareOption,
    w_bits: Annotated[
        int | None, typer.Option("--w-bits", min=1, max=32, help="Weight bits of every layer.")
    ] = None,
    a_bits: Annotated[int | None, typer.Option("--a-bits", min=1, max=32, help="Activation bits.")] = None,
    density: Annotated[float | None, typer.Option("--density", help="Non-zero fraction of the weights.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="best.yaml", help="A configuration file.", show_default=False)
    ] = None,
    optimize: OptimizeOption = "energy",
    input: InputOption = None,
    option: OptionOption = None,
    depth: DepthOption = None,
    strict: StrictOption = False,
    verbose: VerboseOption = False,
    json: JsonOption = False,
) -> None:
    """Price a model on an accelerator: energy, cycles and memory of every layer."""
    objective = common.check_objective(optimize)
    common.parse_shape(input)
    common.parse_options(option)
    from hwmodel import evaluate, load_accelerator
    from reports.console import emit_json, make_console
    from reports.tables import cost_lines, cost_table, print_lines

    accelerator = load_accelerator(hw)
    file = common.check_choices(config, w_bits, a_bits, density)
    made_with = common.model_options(file, model)
    graph = common.traced(model, input, option, strict=strict, made_with=made_with)
    choices: Configuration | Mapping[str, Choice] | None
    if file is not None:
        choices = common.file_config(file, graph)
    else:
        choices = common.uniform_choices(graph, accelerator, w_bits=w_bits, a_bits=a_bits, density=density)
    priced = evaluate(graph, accelerator, choices, optimize=objective)
    if json:
        emit_json({"accelerator": accelerator.name, **cost_data(priced, graph)})
        return
    console = make_console()
    console.print(cost_table(priced, name=graph.name, depth=depth, width=console.width))
    print_lines(console, cost_lines(priced, graph, accelerator=accelerator, verbose=verbose))


def cost_data(priced: NetworkCost, graph: LayerGraph) -> dict[str, Any]:
    """A cost as JSON: totals, layers, notes, and what was not counted. Units are in the names."""
    from reports.runs import records

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
    input: InputOption = None,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Find the best mapping of one layer and print its loop nest."""
    objective = common.check_objective(optimize)
    from hwmodel import find_mapping, load_accelerator
    from reports.console import emit_json, make_console
    from reports.mappings import mapping_data, mapping_lines, mapping_table
    from reports.tables import print_lines

    accelerator = load_accelerator(hw)
    chosen = _layer(layer, stride, input, option)
    if w_bits is not None or a_bits is not None:
        from hwmodel.layer import Bits

        native = accelerator.native_bits
        chosen = chosen.with_bits(Bits(w=w_bits or native.w, i=a_bits or native.i))
    mapping, priced = find_mapping(chosen, accelerator, optimize=objective)
    if json:
        emit_json({"accelerator": accelerator.name, "layer": chosen.to_dict(), **mapping_data(mapping, priced)})
        return
    console = make_console()
    print_lines(console, mapping_lines(chosen, accelerator, mapping, priced))
    console.print(mapping_table(priced, width=console.width))


_BOUNDS = re.compile(r"[A-Z]+=[^,:]*(,[A-Z]+=[^,:]*)*")


def _layer(text: str, stride: int, shape: str | None, option: list[str] | None) -> Layer:
    from hwmodel.errors import LayerError
    from hwmodel.layer import Dims, Layer

    if _BOUNDS.fullmatch(text):
        pairs = dict(part.split("=", 1) for part in text.split(","))
        for name, bound in pairs.items():
            if not bound.isdecimal():
                raise LayerError(f"dims: `{name} >= 1` must hold (an integer), but got {name}={bound!r}")
        dims = Dims.of({name: int(bound) for name, bound in pairs.items()})
        return Layer(name=text, dims=dims, stride=(stride, stride))
    model, colon, name = text.rpartition(":")
    if not colon:
        raise LayerError(f"LAYER must be MODEL:LAYER or bounds as K=64,C=64, but got {text!r}. Try {text}:conv1.")
    return common.traced(model, shape, option).layer(name)
