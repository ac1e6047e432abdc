"""Where the tensors of a network lie on a chip, and which of its layers run in stripes, as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import safe_name, times
from hwmodel.show.fused import fused_lines
from hwmodel.show.occupancy import occupancy
from reports import units

if TYPE_CHECKING:
    from hwmodel import LayerCost
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.price.results import NetworkCost

#: Names that are written out; the others are counted.
NAMED = 3


def placement_lines(cost: NetworkCost, accelerator: Accelerator) -> list[tuple[str, str]]:
    """Where the tensors lie, and the groups of layers in stripes; nothing on chips where no tensor may stay.

    Args:
        cost: of `evaluate`.
        accelerator: on which it was priced.
    """
    keeper = accelerator.resident("I")
    if keeper is None or not cost.tensors:
        return []
    outside = [tensor.name for tensor in cost.tensors if tensor.memory != keeper.name]
    stay = len(cost.tensors) - len(outside)
    size = "" if keeper.size_bits is None else f" of {units.data_size(keeper.size_bits)}"
    peak = max((step.resident + step.weights for step in occupancy(cost, accelerator)), default=0)
    parts = [
        f"activations: {stay} of {times(len(cost.tensors), 'tensor')} stay in {keeper.name}"
        f" (peak {units.data_size(peak)}{size})"
    ]
    if outside:
        parts.append(f"outside: {listed(outside)}")
    return [("", "; ".join(parts)), *(("", line) for line in group_lines(cost))]


def group_lines(cost: NetworkCost) -> list[str]:
    """The groups of layers that run depth first, the longest ones."""
    pairs = list(zip(cost.fused, fused_lines(cost), strict=True))
    shown = sorted(pairs, key=lambda pair: -len(pair[0].layers))[:NAMED]
    rest = sum(len(group.layers) for group, _ in pairs) - sum(len(group.layers) for group, _ in shown)
    more = [f"depth first: {times(rest, 'layer')} in {len(pairs) - NAMED} other groups"] if rest else []
    return [*(line for pair in pairs if pair in shown for line in pair[1:]), *more]


def resident_line(cost: LayerCost, accelerator: Accelerator) -> str:
    """Where the operands of a layer lie; "" on chips where none may stay."""
    keeper = accelerator.keeper
    if keeper is None:
        return ""
    words = {"W": "weights" if cost.layer.weights else "second inputs", "I": "inputs", "O": "outputs"}
    inside = [words[operand] for operand in cost.resident]
    outer = [word for operand, word in words.items() if operand not in cost.resident]
    outside = accelerator.outermost.name
    places = [f"{_and(inside)} in {keeper.name}" if inside else "", f"{_and(outer)} in {outside}" if outer else ""]
    return ", ".join(filter(None, places))


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are beyond them."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(safe_name, names[:NAMED])) + more


def placement_data(cost: NetworkCost) -> dict[str, Any]:
    """Both as JSON; sizes in bits."""
    return {
        "tensors": [asdict(tensor) for tensor in cost.tensors],
        "fused": [asdict(group) for group in cost.fused],
    }
