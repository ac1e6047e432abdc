"""Shares of the words of I that the outermost memory holds: zeros around it are nowhere."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hwmodel.mapper.counting import Floats, Ints
from hwmodel.nest.task import Task
from hwmodel.network.layer import DimName, Dims
from hwmodel.network.numbers import divisors
from hwmodel.network.padding import Rows


class PaddedRows(NamedTuple):
    """Rows and columns of a layer of given (padded) dims; None where nothing around the input counts."""

    rows: Rows | None
    columns: Rows | None


def padded_rows(task: Task, dims: Dims) -> PaddedRows:
    """Those of a task whose layer has given (padded) dims."""
    layer, found = task.layer, []
    names: tuple[tuple[DimName, DimName], ...] = (("OY", "FY"), ("OX", "FX"))
    for axis, (out, tap) in enumerate(names):
        pace = layer.stride[axis], layer.dilation[axis]
        before, after = layer.padding[axis]
        after += pace[0] * (dims[out] - layer.dims[out]) + pace[1] * (dims[tap] - layer.dims[tap])
        counts = bool(before + after) and task.skips_padding
        found.append(Rows(dims[out], dims[tap], *pace, before, after) if counts else None)
    return PaddedRows(*found)


def held_shares(padded: PaddedRows, tiles: Ints) -> Floats:
    """Shares of the words of I of tiles (T, 8) that the outermost memory holds.

    (T, 5): where nothing slides, and where the loop over OY, OX, FY or FX does, so that neighbours that touch
    are one tile.
    """
    shares = np.ones((len(tiles), 5))
    for axis, rows in enumerate(padded):
        if rows is None:
            continue
        outputs = np.searchsorted(divisors(rows.outputs), tiles[:, 4 + axis])
        found = _held_shares(rows)[outputs, np.searchsorted(divisors(rows.taps), tiles[:, 6 + axis])]
        columns = [0, 1 + axis, 3 + axis]
        still = [column for column in range(5) if column not in columns]
        shares[:, columns] *= found
        shares[:, still] *= found[:, :1]
    return shares


@lru_cache(maxsize=1024)
def _held_shares(rows: Rows) -> Floats:
    """Stored share of the rows of all tiles: as they are, and with those along the outputs or the filter as one.

    By the places of their outputs and filter rows among the divisors of the bounds, (n, m, 3).
    """
    bare = replace(rows, before=0, after=0)
    outputs, taps = divisors(rows.outputs), divisors(rows.taps)
    shares = np.empty((len(outputs), len(taps), 3))
    for (n, tile), (m, tap) in itertools.product(enumerate(outputs), enumerate(taps)):
        length = (tile - 1) * rows.stride + (tap - 1) * rows.dilation + 1
        along = rows.outputs if tile * rows.stride <= length else tile
        across = rows.taps if tap * rows.dilation <= length else tap
        for k, (t, u) in enumerate(((tile, tap), (along, tap), (tile, across))):
            shares[n, m, k] = rows.covered(t, u) / bare.covered(t, u)
    return shares
