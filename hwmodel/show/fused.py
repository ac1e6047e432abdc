"""Which layers of a priced network run depth first, one line per group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.network.names import safe_name, times

if TYPE_CHECKING:
    from hwmodel.price.results import FusedGroup, NetworkCost


def fused_lines(cost: NetworkCost) -> list[str]:
    """A line per group of layers that run in stripes."""
    return [_line(group) for group in cost.fused]


def _line(group: FusedGroup) -> str:
    first, last = safe_name(group.layers[0]), safe_name(group.layers[-1])
    size = -(-sum(group.line_bits) // 8)
    weights = "weights on chip" if group.weights_on_chip else "weights read for every stripe"
    return (
        f"depth first: {first} to {last} ({times(len(group.layers), 'layer')}) in {group.stripes} stripes of "
        f"{times(group.rows[-1], 'row')}, line buffers {size:,} B, {weights}"
    )
