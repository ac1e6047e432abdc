"""Costs of layers and networks as values: they add, and turn into tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import ALONE, Stay
from hwmodel.network.choice import FLOAT
from hwmodel.network.frames import layer_row
from hwmodel.network.graph import Uncounted
from hwmodel.network.layer import Layer, Operand
from hwmodel.network.names import times
from hwmodel.network.stored import first_reads
from hwmodel.plots import CostPlots
from hwmodel.shown import Shown

if TYPE_CHECKING:
    import pandas as pd

Breakdown = MappingType[tuple[str, str], float]
#: Where an operand stands in the keys of a breakdown: the power drawn over the time of the layer, whatever it does.
LEAKAGE = "leakage"
#: Places of a breakdown that are arithmetic, converters of analog sums among them.
_ARITHMETIC = frozenset({"mac", "mul", "add", "vector", "dac", "adc"})


@dataclass(frozen=True, kw_only=True)
class LayerCost(Shown):
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
        energy_breakdown: keyed (memory, "mac" or "vector", operand or "") [pJ]; leakage is apart, keyed (memory or
            "array", "leakage").
        traffic_bits: keyed (memory, operand or "vector") [bit].
        utilization: MACs that are not skipped over what the whole array could do in the layer's cycles, at most 1.
        processing_cycles: the part of the cycles in which the array runs or waits for its ports.
        weight_bits: stored weights [bit].
        mapping: None on accelerators without one.
        stay: where its operands lie, in a network.
        stripe_rows: rows of its outputs that it makes at a time, in a group of layers that run depth first; 0: it
            runs whole. Costs are those of all stripes; mapping and tiles those of a full one.
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
    stay: Stay = ALONE
    stripe_rows: int = 0
    notes: tuple[str, ...] = ()

    @property
    def resident(self) -> tuple[Operand, ...]:
        """Operands that lie in the chip's resident memory while the layer runs."""
        return self.stay.resident

    @cached_property
    def energy_pj(self) -> float:
        """Energy of the layer [pJ]."""
        return added(self.energy_breakdown.values())

    @property
    def mac_energy_pj(self) -> float:
        """The part of the energy that computes: MACs and vector operations [pJ]."""
        return sum(v for (place, _), v in self.energy_breakdown.items() if place in _ARITHMETIC)

    @property
    def leakage_energy_pj(self) -> float:
        """The part of the energy that the chip draws over the layer's time whatever it does [pJ]."""
        return sum(v for (_, kind), v in self.energy_breakdown.items() if kind == LEAKAGE)


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """Where a tensor of a network lies.

    Attributes:
        name: of the node that makes it.
        bits: what it takes at its own width [bit]: all of it, or inside a fused group its line buffer.
        width: of its elements [bit].
        memory: in which it lies from the node that makes it to the last that reads it.
        birth, death: first and last node that runs while it lies there, as positions in `NetworkCost.order`;
            what a fused group reads and makes lies there until its end.
    """

    name: str
    bits: int
    width: int
    memory: str
    birth: int = 0
    death: int = 0


@dataclass(frozen=True, kw_only=True)
class FusedGroup:
    """Layers that run depth first, in stripes of rows.

    Attributes:
        layers: their names, in order.
        tensors: names of the nodes that make the tensors inside.
        stripes: in so many.
        rows: of its outputs that each layer makes at a time; the last stripe has what remains.
        line_bits: the line buffer of each tensor inside [bit].
        weights_on_chip: the weights are loaded once and stay for the time of the group; else every stripe reads
            them again.
    """

    layers: tuple[str, ...]
    tensors: tuple[str, ...]
    stripes: int
    rows: tuple[int, ...]
    line_bits: tuple[int, ...]
    weights_on_chip: bool


@dataclass(frozen=True, kw_only=True)
class WeightLoad:
    """Weights that stay in the chip's resident memory between inferences, and what it takes to load them once.

    Attributes:
        layers: names of the layers that find their weights there, in order.
        memory: in which they stay.
        bits: that they take there, each stored weight once [bit].
        energy_pj: of reading them from the outermost memory and writing them there [pJ].
        cycles: of these two ports, whichever takes longer.
    """

    layers: tuple[str, ...]
    memory: str
    bits: float
    energy_pj: float
    cycles: int

    def __add__(self, other: WeightLoad) -> WeightLoad:
        """Both, one after the other."""
        return WeightLoad(
            layers=self.layers + other.layers,
            memory=self.memory,
            bits=self.bits + other.bits,
            energy_pj=self.energy_pj + other.energy_pj,
            cycles=self.cycles + other.cycles,
        )


@dataclass(frozen=True, kw_only=True)
class NetworkCost(Shown, CostPlots):
    """Costs of the layers of a network; adds up.

    Attributes:
        layers: in topological order.
        clock_hz: of the accelerator [Hz].
        activation_bits: the most that is alive at once, layer outputs in execution order [bit].
        order: names of its nodes, as they run.
        tensors: where its tensors lie, in order of birth.
        fused: groups of its layers that run in stripes.
        load: of the weights that stay on chip between inferences, None where none do; not a part of any total:
            they are those of one inference after it.
        price_notes: what to know about the prices, each sentence once.
        uncounted: ops without a rule: the totals are a lower bound.
    """

    layers: tuple[LayerCost, ...]
    clock_hz: float
    accelerator: str
    activation_bits: float = 0.0
    order: tuple[str, ...] = ()
    tensors: tuple[TensorPlace, ...] = ()
    fused: tuple[FusedGroup, ...] = ()
    load: WeightLoad | None = None
    price_notes: tuple[str, ...] = ()
    uncounted: tuple[Uncounted, ...] = ()

    def __add__(self, other: NetworkCost) -> NetworkCost:
        """Both networks one after the other on the same accelerator, each with the weights that stay for it."""
        if (self.accelerator, self.clock_hz) != (other.accelerator, other.clock_hz):
            raise ConfigError(
                f"costs add on one accelerator only, but got {self.accelerator} + {other.accelerator}"
            )
        later = [
            replace(tensor, birth=tensor.birth + len(self.order), death=tensor.death + len(self.order))
            for tensor in other.tensors
        ]
        return NetworkCost(
            layers=self.layers + other.layers,
            clock_hz=self.clock_hz,
            accelerator=self.accelerator,
            activation_bits=max(self.activation_bits, other.activation_bits),
            order=self.order + other.order,
            tensors=(*self.tensors, *later),
            fused=self.fused + other.fused,
            load=self.load + other.load if self.load and other.load else self.load or other.load,
            price_notes=tuple(dict.fromkeys(self.price_notes + other.price_notes)),
            uncounted=tuple(dict.fromkeys(self.uncounted + other.uncounted)),
        )

    @property
    def is_lower_bound(self) -> bool:
        """Some op had no rule, so the totals are lower bounds."""
        return bool(self.uncounted)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know about the totals, each sentence once: the prices, then what was not counted."""
        missing = (
            f"{item.op} ({times(item.calls, 'call')}, in {item.module or 'the top module'}) "
            "has no rule: the total is a LOWER BOUND"
            for item in self.uncounted
        )
        return tuple(dict.fromkeys([*self.price_notes, *missing]))

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
        return added(item.energy_pj for item in self.layers)

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


def added(values: Iterable[float]) -> float:
    """The sum, one after the other: as compiled code and every version of Python add."""
    total = 0.0
    for value in values:
        total += value
    return total


def storing(items: Sequence[LayerCost]) -> list[LayerCost]:
    """The costs that stand for the stored weights: of layers that read the same one, the first."""
    return list(compress(items, first_reads(item.layer for item in items)))


def stored_once(items: Sequence[LayerCost]) -> float:
    """Weight bits of layers, each stored weight once [bit]."""
    return sum(item.weight_bits for item in storing(items))


def _row(item: LayerCost, clock_hz: float) -> dict[str, object]:
    outer = list(dict.fromkeys(place for place, _ in item.traffic_bits))[-1:]
    bits = item.layer.bits
    return {
        **layer_row(item.layer),
        "o_bits": FLOAT.i if bits is None else bits.out,
        "resident": " ".join(item.resident),
        "stripe_rows": item.stripe_rows,
        "layer": item.name,
        "module": item.module,
        "macs": item.macs,
        "effectual_macs": item.effectual_macs,
        "cycles": item.cycles,
        "latency_s": item.cycles / clock_hz,
        "energy_pj": item.energy_pj,
        "mac_energy_pj": item.mac_energy_pj,
        "memory_energy_pj": item.energy_pj - item.mac_energy_pj - item.leakage_energy_pj,
        "leakage_energy_pj": item.leakage_energy_pj,
        "dram_bits": sum(v for (place, _), v in item.traffic_bits.items() if place in outer),
        "weight_bits": item.weight_bits,
        "utilization": item.utilization,
        "bound": item.bound,
    }
