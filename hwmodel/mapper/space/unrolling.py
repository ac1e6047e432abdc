"""What the axes of an array may unroll, and bounds that are padded to fill them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from hwmodel.chip.accelerator import Axis
from hwmodel.mapper.counting import Ints
from hwmodel.nest.mapping import Loop
from hwmodel.network.layer import DIM_NAMES, DimName, Dims
from hwmodel.network.numbers import divisors, round_up


def padded_bounds(bound: int, size: int) -> list[int]:
    """Bounds to which a dim may be padded on an axis: each that no other beats in passes and padding.

    A shorter part of the axis may pad less in more passes, and a longer axis offers that as a shorter one does.
    """
    found: list[int] = []
    for used in range(min(size, bound), 1, -1):
        passes = math.ceil(bound / used)
        padded = passes * math.ceil(bound / passes)
        if padded == bound:
            break
        if not found or padded < found[-1]:
            found.append(padded)
    return found


@lru_cache(maxsize=256)
def padded_variants(dims: Dims, axes: tuple[Axis, ...]) -> list[tuple[Dims, dict[DimName, int]]]:
    """The dims, and variants in which one dim per axis is padded to fill the axis better.

    With each come the dims that were padded and their original bounds.
    """
    options: list[list[tuple[DimName, int] | None]] = []
    for axis in axes:
        found: list[tuple[DimName, int] | None] = [None]
        for dim in axis.dims:
            found += [(dim, bound) for bound in padded_bounds(dims[dim], axis.size)]
        options.append(found)
    variants: dict[Dims, dict[DimName, int]] = {}
    for combination in itertools.product(*options):
        chosen = {dim: bound for item in combination if item for dim, bound in [item]}
        variants[replace(dims, **chosen)] = {dim: dims[dim] for dim in chosen}
    return list(variants.items())


@lru_cache(maxsize=256)
def unrollings(
    axes: tuple[Axis, ...], dims: Dims, original: tuple[tuple[DimName, int], ...], diagonal: bool
) -> tuple[Ints, Ints]:
    """Factors per dim across the PEs (S, 8), and on each axis (S, axes, 8).

    original: dims that were padded, with their bounds before. With `diagonal` the split over axes makes no
    difference, and one stands for all.
    """
    total, parts = np.ones((1, 8), dtype=np.int64), np.zeros((1, 0, 8), dtype=np.int64)
    bounds = np.array(dims.values_tuple, dtype=np.int64)
    for axis in axes:
        part = _axis_factors(axis, dims)
        joined = (total[:, None, :] * part[None, :, :]).reshape(-1, 8)
        fits = (bounds % joined == 0).all(axis=1)
        number = np.arange(len(joined))[fits]
        joined = joined[fits]
        if diagonal:
            _, first = np.unique(joined @ _weights(bounds), return_index=True)
            joined, number = joined[first], number[first]
        before, new = parts[number // len(part)], part[number % len(part)]
        total, parts = joined, np.concatenate((before, new[:, None, :]), axis=1)
    for dim, bound in original:
        factor = total[:, DIM_NAMES.index(dim)]
        good = round_up(bound, factor) == dims[dim]
        total, parts = total[good], parts[good]
    return np.ascontiguousarray(total), np.ascontiguousarray(parts)


def _weights(bounds: Ints) -> Ints:
    """Place values that make the factors of the bounds one number."""
    return np.concatenate(([1], np.cumprod(bounds + 1)[:-1]))


def _axis_factors(axis: Axis, dims: Dims) -> Ints:
    """Factors of the dims of one axis whose product fits it. (n, 8)"""
    found = np.ones((1, 8), dtype=np.int64)
    for dim in dict.fromkeys(axis.dims):
        choices = [d for d in divisors(dims[dim]) if d <= axis.size]
        grown = np.repeat(found, len(choices), axis=0)
        grown[:, DIM_NAMES.index(dim)] = np.tile(choices, len(found))
        found = grown[grown.prod(axis=1) <= axis.size]
    for dim in axis.full:
        index = DIM_NAMES.index(dim)
        found = found[found[:, index] == dims[dim]]
    return found


def axis_loops(axes: tuple[Axis, ...], parts: Ints) -> tuple[Loop, ...]:
    """Loops across the PEs of one unrolling (axes, 8), the first axis outermost."""
    return tuple(
        Loop(dim, int(bound), axis.name)
        for axis, part in zip(axes, parts, strict=True)
        for dim, bound in zip(DIM_NAMES, part, strict=True)
        if bound > 1
    )
