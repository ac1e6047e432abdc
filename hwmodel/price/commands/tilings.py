"""Tilings of a layer for a machine that is driven by commands: tile sizes, and the loops around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, DimName, Layer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def each(function: Callable[..., float], *numbers: NDArray[Any]) -> Floats:
    """A function of whole numbers, of each entry; of equal entries it is asked once."""
    columns = np.stack(np.broadcast_arrays(*numbers), axis=1).astype(np.int64)
    different, where = np.unique(columns, axis=0, return_inverse=True)
    values = np.array([function(*(int(number) for number in row)) for row in different], dtype=np.float64)
    return np.asarray(values[where.reshape(-1)])


@dataclass(frozen=True)
class Tilings:
    """Many tilings of one layer under one order of the loops around them. Arrays: one entry per tiling, (n,).

    Attributes:
        layer: at its bits.
        tile: sizes of a tile; the last one along a dim may be smaller.
        order: loops around the tile, outer to inner.
    """

    layer: Layer
    tile: MappingType[DimName, Ints]
    order: tuple[DimName, ...]

    @cached_property
    def counts(self) -> dict[DimName, Floats]:
        """Tiles along each dim."""
        return {dim: np.ceil(self.layer.dims[dim] / self.tile[dim]) for dim in DIM_NAMES}

    @cached_property
    def mean(self) -> dict[DimName, Floats]:
        """Mean size of a tile along each dim."""
        return {dim: self.layer.dims[dim] / self.counts[dim] for dim in DIM_NAMES}

    @cached_property
    def total(self) -> Floats:
        """Tiles in all."""
        return np.asarray(math.prod(self.counts.values(), start=np.ones(1)))

    @cached_property
    def per_output(self) -> Floats:
        """Tiles that add to the same sums; the last of them stores."""
        return self.counts["C"] * self.counts["FY"] * self.counts["FX"]

    def edges(self, dim: DimName) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
        """(size, how many) of the full tiles along a dim, and of the rest (none: 0 times)."""
        bound, tile = self.layer.dims[dim], self.tile[dim]
        rest = bound % tile
        return (tile, bound // tile), (rest, (rest > 0).astype(np.int64))

    @cached_property
    def is_product(self) -> bool:
        """A matrix product: its rows follow each other, without windows around them."""
        d = self.layer.dims
        return d.OX == d.FX == d.FY == 1 and self.layer.stride[0] == 1

    @cached_property
    def window(self) -> tuple[Floats, Floats]:
        """Rows and columns of I under a tile, the mean without the zeros around the input."""
        if self.is_product:
            return np.ones(1), self.mean["B"] * self.mean["OY"]
        rows = each(lambda out, taps: mean_extent(self.layer, 0, out, taps), self.tile["OY"], self.tile["FY"])
        columns = each(lambda out, taps: mean_extent(self.layer, 1, out, taps), self.tile["OX"], self.tile["FX"])
        return rows, columns


def mean_extent(layer: Layer, axis: int, outputs: int, taps: int) -> float:
    """Rows (axis 0) or columns (axis 1) of I that a tile of so many outputs and taps reads, the mean over all."""
    dims, stride, dilation = layer.dims, layer.stride[axis], layer.dilation[axis]
    num_out, num_taps = (dims.OY, dims.FY) if axis == 0 else (dims.OX, dims.FX)
    before, after = layer.padding[axis]
    size = (num_out - 1) * stride + (num_taps - 1) * dilation + 1 - before - after
    total = tiles = 0
    for first in range(0, num_out, outputs):
        for tap in range(0, num_taps, taps):
            start = first * stride + tap * dilation - before
            wide = (min(outputs, num_out - first) - 1) * stride + (min(taps, num_taps - tap) - 1) * dilation + 1
            total += max(0, min(start + wide, size) - max(start, 0))
            tiles += 1
    return total / tiles


def input_size(layer: Layer, axis: int) -> int:
    """Rows or columns of I that lie in memory, without the zeros around it."""
    dims = layer.dims
    num_out, num_taps = (dims.OY, dims.FY) if axis == 0 else (dims.OX, dims.FX)
    return (num_out - 1) * layer.stride[axis] + (num_taps - 1) * layer.dilation[axis] + 1 - sum(layer.padding[axis])


def tiling_of(task: Task, mapping: Mapping) -> Tilings:
    """The tiling of a mapping: all loops below the outermost level are a tile, those of it run around."""
    layer, last = task.layer, len(mapping.levels) - 1
    inside = mapping.bounds(last - 1)
    for loop in mapping.levels[last].spatial:
        inside[loop.dim] *= loop.bound
    tile = {dim: np.array([min(inside[dim], layer.dims[dim])], dtype=np.int64) for dim in DIM_NAMES}
    around = [loop.dim for loop in mapping.levels[last].temporal if loop.bound > 1]
    order = [dim for n, dim in enumerate(around) if dim not in around[:n]]
    return Tilings(layer, tile, (*(dim for dim in DIM_NAMES if dim not in order), *order))
