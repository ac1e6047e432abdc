"""What layers and networks cost on an accelerator."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import replace
from typing import Protocol

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.storage import compression, nm_compression
from hwmodel.errors import MappingError
from hwmodel.mapper.free import Objective
from hwmodel.mapper.shared import map_and_price
from hwmodel.nest.mapping import Mapping
from hwmodel.network.choice import Choice, remove_filters
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Bits, Density, Layer
from hwmodel.network.liveness import Liveness
from hwmodel.price import sequential as nestcount
from hwmodel.price.gpu import price_kernel, uses_structure
from hwmodel.price.results import LayerCost, NetworkCost
from hwmodel.price.sparsity import nm_pattern, weight_density
from hwmodel.price.strict import check_bits, spoken_bits_note
from hwmodel.price.vector import VectorCost, vector_costs


class Configuration(Protocol):
    """Anything that annotates a graph with bits and densities, such as a `CompressionConfig`."""

    def annotate(self, graph: LayerGraph) -> LayerGraph: ...


def find_mapping(
    layer: Layer, accelerator: Accelerator, optimize: Objective = "energy", *, strict_bits: bool = False
) -> tuple[Mapping, LayerCost]:
    """The best mapping of a layer, and its cost.

    Args:
        layer: without bits it runs at the accelerator's native widths.
        accelerator: of kind `spatial`.
        optimize: `energy`, `latency` or `edp`.
        strict_bits: refuse widths that the accelerator has no arithmetic for, instead of pricing the next ones.

    Raises:
        PrecisionError: `strict_bits`, and it has none for the layer's.
        MappingError: the accelerator has no mappings, or none fits; the message says what to change.
    """
    if strict_bits:
        check_bits([layer], accelerator)
    cost = layer_cost(layer, accelerator, optimize)
    if cost.mapping is None:
        raise MappingError(f"accelerator {accelerator.name!r} is of kind {accelerator.kind}: it has no mappings")
    return cost.mapping, cost


def layer_cost(
    layer: Layer,
    accelerator: Accelerator,
    optimize: Objective = "energy",
    *,
    vector: VectorCost | None = None,
    last: bool = True,
) -> LayerCost:
    """Cost of one layer.

    Args:
        layer, accelerator, optimize: as `find_mapping`.
        vector: cost of the vector operations on its output.
        last: it is the last layer of its network.

    Raises:
        MappingError: no mapping fits.
    """
    widths = accelerator.resolve_bits(layer.bits, layer.reduction)
    resolved = replace(layer, bits=Bits(w=widths.w, i=widths.i, o=widths.o, acc=widths.acc))
    work = remove_filters(resolved)
    shown = _supported(work, accelerator)
    density = work.density
    energy: dict[tuple[str, str], float]
    traffic: dict[tuple[str, str], float] = {}
    tiles: dict[tuple[str, str], int] = {}
    mapping: Mapping | None = None
    if accelerator.loop_nest is not None:
        counts = nestcount.count_operations(work, accelerator.loop_nest, last=last)
        energy = nestcount.operation_energy(counts, widths, accelerator.loop_nest)
        cycles, bound, utilization = counts.multiplications + counts.additions, "compute", 1.0
        compute = processing = cycles
    elif accelerator.roofline is not None:
        kernel = price_kernel(work, accelerator, accelerator.roofline, last=last)
        energy, traffic = kernel.energy_pj, kernel.traffic_bits
        cycles, bound, utilization = kernel.cycles, kernel.bound, kernel.utilization
        compute = processing = kernel.cycles
    else:
        mapping, priced = map_and_price(shown, accelerator, optimize)
        energy = {(place, operand): value for (place, operand), value in priced.energy_pj.items()}
        traffic = {(place, operand): item.bits for (place, operand), item in priced.traffic.items()}
        tiles = {(place, operand): value for (place, operand), value in priced.tile_bits.items()}
        cycles, bound, utilization = priced.cycles, priced.bound, priced.utilization
        compute = priced.compute_cycles
        processing = priced.processing_cycles
    if vector is not None and accelerator.levels:
        utilization *= cycles / (cycles + vector.cycles)
        cycles += vector.cycles
        outer = accelerator.levels[-1].memories[0].name
        energy[outer, "vector"] = vector.memory_pj
        energy["vector", ""] = vector.compute_pj
        traffic[outer, "vector"] = vector.traffic_bits
    return LayerCost(
        name=layer.name,
        module=layer.module,
        layer=resolved,
        macs=layer.macs,
        effectual_macs=work.macs * weight_density(density) * density.i,
        bops=work.macs * widths.w * widths.i,
        cycles=cycles,
        bound=bound,
        energy_breakdown=energy,
        traffic_bits=traffic,
        utilization=utilization,
        weight_bits=stored_weight_bits(work, accelerator),
        mapping=mapping,
        processing_cycles=processing,
        tile_bits=tiles,
        compute_cycles=compute,
        notes=_notes(layer, accelerator),
    )


def _supported(layer: Layer, accelerator: Accelerator) -> Layer:
    """The layer with the zeros that the accelerator cannot use counted as values: fewer layers to map."""
    used, d = _used(accelerator), layer.density
    pattern = nm_pattern(layer, accelerator)
    density = Density(
        w=weight_density(d) if "W" in used else 1.0,
        i=d.i if "I" in used else 1.0,
        o=d.o if "O" in used else 1.0,
        pattern="unstructured" if pattern is None else d.pattern,
    )
    return replace(layer, density=density)


def _used(accelerator: Accelerator) -> set[str]:
    """Operands whose zeros save something, wherever they lie."""
    compressed = {o for memory in accelerator.memories().values() for o in memory.compressed}
    return set(accelerator.gating) | set(accelerator.skipping) | compressed


def stored_weight_bits(layer: Layer, accelerator: Accelerator) -> float:
    """Weights of a layer (whole filters already removed) in the outermost memory [bit]."""
    if not layer.weights:
        return 0.0
    width = accelerator.resolve_bits(layer.bits, layer.reduction).w
    pattern = nm_pattern(layer, accelerator)
    if pattern is not None:
        return layer.weights * width * nm_compression(width, *pattern)
    memory = accelerator.levels[-1].memory("W") if accelerator.levels else None
    if memory is None or "W" not in memory.compressed:
        return float(layer.weights * width)
    return layer.weights * width * compression(layer.weights, width, weight_density(layer.density), memory.formats)


def _notes(layer: Layer, accelerator: Accelerator) -> tuple[str, ...]:
    widths = accelerator.resolve_bits(layer.bits, layer.reduction)
    note, machine = spoken_bits_note(layer, accelerator), accelerator.roofline
    notes = [note] if note else []
    if machine is not None and uses_structure(layer, machine.format_for(max(widths.w, widths.i))):
        return tuple(notes)
    idle = "W" not in _used(accelerator) and nm_pattern(layer, accelerator) is None
    if weight_density(layer.density) < 1.0 and layer.density.pattern != "filter" and idle:
        notes.append(
            f"{accelerator.name}: zeros among the weights save nothing here: it neither gates nor compresses them"
        )
    return tuple(notes)


def evaluate(
    graph: LayerGraph | Layer,
    accelerator: Accelerator,
    config: Configuration | MappingType[str, Choice] | None = None,
    optimize: Objective = "energy",
    *,
    strict_bits: bool = False,
) -> NetworkCost:
    """Cost of a network, layer by layer, each with its best mapping.

    Args:
        graph: traced, annotated or not; a single layer is a network of one.
        accelerator: from `load_accelerator`.
        config: bits and densities by module name; None leaves the graph as it is annotated (layers
            without bits run at the accelerator's native widths).
        optimize: what the mapping of each layer minimises.
        strict_bits: refuse widths that the accelerator has no arithmetic for, instead of pricing the next ones.

    Raises:
        PrecisionError: `strict_bits`, and it has none for the widths of some layer.
        GraphError: the configuration names a module that the graph has not.
        MappingError: no mapping of some layer fits.
    """
    if isinstance(graph, Layer):
        graph = LayerGraph(graph.name, [graph], [])
    if config is not None:
        graph = graph.annotate(config) if isinstance(config, MappingType) else config.annotate(graph)
    if strict_bits:
        check_bits(graph.layers, accelerator)
    vectors = vector_costs(graph, accelerator)
    final = graph.layers[-1].name if graph.layers else ""
    costs = tuple(
        layer_cost(layer, accelerator, optimize, vector=vectors.get(layer.name), last=layer.name == final)
        for layer in graph.layers
    )
    widths = {item.module: accelerator.resolve_bits(item.layer.bits, item.layer.reduction).o for item in costs}
    return NetworkCost(
        layers=costs,
        clock_hz=accelerator.clock_hz,
        accelerator=accelerator.name,
        activation_bits=float(Liveness.of(graph).peak_bits(widths, accelerator.native_bits.i)),
        price_notes=tuple(dict.fromkeys([*(note for item in costs for note in item.notes), *accelerator.notes])),
        uncounted=graph.uncounted,
    )
