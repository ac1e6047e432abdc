"""Sets of PEs on a row-stationary array: R filter rows by e output rows, folded and replicated.

A set of all E output rows is mapped whole where it is no wider than the array, and may be where the array has PEs
for all of it, folded onto the rows that are left. A wider one is cut into even strips, as few as are no wider than
the array, or than half of it where the filters are so tall that sets can only stand side by side. What is left of
the array takes further sets, for other channels, filters or (depthwise) groups.

Source: Chen et al., ISCA 2016, section V; Chen et al., JSSC 52(1), 2017, section IV, whose sets are 11 x 7 (two
side by side), 5 x 27 (folded in two) and 3 x 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from hwmodel.chip.accelerator import Axis
from hwmodel.nest.mapping import Loop
from hwmodel.network.layer import DIM_NAMES, DimName, Dims
from hwmodel.network.numbers import divisors


@dataclass(frozen=True)
class Sets:
    """One arrangement of sets.

    Attributes:
        loops: on the axes of the array.
        factors: their product per dim; 1 where absent.
        steps: of every PE, padding included.
    """

    loops: tuple[Loop, ...]
    factors: dict[DimName, int]
    steps: int

    @property
    def num_pes(self) -> int:
        return math.prod(self.factors.values())


def parts(number: int) -> list[int]:
    """Sizes of the parts into which a number is cut, the last one padded: the smallest for every count of parts."""
    sizes, count = [1], number
    while count > 1:
        sizes.append(-(-number // (count - 1)))
        count = -(-number // sizes[-1])
    return sizes


@lru_cache(maxsize=1024)
def arrangements(dims: Dims, axes: tuple[Axis, ...], diagonal: bool = True) -> tuple[Sets, ...]:
    """Arrangements that the rules allow, by rising steps.

    With `diagonal` the split of a factor over the axes makes no difference, and one stands for all.
    """
    partial: list[tuple[tuple[Loop, ...], dict[DimName, int]]] = [((), {})]
    for axis in axes:
        grown: dict[tuple[object, ...], tuple[tuple[Loop, ...], dict[DimName, int]]] = {}
        for loops, used in partial:
            for choice in _factors(dims, axis, used):
                total = {**used, **{dim: used.get(dim, 1) * bound for dim, bound in choice.items()}}
                new = tuple(Loop(dim, bound, axis.name) for dim, bound in choice.items())
                key = tuple(sorted(total.items())) if diagonal else loops + new
                grown.setdefault(key, (loops + new, total))
        partial = list(grown.values())
    found = [
        Sets(loops, factors, math.prod(math.ceil(dims[d] / factors.get(d, 1)) for d in DIM_NAMES))
        for loops, factors in partial
    ]
    rows = _heights(dims, axes, {sets.factors.get("OY", 1) for sets in found})
    return tuple(sorted((s for s in found if s.factors.get("OY", 1) in rows), key=lambda s: s.steps))


def _heights(dims: Dims, axes: tuple[Axis, ...], found: set[int]) -> set[int]:
    """Output rows of a set, of those that the array has PEs for: all of them, or a strip."""
    rows = math.prod(axis.size for axis in axes if "FY" in axis.dims)
    columns = math.prod(axis.size for axis in axes if "OY" in axis.dims and "FY" not in axis.dims)
    heights = {min((e for e in found if e >= dims.OY), default=0)}
    if columns < dims.OY:
        widths = (columns,) if rows >= 2 * dims.FY else (columns, max(1, columns // 2))
        heights |= {math.ceil(dims.OY / math.ceil(dims.OY / width)) for width in widths}
    return heights & found or found


def _factors(dims: Dims, axis: Axis, used: dict[DimName, int]) -> list[dict[DimName, int]]:
    """Factors above 1 on one axis; filter rows are spread as far as they go, and never padded."""
    partial: list[tuple[int, dict[DimName, int]]] = [(1, {})]
    for dim in axis.dims:
        left = math.ceil(dims[dim] / used.get(dim, 1))
        if dim == "FY":
            options = [max(d for d in divisors(left) if d <= axis.size)]
        else:
            options = [1] if dim == "G" and dims.K * dims.C > 1 else parts(left)
        partial = [
            (size * bound, {**chosen, dim: bound} if bound > 1 else chosen)
            for size, chosen in partial
            for bound in options
            if size * bound <= axis.size
        ]
    return [chosen for _, chosen in partial]
