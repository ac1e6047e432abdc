"""What one layer costs by itself, on a chip of any kind."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field

from hwmodel.nest.mapping import Mapping


@dataclass(frozen=True, kw_only=True)
class LayerPrice:
    """One layer without the vector operations on its output.

    Attributes:
        energy_pj: keyed (memory or kind of operation, operand or "") [pJ].
        traffic_bits: keyed (memory, operand) [bit].
        tile_bits: keyed (memory, operand), of one instance, not doubled [bit].
        final_bits: of the traffic of O, the finished outputs that the outermost memory receives [bit].
        cycles: with stalls.
        compute_cycles: of the array alone.
        processing_cycles: the part of the cycles in which the array runs or waits for its ports.
        bound: "compute", or what it waits for.
        utilization: MACs that are not skipped over the peak in these cycles.
        mapping: None on chips without one.
    """

    energy_pj: dict[tuple[str, str], float]
    traffic_bits: dict[tuple[str, str], float] = field(default_factory=dict)
    tile_bits: MappingType[tuple[str, str], int] = field(default_factory=dict)
    final_bits: float = 0.0
    cycles: int
    compute_cycles: int
    processing_cycles: int
    bound: str
    utilization: float
    mapping: Mapping | None = None
