"""What layers add up to: parameters, MACs, mean widths and, once they are priced, cycles and energy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hwmodel.network.choice import FLOAT
from hwmodel.network.layer import Layer, Operand
from hwmodel.network.stored import stored_elements

if TYPE_CHECKING:
    from hwmodel.price.results import LayerCost


@dataclass(frozen=True)
class Mean:
    """A weighted mean that adds up, with the least and the largest value in it."""

    total: float
    weight: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, weight: float) -> Self:
        return cls(value * weight, weight, value, value)

    def __add__(self, other: Mean) -> Mean:
        """Values of weight zero count only where there are no others."""
        if bool(self.weight) != bool(other.weight) or math.isnan(self.low) or math.isnan(other.low):
            return max(self, other, key=lambda mean: (mean.weight, mean.low == mean.low))
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Mean(self.total + other.total, self.weight + other.weight, low, high)

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else (self.low + self.high) / 2

    @property
    def is_uniform(self) -> bool:
        return self.low == self.high


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a line of the outline says about the layers below it; adds up.

    Attributes:
        num_layers: layers with MACs.
        macs: dense.
        weights: elements, each stored weight once.
        biases: elements, likewise.
        w_bits: widths of the weights, weighted by their number [bit].
        a_bits: widths of the inputs, weighted by MACs [bit].
        density: of the weights, weighted by their number.
        cycles, energy_pj: of a network that is priced, else 0.
        busy_cycles: cycles x utilization: those that the array would need with every PE busy.
        bounds: what bounds the layers -> the cycles of those layers.
        resident: operand -> layers of which it lies in the chip's resident memory.
        noted: layers whose price has a note.
    """

    num_layers: int
    macs: int
    weights: int
    biases: int
    w_bits: Mean
    a_bits: Mean
    density: Mean
    cycles: int = 0
    energy_pj: float = 0.0
    busy_cycles: float = 0.0
    bounds: Mapping[str, int] = field(default_factory=dict)
    resident: Mapping[Operand, int] = field(default_factory=dict)
    noted: int = 0

    @property
    def params(self) -> int:
        """Weights and biases of the layers; those of norms and tables of embeddings are left out."""
        return self.weights + self.biases

    @property
    def utilization(self) -> float | None:
        """MACs over what the array could do in all cycles; None where nothing is priced."""
        return self.busy_cycles / self.cycles if self.cycles else None

    @property
    def bound(self) -> str:
        """What bounds most of the cycles; "" where nothing is priced."""
        return max(self.bounds, key=self.bounds.__getitem__, default="")

    def __add__(self, other: Sums) -> Sums:
        names = dict.fromkeys([*self.bounds, *other.bounds])
        return Sums(
            num_layers=self.num_layers + other.num_layers,
            macs=self.macs + other.macs,
            weights=self.weights + other.weights,
            biases=self.biases + other.biases,
            w_bits=self.w_bits + other.w_bits,
            a_bits=self.a_bits + other.a_bits,
            density=self.density + other.density,
            cycles=self.cycles + other.cycles,
            energy_pj=self.energy_pj + other.energy_pj,
            busy_cycles=self.busy_cycles + other.busy_cycles,
            bounds={name: self.bounds.get(name, 0) + other.bounds.get(name, 0) for name in names},
            resident={
                operand: self.resident.get(operand, 0) + other.resident.get(operand, 0)
                for operand in dict.fromkeys([*self.resident, *other.resident])
            },
            noted=self.noted + other.noted,
        )


#: Of no layer.
NOTHING = Sums(
    num_layers=0, macs=0, weights=0, biases=0,
    w_bits=Mean.of(math.nan, 0), a_bits=Mean.of(math.nan, 0), density=Mean.of(math.nan, 0),
)  # fmt: skip


def layer_sums(layers: Sequence[Layer], costs: Sequence[LayerCost] = ()) -> list[Sums]:
    """One `Sums` per layer. A weight that several layers read counts with the first of them."""
    rows = []
    for index, (layer, (weights, biases)) in enumerate(zip(layers, stored_elements(layers), strict=True)):
        bits = layer.bits or FLOAT
        cost = costs[index] if costs else None
        rows.append(
            Sums(
                num_layers=1,
                macs=layer.macs,
                weights=weights,
                biases=biases,
                w_bits=Mean.of(bits.w, weights),
                a_bits=Mean.of(bits.i, layer.macs),
                density=Mean.of(layer.density.w, weights),
                cycles=cost.cycles if cost else 0,
                energy_pj=cost.energy_pj if cost else 0.0,
                busy_cycles=cost.utilization * cost.cycles if cost else 0.0,
                bounds={cost.bound: cost.cycles} if cost else {},
                resident=dict.fromkeys(cost.resident, 1) if cost else {},
                noted=bool(cost and cost.notes),
            )
        )
    return rows
