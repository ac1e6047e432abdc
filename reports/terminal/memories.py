"""What a network stores and where it fits, as text and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import OK
from hwmodel.price.footprint import Fit, does_it_fit, overhead_bits, weight_memory
from reports import units
from reports.terminal.tables import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.network.graph import LayerGraph

#: Layers that are named; the others are counted.
NAMED = 3


def weight_table(graph: LayerGraph, width: int = 80) -> Table:
    """Dense weights at each uniform width, with scales and zero points per tensor and per channel."""
    table = new_table("<Width", "Weights", "+ per tensor", "+ per channel", "Share", width=width)
    for row in weight_memory(graph):
        share = row.per_channel_bits / (row.values_bits + row.per_channel_bits) if row.values_bits else 0.0
        table.add_row(
            f"{row.bits} bit",
            *(units.data_size(bits) for bits in (row.values_bits, row.per_tensor_bits, row.per_channel_bits)),
            units.percent(share),
        )
    return table


def fit_lines(cost: NetworkCost, accelerator: Accelerator) -> list[tuple[str, str]]:
    """One line per memory: what it could hold at once, at the widths that the network was priced at."""
    stored = cost.weight_bits + overhead_bits(cost)
    lines = [
        ("", f"weights with scales and zero points per tensor {units.data_size(stored)}"
             f" · peak activations {units.data_size(cost.activation_bits)}")
    ]  # fmt: skip
    for fit in does_it_fit(cost, accelerator):
        if fit.capacity_bits is not None:
            lines.append(_fit_line(fit))
    return lines


def _fit_line(fit: Fit) -> tuple[str, str]:
    parts = []
    if fit.too_large is not None:
        names = ", ".join(fit.too_large[:NAMED])
        more = f" and {len(fit.too_large) - NAMED} more" if len(fit.too_large) > NAMED else ""
        parts.append(f"too small for the weights of {names}{more}" if fit.too_large else "any layer's weights fit")
        parts.append("all weights fit" if fit.all_weights else "all weights do not fit")
    if fit.activations is not None:
        parts.append("peak activations fit" if fit.activations else "peak activations do not fit")
    good = not fit.too_large and fit.all_weights is not False and fit.activations is not False
    return (OK if good else "", f"{fit.name} ({units.data_size(fit.capacity_bits)}): {' · '.join(parts)}")


def memory_data(graph: LayerGraph, cost: NetworkCost, accelerator: Accelerator) -> dict[str, Any]:
    """Both as JSON; units are in the names."""
    return {
        "widths": [asdict(row) for row in weight_memory(graph)],
        "overhead_bits": {kind: overhead_bits(cost, kind) for kind in ("tensor", "channel")},
        "fits": [asdict(fit) for fit in does_it_fit(cost, accelerator)],
    }
