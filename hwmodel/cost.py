"""What layers and networks cost on an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Protocol

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper.free import Objective
from hwmodel.mapper.shared import map_and_price, resident_room
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import ALONE, Stay, Task
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer, Operand
from hwmodel.network.stripes import stripes
from hwmodel.place.network import place_network, vector_costs
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Price, Situation
from hwmodel.price.gpu import price_kernel, uses_structure
from hwmodel.price.layer_price import LayerPrice
from hwmodel.price.load import weight_bits
from hwmodel.price.results import LEAKAGE, LayerCost, NetworkCost, added, stored_once
from hwmodel.price.sequential import price_operations
from hwmodel.price.sparsity import nm_pattern, used_zeros, useful_zeros, weight_density
from hwmodel.price.strict import check_bits, spoken_bits_note
from hwmodel.price.stripes import joined, with_load
from hwmodel.price.vector import VectorCost


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
    stay: Stay = ALONE,
    unwritten: Fraction = Fraction(0),
    on_chip: tuple[Operand, ...] = (),
    rows: int = 0,
) -> LayerCost:
    """Cost of one layer.

    Args:
        layer, accelerator, optimize: as `find_mapping`.
        vector: cost of the vector operations on its output.
        last: it is the last layer of its network.
        stay: where its operands lie, in a network.
        unwritten: fraction of its finished outputs that no memory sees: a pool behind it reduces them.
        on_chip: operands that no memory sees: the scores of an attention that is one kernel.
        rows: of its outputs that it makes at a time; 0: all.

    Raises:
        MappingError: no mapping fits.
    """
    situation = Situation(layer, stay, unwritten, on_chip, last, rows)
    return situation_cost(situation, accelerator, optimize, vector)


def situation_cost(
    situation: Situation, accelerator: Accelerator, optimize: Objective, vector: VectorCost | None
) -> LayerCost:
    """Cost of one layer in a network, with the vector operations on its output.

    Raises:
        MappingError: no mapping fits.
    """
    layer = situation.layer
    task = Task.of(layer, accelerator, situation.stay)
    work = task.without_removed_filters()
    priced, _ = _price_stripes(work, optimize, situation)
    cycles, utilization = priced.cycles, priced.utilization
    energy, traffic = dict(priced.energy_pj), dict(priced.traffic_bits)
    if vector is not None and accelerator.levels:
        utilization *= cycles / (cycles + vector.cycles)
        cycles += vector.cycles
        outer, keeper = accelerator.outermost.name, accelerator.keeper
        energy[outer, "vector"], traffic[outer, "vector"] = vector.outer_pj, vector.outer_bits
        if keeper is not None and vector.inner_bits:
            energy[keeper.name, "vector"], traffic[keeper.name, "vector"] = vector.inner_pj, vector.inner_bits
        energy["vector", ""] = vector.compute_pj
    energy |= {(place, LEAKAGE): pj * cycles for place, pj in accelerator.leakage_pj.items()}
    density = work.layer.density
    return LayerCost(
        name=layer.name,
        module=layer.module,
        layer=task.layer,
        macs=layer.macs,
        effectual_macs=work.layer.macs * weight_density(density) * density.i,
        bops=work.layer.macs * task.widths.w * task.widths.i,
        cycles=cycles,
        bound=priced.bound,
        energy_breakdown=energy,
        traffic_bits=traffic,
        utilization=utilization,
        weight_bits=stored_weight_bits(work),
        mapping=priced.mapping,
        processing_cycles=priced.processing_cycles,
        tile_bits=priced.tile_bits,
        compute_cycles=priced.compute_cycles,
        stay=situation.stay,
        stripe_rows=situation.rows,
        notes=_notes(task),
    )


def price_situation(accelerator: Accelerator, optimize: Objective, situation: Situation) -> Price:
    """What a layer costs in a network without the vector operations on its output; as `layer_cost`.

    Raises:
        MappingError: no mapping fits.
    """
    task = Task.of(situation.layer, accelerator, situation.stay).without_removed_filters()
    priced, room = _price_stripes(task, optimize, situation)
    return Price(added(priced.energy_pj.values()), float(priced.cycles), room)


def _price_stripes(task: Task, optimize: Objective, situation: Situation) -> tuple[LayerPrice, float]:
    """Cost of a task (whole filters already removed), in stripes where it runs so, with the load of weights that
    stay for the time of them; and what its tiles take of the resident memory [bit].
    """
    parts, room, rows = [], 0.0, situation.rows
    for layer, count in stripes(task.layer, rows) if rows else ((task.layer, 1),):
        stripe = task.with_layer(layer)
        price = _price(stripe, optimize, situation)
        parts.append((price, count))
        room = max(room, 0.0 if price.mapping is None else resident_room(stripe, price.mapping))
    if not rows:
        return parts[0][0], room
    price = joined(parts)
    return (with_load(price, task) if "W" in task.stay.resident else price), room


def _price(task: Task, optimize: Objective, situation: Situation) -> LayerPrice:
    """Cost of a task (whole filters already removed, or a stripe) by the kind of its chip."""
    accelerator, unwritten = task.accelerator, situation.unwritten
    if accelerator.loop_nest is not None:
        return price_operations(task, accelerator.loop_nest, last=situation.last)
    if accelerator.roofline is not None:
        kernel = price_kernel(task, accelerator.roofline, last=situation.last, on_chip=situation.on_chip)
        return _without_unwritten(task, kernel, unwritten)
    mapping, priced = map_and_price(task.with_density(useful_zeros(task)), optimize)
    price = LayerPrice(
        energy_pj=priced.energy_pj,
        traffic_bits={(place, operand): item.bits for (place, operand), item in priced.traffic.items()},
        tile_bits={(place, operand): bits for (place, operand), bits in priced.tile_bits.items()},
        final_bits=priced.traffic[task.home("O").name, "O"].final_bits,
        cycles=priced.cycles,
        compute_cycles=priced.compute_cycles,
        processing_cycles=priced.processing_cycles,
        bound=priced.bound,
        utilization=priced.utilization,
        mapping=mapping,
    )
    return _without_unwritten(task, price, unwritten)


def _without_unwritten(task: Task, price: LayerPrice, unwritten: Fraction) -> LayerPrice:
    """The price less the part of the last write of the outputs that a pool fused behind the layer leaves over.

    The cycles stay those of the whole write: an upper bound.
    """
    if not unwritten:
        return price
    memory = task.home("O")
    saved = float(Fraction(price.final_bits) * unwritten)
    energy, traffic = dict(price.energy_pj), dict(price.traffic_bits)
    traffic[memory.name, "O"] -= saved
    energy[memory.name, "O"] -= saved * memory.write_pj_per_bit
    return replace(price, energy_pj=energy, traffic_bits=traffic)


def stored_weight_bits(task: Task) -> float:
    """Weights of a task (whole filters already removed) in the outermost memory [bit]."""
    levels = task.accelerator.levels
    return weight_bits(task, levels[-1].memory("W") if levels else None, task.layer.weights)


def _notes(task: Task) -> tuple[str, ...]:
    layer, accelerator, widths = task.layer, task.accelerator, task.widths
    note, machine = spoken_bits_note(task), accelerator.roofline
    notes = [note] if note else []
    if machine is not None and uses_structure(layer, machine.format_for(max(widths.w, widths.i))):
        return tuple(notes)
    idle = "W" not in used_zeros(accelerator) and nm_pattern(task) is None
    if weight_density(layer.density) < 1.0 and layer.density.pattern != "filter" and idle:
        notes.append(
            f"{accelerator.name}: zeros among the weights save nothing here: it neither gates nor compresses them"
        )
    return tuple(notes)


def _overflows(accelerator: Accelerator, costs: Sequence[LayerCost], peak: float) -> list[str]:
    """What does not fit in an outermost memory that has a size: weights, and tensors alive at once (`peak` [bit],
    and at least the input and the output of a layer).
    """
    notes, weights = [], stored_once(costs)
    widths = [(item.layer, accelerator.resolve_bits(item.layer.bits, item.layer.reduction)) for item in costs]
    own = [layer.stored_inputs * bits.i + layer.elements("O") * bits.o for layer, bits in widths]
    activations = max(peak, *own, 0.0)
    for memory in accelerator.levels[-1].memories if accelerator.levels else ():
        need = activations * ("O" in memory.holds) + weights * ("W" in memory.holds)
        if memory.size_bits is not None and need > memory.size_bits:
            notes.append(
                f"{accelerator.name}: {memory.name} has {memory.size_bits / 8192:,.5g} KiB, and the network needs "
                f"{need / 8192:,.5g} KiB there: it does not run on this chip as it is priced"
            )
    return notes


@dataclass
class _Told:
    """Layers that have a price: each is told once, however often it is priced in other situations."""

    total: int
    progress: Callable[[int, int], object] | None
    known: set[str] = field(default_factory=set)

    def priced(self, situation: Situation) -> None:
        if self.progress is not None and situation.layer.name not in self.known:
            self.known.add(situation.layer.name)
            self.progress(len(self.known), self.total)

    def after(self, price: Callable[[Situation], Price]) -> Callable[[Situation], Price]:
        """The function, which tells when it is done."""

        def priced(situation: Situation) -> Price:
            found = price(situation)
            self.priced(situation)
            return found

        return priced


def evaluate(
    graph: LayerGraph | Layer,
    accelerator: Accelerator,
    config: Configuration | MappingType[str, Choice] | None = None,
    optimize: Objective = "energy",
    *,
    strict_bits: bool = False,
    fuse: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> NetworkCost:
    """Cost of a network, layer by layer, each with its best mapping.

    Args:
        graph: traced, annotated or not; a single layer is a network of one.
        accelerator: from `load_accelerator`.
        config: bits and densities by module name; None leaves the graph as it is annotated (layers
            without bits run at the accelerator's native widths).
        optimize: what the mapping of each layer minimises (of energy what accesses and MACs take: leakage enters
            once it is found), and the placement of the tensors (with leakage).
        strict_bits: refuse widths that the accelerator has no arithmetic for, instead of pricing the next ones.
        fuse: pools may be fused with the layer that feeds them, concatenations made in place, and attentions one
            kernel where the chip's library has that; else each operation reads and writes memory. On chips with a
            memory where tensors stay, convolutions may run in stripes with those behind them
            (`hwmodel.place.groups`).
        progress: is told (layers that have a price, layers) as they get their first one.

    Raises:
        PrecisionError: `strict_bits`, and it has none for the widths of some layer.
        GraphError: the configuration names a module that the graph has not.
        MappingError: no mapping of some layer fits.
    """
    alone = isinstance(graph, Layer)
    if isinstance(graph, Layer):
        graph = LayerGraph(graph.name, [graph], [])
    if config is not None:
        graph = graph.annotate(config) if isinstance(config, MappingType) else config.annotate(graph)
    if strict_bits:
        check_bits(graph.layers, accelerator)
    plan = Plan.of(graph, accelerator, fuse=fuse, stay=not alone)
    told = _Told(len(plan.layers), progress)
    placed = place_network(plan, accelerator, optimize, told.after(partial(price_situation, accelerator, optimize)))
    vectors = vector_costs(plan, accelerator, placed)
    costs = []
    for n, item in enumerate(placed.situations):
        costs.append(situation_cost(item, accelerator, optimize, vectors.get(n)))
        told.priced(item)
    peak = float(placed.peak_bits(plan))
    return NetworkCost(
        layers=tuple(costs),
        clock_hz=accelerator.clock_hz,
        accelerator=accelerator.name,
        activation_bits=peak,
        order=tuple(node.name for node in graph.nodes),
        tensors=placed.tensors(plan, accelerator),
        fused=placed.fused(plan),
        load=placed.load(plan, accelerator),
        price_notes=tuple(
            dict.fromkeys(
                [
                    *(note for item in costs for note in item.notes),
                    *accelerator.notes,
                    *plan.notes,
                    *_overflows(accelerator, costs, peak),
                ]
            )
        ),
        uncounted=graph.uncounted,
    )
