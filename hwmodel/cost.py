"""What layers and networks cost on an accelerator."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from hwmodel import nestcount
from hwmodel.accelerator import Accelerator
from hwmodel.choice import Choice, remove_filters
from hwmodel.describe import out_shape
from hwmodel.errors import ConfigError, MappingError
from hwmodel.fusion import array_view
from hwmodel.gpu import price_kernel, uses_structure
from hwmodel.graph import LayerGraph
from hwmodel.layer import Bits, Density, Layer
from hwmodel.liveness import Liveness
from hwmodel.mapcache import load_mapping, store_mapping
from hwmodel.mapper import Objective, best_mapping
from hwmodel.mapping import Mapping
from hwmodel.pricing import Priced, price
from hwmodel.rowstationary import row_stationary
from hwmodel.sparsity import nm_pattern, weight_density
from hwmodel.storage import compression, nm_compression
from hwmodel.strict import check_bits, spoken_bits_note
from hwmodel.vector import VectorCost, vector_costs

if TYPE_CHECKING:
    import pandas as pd

Breakdown = MappingType[tuple[str, str], float]


class Configuration(Protocol):
    """Anything that annotates a graph with bits and densities, such as a `CompressionConfig`."""

    def annotate(self, graph: LayerGraph) -> LayerGraph: ...


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """Cost of one layer, with the vector operations that work on its output.

    Attributes:
        name, module: of the layer.
        layer: as priced, with its bits and density.
        macs: dense MACs.
        effectual_macs: MACs left after removed filters, times the densities of both operands.
        bops: MACs after removed filters * b_w * b_i (bit operations).
        cycles: with stalls.
        compute_cycles: of the array alone.
        bound: "compute", or the memory whose port is busiest.
        energy_breakdown: keyed (memory, "mac" or "vector", operand or "") [pJ].
        traffic_bits: keyed (memory, operand or "vector") [bit].
        utilization: MACs over what the whole array could do in the layer's cycles.
        processing_cycles: the part of the cycles in which the array runs or waits for its ports.
        weight_bits: stored weights [bit].
        mapping: None on accelerators without one.
        notes: what to know about the price.
    """

    name: str
    module: str
    layer: Layer
    macs: int
    effectual_macs: float
    bops: int
    cycles: int
    bound: str
    energy_breakdown: Breakdown
    traffic_bits: Breakdown
    utilization: float
    weight_bits: float
    mapping: Mapping | None = None
    processing_cycles: int = 0
    tile_bits: MappingType[tuple[str, str], int] = field(default_factory=dict)
    compute_cycles: int = 0
    notes: tuple[str, ...] = ()

    @cached_property
    def energy_pj(self) -> float:
        """Energy of the layer [pJ]."""
        return sum(self.energy_breakdown.values())

    @property
    def mac_energy_pj(self) -> float:
        """The part of the energy that computes: MACs and vector operations [pJ]."""
        return sum(v for (place, _), v in self.energy_breakdown.items() if place in ("mac", "mul", "add", "vector"))


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """Costs of the layers of a network; adds up.

    Attributes:
        layers: in topological order.
        clock_hz: of the accelerator [Hz].
        activation_bits: the most that is alive at once, layer outputs in execution order [bit].
        notes: what to know about the totals, each sentence once.
    """

    layers: tuple[LayerCost, ...]
    clock_hz: float
    accelerator: str
    activation_bits: float = 0.0
    notes: tuple[str, ...] = ()

    def __add__(self, other: NetworkCost) -> NetworkCost:
        """Both networks one after the other on the same accelerator."""
        if (self.accelerator, self.clock_hz) != (other.accelerator, other.clock_hz):
            raise ConfigError(
                f"costs add on one accelerator only, but got {self.accelerator} + {other.accelerator}"
            )
        return NetworkCost(
            layers=self.layers + other.layers,
            clock_hz=self.clock_hz,
            accelerator=self.accelerator,
            activation_bits=max(self.activation_bits, other.activation_bits),
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )

    @cached_property
    def by_module(self) -> dict[str, tuple[LayerCost, ...]]:
        """Layer costs grouped by module, in order of first appearance: the order in which totals are summed."""
        groups: dict[str, list[LayerCost]] = {}
        for item in self.layers:
            groups.setdefault(item.module, []).append(item)
        return {module: tuple(items) for module, items in groups.items()}

    @property
    def macs(self) -> int:
        return sum(item.macs for item in self.layers)

    @property
    def effectual_macs(self) -> float:
        return sum(item.effectual_macs for item in self.layers)

    @property
    def bops(self) -> int:
        """Bit operations: sum of MACs * b_w * b_i."""
        return sum(item.bops for item in self.layers)

    @cached_property
    def energy_pj(self) -> float:
        """Energy of one run of the network [pJ]."""
        return sum(sum(item.energy_pj for item in items) for items in self.by_module.values())

    @property
    def cycles(self) -> int:
        return sum(item.cycles for item in self.layers)

    @property
    def latency_s(self) -> float:
        """Time of one run, layers one after the other [s]."""
        return self.cycles / self.clock_hz

    @cached_property
    def weight_bits(self) -> float:
        """Stored weights, each once however often it is read [bit]."""
        return sum(stored_once(items) for items in self.by_module.values())

    @property
    def memory_bits(self) -> float:
        """Weights and the peak of the activations [bit]."""
        return self.weight_bits + self.activation_bits

    @property
    def utilization(self) -> float:
        """MACs over what the array could do in all cycles."""
        cycles = self.cycles
        return sum(item.utilization * item.cycles for item in self.layers) / cycles if cycles else 0.0

    def to_dataframe(self) -> pd.DataFrame:
        """One row per layer; units stand in the column names."""
        import pandas as pd

        return pd.DataFrame([_row(item, self.clock_hz) for item in self.layers])

    def traffic_frame(self) -> pd.DataFrame:
        """One row per layer, memory and operand: traffic_bits and energy_pj."""
        import pandas as pd

        rows = [
            {
                "layer": item.name,
                "memory": place,
                "operand": operand,
                "traffic_bits": item.traffic_bits.get((place, operand), 0.0),
                "energy_pj": energy,
            }
            for item in self.layers
            for (place, operand), energy in item.energy_breakdown.items()
        ]
        return pd.DataFrame(rows, columns=["layer", "memory", "operand", "traffic_bits", "energy_pj"])

    def _repr_html_(self) -> str:
        from hwmodel.notebook import cost_html

        return cost_html(self)


def stored_once(items: Sequence[LayerCost]) -> float:
    """Weight bits of the layers of one module, each of its weights once [bit]."""
    return sum({item.layer.weight_key: item.weight_bits for item in items if item.weight_bits}.values())


def _row(item: LayerCost, clock_hz: float) -> dict[str, object]:
    layer = item.layer
    outer = list(dict.fromkeys(place for place, _ in item.traffic_bits))[-1:]
    bits = layer.bits or Bits(w=32, i=32)
    return {
        "layer": item.name,
        "module": item.module,
        "kind": layer.kind,
        "out_shape": out_shape(layer).replace("×", "x"),
        "w_bits": bits.w,
        "a_bits": bits.i,
        "density": layer.density.w,
        "weights": layer.weights,
        "macs": item.macs,
        "effectual_macs": item.effectual_macs,
        "cycles": item.cycles,
        "latency_s": item.cycles / clock_hz,
        "energy_pj": item.energy_pj,
        "mac_energy_pj": item.mac_energy_pj,
        "memory_energy_pj": item.energy_pj - item.mac_energy_pj,
        "dram_bits": sum(v for (place, _), v in item.traffic_bits.items() if place in outer),
        "weight_bits": item.weight_bits,
        "utilization": item.utilization,
        "bound": item.bound,
    }


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


_mapped: dict[tuple[Layer, str, str], tuple[Mapping, Priced]] = {}
_mappings: dict[tuple[Layer, str, str], Mapping] = {}


def _map_and_price(layer: Layer, accelerator: Accelerator, optimize: Objective) -> tuple[Mapping, Priced]:
    """Identical layers are mapped once, whatever they are called, and kept on disk."""
    key = (replace(layer, name="", module="", has_bias=False), accelerator.fingerprint, optimize)
    if key not in _mapped:
        mapping = _dense_mapping(layer, accelerator, optimize)
        _mapped[key] = (mapping, price(layer, accelerator, mapping))
    return _mapped[key]


def _dense_mapping(layer: Layer, accelerator: Accelerator, optimize: Objective) -> Mapping:
    """The mapping of the dense layer: it does not depend on the zeros, so that fewer values never cost more."""
    key = (replace(layer, name="", module="", has_bias=False, density=Density()), accelerator.fingerprint, optimize)
    if key not in _mappings:
        dense, array = array_view(replace(layer, density=Density()), accelerator)
        _mappings[key] = _stored_mapping(dense, array, optimize)
    return _mappings[key]


def _stored_mapping(layer: Layer, accelerator: Accelerator, optimize: Objective) -> Mapping:
    """The best mapping, from the disk where it is known."""
    mapping = load_mapping(layer, accelerator, optimize)
    if mapping is None:
        find = row_stationary if accelerator.dataflow == "row_stationary" else best_mapping
        mapping = find(layer, accelerator, optimize)
        store_mapping(layer, accelerator, optimize, mapping)
    return mapping


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
        mapping, priced = _map_and_price(shown, accelerator, optimize)
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
        notes=_network_notes(graph, accelerator, costs),
    )


def _network_notes(graph: LayerGraph, accelerator: Accelerator, costs: tuple[LayerCost, ...]) -> tuple[str, ...]:
    notes = [note for item in costs for note in item.notes]
    notes += accelerator.notes
    notes += [
        f"{item.op} ({item.calls} call{'s' if item.calls > 1 else ''}, in {item.module or 'the top module'}) "
        "has no rule: the total is a LOWER BOUND"
        for item in graph.uncounted
    ]
    return tuple(dict.fromkeys(notes))
