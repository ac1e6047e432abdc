"""A layer run in stripes of rows: which stripes there are, and what of its input each needs.

Stripes have `rows` output rows each, the last one what remains. One of r rows needs

    (r - 1) * stride + (FY - 1) * dilation + 1

rows of the input, of which the first and the last stripes have the layer's own padding, and the others none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hwmodel.network.layer import Layer


def window(layer: Layer, rows: int) -> int:
    """Rows of the input, padding included, that so many output rows need."""
    return (rows - 1) * layer.stride[0] + (layer.dims.FY - 1) * layer.dilation[0] + 1


def stripes(layer: Layer, rows: int) -> tuple[tuple[Layer, int], ...]:
    """The layer of every kind of stripe, and how many there are of it; the tallest first.

    Args:
        layer: run whole.
        rows: output rows of a stripe, at least 1.
    """
    total, (top, bottom) = layer.dims.OY, layer.padding[0]
    stored_end = window(layer, total) - bottom
    found: Counter[tuple[int, int, int]] = Counter()
    for first in range(0, total, rows):
        height = min(rows, total - first)
        start, length = first * layer.stride[0], window(layer, height)
        above = min(max(top - start, 0), length)
        below = min(max(start + length - stored_end, 0), length - above)
        found[height, above, below] += 1
    return tuple(
        (replace(layer, dims=replace(layer.dims, OY=height), padding=((above, below), layer.padding[1])), count)
        for (height, above, below), count in sorted(found.items(), key=lambda item: -item[0][0])
    )
