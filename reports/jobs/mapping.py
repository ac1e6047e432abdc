"""`hwmodel map`: the best mapping of one layer, and why it costs what it costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel import evaluate, find_mapping, load_accelerator
from hwmodel.errors import LayerError
from hwmodel.explain import explain_mapping
from hwmodel.files import write_atomic
from hwmodel.interop.timeloop_export import to_timeloop_yaml
from hwmodel.network.layer import Bits, Dims, Layer
from hwmodel.network.names import WARNING
from hwmodel.network.stripes import stripes
from reports.jobs.arguments import parse_objective
from reports.jobs.choices import uniform_choices
from reports.jobs.models import traced
from reports.jobs.outputs import check_output, write_page, writing
from reports.sheets.mappings import mapping_sheet
from reports.terminal import explanations
from reports.terminal.console import emit_json, make_console, say
from reports.terminal.explanations import Mapped
from reports.terminal.mappings import mapping_data, mapping_lines, mapping_table
from reports.terminal.tables import print_lines

if TYPE_CHECKING:
    from rich.console import Console

    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.mapper.free import Objective
    from hwmodel.network.graph import LayerGraph


def map_layer(
    *,
    layer: str,
    hw: str,
    w_bits: int | None,
    a_bits: int | None,
    stride: int,
    optimize: str,
    compare: str | None,
    export: Path | None,
    strict_bits: bool,
    alone: bool,
    fuse: bool,
    html: Path | None,
    input: str | None,
    option: Sequence[str] | None,
    json: bool,
) -> None:
    """Map a layer; show its loop nest, export it.

    A layer of a model is mapped as it runs in the model where the accelerator keeps tensors between layers, unless
    it is to be `alone` or exported: Timeloop knows no network.
    """
    objective = parse_objective(optimize)
    check_output(export, (".yaml", ".yml"), "--export")
    check_output(html, (".html",), "--html")
    chips = [load_accelerator(name) for name in (hw, compare) if name is not None]
    graph, chosen = _layer(layer, stride, input, option)
    if alone or export is not None:
        graph = None
    mapped = [
        _mapped(_with_bits(chosen, chip, w_bits, a_bits), chip, objective, strict_bits)
        if graph is None or (chip.keeper is None and not chip.timing.fetches_ahead)
        else _in_network(graph, chosen.name, chip, objective, w_bits, a_bits, strict_bits=strict_bits, fuse=fuse)
        for chip in chips
    ]
    if export is not None:
        first = mapped[0]
        with writing(export, "--export"):
            write_atomic(export, to_timeloop_yaml(first.cost.layer, first.accelerator, first.mapping))
        say(f"{export}: for timeloop-model")
    if html is not None:
        write_page(html, mapping_sheet(chosen.name, mapped))
    if json:
        data = [
            {
                "accelerator": item.accelerator.name,
                "layer": item.cost.layer.to_dict(),
                **mapping_data(item.mapping, item.cost),
                "explanation": explanations.explanation_data(item.told),
            }
            for item in mapped
        ]
        emit_json({**data[0], "compare": data[1]} if compare is not None else data[0])
        return
    console = make_console()
    if compare is None:
        _print_one(console, mapped[0])
    else:
        _print_both(console, chosen, *mapped)


_BOUNDS = re.compile(r"[A-Z]+=[^,:]*(,[A-Z]+=[^,:]*)*")


def _layer(
    text: str, stride: int, shape: str | None, option: Sequence[str] | None
) -> tuple[LayerGraph | None, Layer]:
    """The layer of MODEL:LAYER with its network, or the one that loop bounds describe."""
    if _BOUNDS.fullmatch(text):
        return None, Layer(name=text, dims=_dims(text), stride=(stride, stride))
    model, colon, name = text.rpartition(":")
    if not colon:
        raise LayerError(
            f"LAYER must be MODEL:LAYER or bounds as K=64,C=64, but got {text!r}. Try {text or 'resnet20'}:conv1."
        )
    graph = traced(model, shape, option)
    return graph, graph.layer(name)


def _dims(text: str) -> Dims:
    """`K=64,C=64,...` as dims."""
    pairs = dict(part.split("=", 1) for part in text.split(","))
    if len(pairs) < text.count("="):
        raise LayerError(f"dims: each once, but got {text}")
    for name, bound in pairs.items():
        if not bound.isdecimal():
            raise LayerError(f"dims: `{name} >= 1` must hold (an integer), but got {name}={bound!r}")
    return Dims.of({name: int(bound) for name, bound in pairs.items()})


def _with_bits(layer: Layer, accelerator: Accelerator, w_bits: int | None, a_bits: int | None) -> Layer:
    """The layer at widths; those that are not given are the accelerator's own."""
    if w_bits is None and a_bits is None:
        return layer
    native = accelerator.native_bits
    return layer.with_bits(Bits(w=w_bits or native.w, i=a_bits or native.i))


def _mapped(layer: Layer, accelerator: Accelerator, objective: Objective, strict_bits: bool) -> Mapped:
    """The best mapping of a layer."""
    mapping, cost = find_mapping(layer, accelerator, optimize=objective, strict_bits=strict_bits)
    return Mapped(
        accelerator=accelerator, mapping=mapping, cost=cost, told=explain_mapping(cost.layer, accelerator, mapping)
    )


def _in_network(
    graph: LayerGraph,
    name: str,
    accelerator: Accelerator,
    objective: Objective,
    w_bits: int | None,
    a_bits: int | None,
    *,
    strict_bits: bool,
    fuse: bool,
) -> Mapped:
    """The mapping of a layer as it runs in its network; of its first stripe where it runs in stripes."""
    choices = uniform_choices(graph, accelerator, w_bits=w_bits, a_bits=a_bits, density=None)
    priced = evaluate(graph, accelerator, choices, objective, strict_bits=strict_bits, fuse=fuse)
    cost = next(item for item in priced.layers if item.name == name)
    assert cost.mapping is not None  # chips that keep tensors are of kind spatial
    layer = stripes(cost.layer, cost.stripe_rows)[0][0] if cost.stripe_rows else cost.layer
    told = explain_mapping(layer, accelerator, cost.mapping, cost.stay)
    return Mapped(accelerator=accelerator, mapping=cost.mapping, cost=cost, told=told)


def _print_one(console: Console, item: Mapped) -> None:
    print_lines(console, mapping_lines(item.cost.layer, item.accelerator, item.mapping, item.cost))
    console.print(explanations.tile_table(item.told, width=console.width))
    print_lines(console, [("", ""), *explanations.bound_lines(item.told), ("", "")])
    console.print(explanations.cycle_table(item.told, width=console.width))
    print_lines(console, [("", "")])
    console.print(mapping_table(item.cost, width=console.width))


def _print_both(console: Console, layer: Layer, first: Mapped, second: Mapped) -> None:
    """Two accelerators side by side."""
    print_lines(console, [("", layer.name), ("", "")])
    console.print(explanations.comparison_table(first, second, width=console.width))
    print_lines(console, [("", "")])
    console.print(explanations.nest_table(first, second, width=console.width))
    for item in (first, second):
        lines = [*explanations.bound_lines(item.told), *((WARNING, note) for note in item.cost.notes)]
        print_lines(console, [("", ""), ("", item.accelerator.name), *lines])
        console.print(explanations.cycle_table(item.told, width=console.width))
