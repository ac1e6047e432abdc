"""What the memories of a chip hold of a priced network while it runs, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.price.results import NetworkCost


@dataclass(frozen=True, kw_only=True)
class Step:
    """What lies in memory while one node runs [bit].

    Attributes:
        node: its name.
        resident: tensors in the memory where they may stay, line buffers of fused groups among them.
        weights: that lie there whole, between inferences or for the time of a fused group.
        tiles: of the running layer beside its resident operands, twice where the memory is double buffered.
        outside: tensors in the outermost memory.
    """

    node: str
    resident: int
    weights: int
    tiles: int
    outside: int

    @property
    def taken(self) -> int:
        """Of the memory in which tensors stay [bit]."""
        return self.resident + self.weights + self.tiles


def occupancy(cost: NetworkCost, accelerator: Accelerator) -> tuple[Step, ...]:
    """What lies in memory at every step of a network, in the order in which it runs.

    Args:
        cost: of `evaluate`.
        accelerator: on which it was priced.
    """
    keeper = accelerator.keeper
    name = "" if keeper is None else keeper.name
    count = len(cost.order)
    resident, outside, tiles = [0] * count, [0] * count, [0] * count
    for tensor in cost.tensors:
        column = resident if tensor.memory == name else outside
        for step in range(tensor.birth, tensor.death + 1):
            column[step] += tensor.bits
    copies = 1 if keeper is None else keeper.copies
    pinned = () if cost.load is None else cost.load.layers
    weights = [0 if cost.load is None else math.ceil(cost.load.bits)] * count
    for item, step, (first, last) in zip(cost.layers, *_steps(cost), strict=True):
        tiles[step] += copies * sum(
            bits
            for (memory, operand), bits in item.tile_bits.items()
            if memory == name and operand not in item.resident
        )
        bits = item.layer.bits
        if "W" in item.resident and item.name not in pinned and item.layer.weights and bits is not None:
            for other in range(first, last + 1):
                weights[other] += item.layer.elements("W") * bits.w
    return tuple(
        Step(node=node, resident=resident[n], weights=weights[n], tiles=tiles[n], outside=outside[n])
        for n, node in enumerate(cost.order)
    )


def _steps(cost: NetworkCost) -> tuple[list[int], list[tuple[int, int]]]:
    """Of every layer its step, and the first and last step of the fused group that it is in."""
    at, found = -1, []
    for item in cost.layers:
        at = cost.order.index(item.name, at + 1)
        found.append(at)
    spans = [(step, step) for step in found]
    names, start = [item.name for item in cost.layers], 0
    for group in cost.fused:
        first = names.index(group.layers[0], start)
        start = first + len(group.layers)
        spans[first:start] = [(found[first], found[start - 1])] * len(group.layers)
    return found, spans
