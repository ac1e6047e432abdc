"""The matrix multiplications of a transformer, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodel.network.attention import attention_summary
from reports import units

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph

_NAMES = {
    "projection": "projections",
    "scores": "Q·Kᵀ",
    "mix": "P·V",
    "other matmul": "other products of activations",
    "linear": "other linear",
    "conv": "convolutions",
}


def attention_lines(graph: LayerGraph) -> list[tuple[str, str]]:
    """One line: matrix multiplications per run, and where they happen; none for a network without attention."""
    summary = attention_summary(graph)
    if not summary.attentions:
        return []
    parts = [f"{item.products:,} {_NAMES[item.role]} ({units.count(item.macs)})" for item in summary.counts]
    blocks = f"{len(summary.attentions)} attention{'s' if len(summary.attentions) > 1 else ''}"
    return [("", f"{summary.products:,} matrix multiplications in {blocks} and around: {', '.join(parts)} MACs")]


def attention_data(graph: LayerGraph) -> dict[str, Any]:
    """`matmuls`: role -> layers, products and MACs; empty for a network without attention."""
    summary = attention_summary(graph)
    if not summary.attentions:
        return {}
    return {
        "matmuls": {
            item.role: {"layers": item.layers, "products": item.products, "macs": item.macs}
            for item in summary.counts
        }
    }
