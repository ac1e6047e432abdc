"""A grid and codes on it as bytes, and back: what compressed state files and packed models share.

Codes lie bits next to bits, counted from `qmin` (`workloads.storage.packing`). A grid is its tensors, under the
names of their fields, beside three plain values; how it rounded is not among them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.compress.grid import Grid, RangeGrid, TanhGrid
from workloads.storage.packing import pack, unpack

#: Fields of a grid that are tensors.
GRID_PARTS = ("scale", "zero_point", "offset", "span", "peak")


def pack_codes(codes: Tensor, bits: int, qmin: int = 0) -> Tensor:
    """Codes of qmin .. qmin + 2^bits - 1, any shape, as uint8."""
    return torch.from_numpy(pack((codes - qmin).cpu().numpy(), bits))


def unpack_codes(packed: Tensor, shape: Sequence[int], bits: int, qmin: int = 0) -> Tensor:
    """Inverse of `pack_codes`: int32, of that shape.

    Raises:
        ConfigError: not the number of bytes that they take.
    """
    codes = unpack(packed.numpy(), bits, math.prod(shape)).astype(np.int32) + qmin
    return torch.from_numpy(codes).reshape(tuple(shape))


def pack_flags(flags: Tensor) -> Tensor:
    """Booleans of any shape, eight in a byte of uint8."""
    return torch.from_numpy(pack(flags.cpu().numpy(), 1))


def unpack_flags(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """Inverse of `pack_flags`: bool, of that shape.

    Raises:
        ConfigError: not the number of bytes that they take.
    """
    return unpack_codes(packed, shape, 1).bool()


def grid_values(grid: Grid) -> dict[str, Any]:
    """`qmin`, `qmax` and `axis`."""
    return {"qmin": grid.qmin, "qmax": grid.qmax, "axis": grid.axis}


def grid_parts(grid: Grid) -> dict[str, Tensor]:
    """Name -> tensor of a grid, on the CPU and its own, in the order of `GRID_PARTS`."""
    parts = {name: value for name in GRID_PARTS if (value := getattr(grid, name, None)) is not None}
    return {name: value.detach().cpu().contiguous().clone() for name, value in parts.items()}


def read_grid(values: Mapping[str, Any], parts: Mapping[str, Tensor]) -> Grid:
    """The grid of `grid_values` and `grid_parts`, or of those parts that its values need.

    Args:
        values: `qmin`, `qmax`, `axis`; others are not looked at.
        parts: `scale` may be left out beside `span`.

    Raises:
        ConfigError: no distance of its values, or nothing that says where they start.
    """
    given: dict[str, Any] = {name: parts[name] for name in GRID_PARTS if name in parts}
    if "span" in given:
        given.setdefault("scale", given["span"] / values["qmax"])
    if "scale" not in given or not {"zero_point", "offset"} & given.keys():
        found = ", ".join(given) or "neither"
        raise ConfigError(f"its grid needs a scale, and a zero point or an offset, but has {found}")
    kind = RangeGrid if "span" in given else TanhGrid if "peak" in given else Grid
    return kind(qmin=values["qmin"], qmax=values["qmax"], axis=values["axis"], **given)
