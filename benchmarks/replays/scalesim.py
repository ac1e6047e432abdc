"""Replays `scalesim` files: compute cycles of layers on systolic arrays.

Format: {"layers": {name: {ifmap_h, ifmap_w (padding included), filter_h, filter_w, channels, filters, stride}},
"rows": [{dataflow, rows, cols, layer, cycles}, ...]}. Widths are not stated, and cycles without stalls know none.
"""

from __future__ import annotations

from typing import Any

from benchmarks.replays.case import Case
from hwmodel import Dims, Layer
from hwmodel.chip.timing.systolic import compute_cycles
from hwmodel.errors import LayerError


def layer_of(name: str, shape: dict[str, int]) -> Layer:
    """The convolution that a SCALE-Sim topology row describes.

    Where the stride does not divide what the filter leaves of the image, SCALE-Sim counts one window more, partly
    outside: OY = ceil((IY - FY + stride) / stride) (its `topology_utils.py`, `topo_calc_hyperparams`).
    """
    stride = shape["stride"]
    if stride < 1:
        raise LayerError(f"layer {name!r}: `stride >= 1` must hold, but got {stride}")
    dims = Dims(
        K=shape["filters"],
        C=shape["channels"],
        FY=shape["filter_h"],
        FX=shape["filter_w"],
        OY=-(-(shape["ifmap_h"] - shape["filter_h"]) // stride) + 1,
        OX=-(-(shape["ifmap_w"] - shape["filter_w"]) // stride) + 1,
    )
    return Layer(name=name, dims=dims, stride=(stride, stride))


def replay(data: Any) -> list[Case]:
    """One case per row: cycles without memory stalls."""
    cases = []
    for row in data["rows"]:
        layer = layer_of(row["layer"], data["layers"][row["layer"]])
        cycles = compute_cycles(layer, row["rows"], row["cols"], row["dataflow"])
        name = f"{row['dataflow']} {row['rows']}x{row['cols']} {row['layer']}"
        cases.append(Case(name=name, reference=row["cycles"], prediction=cycles))
    return cases
