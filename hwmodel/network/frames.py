"""A row per layer: the columns that every table of layers shares, and the frame of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.network.choice import FLOAT
from hwmodel.network.layer import DIM_NAMES, Layer
from hwmodel.network.names import out_shape
from hwmodel.network.stored import stored_elements

if TYPE_CHECKING:
    import pandas as pd


def layer_row(layer: Layer) -> dict[str, Any]:
    """What every table says of a layer; widths [bit], 32 is float.

    `weights` are those that the layer reads: add them up over `first_reads` alone.
    """
    bits = layer.bits or FLOAT
    return {
        "layer": layer.name,
        "module": layer.module,
        "kind": layer.kind,
        "out_shape": out_shape(layer).replace("×", "x"),
        "w_bits": bits.w,
        "a_bits": bits.i,
        "density": layer.density.w,
        "weights": layer.weights,
        "macs": layer.macs,
    }


def layer_frame(layers: Sequence[Layer]) -> pd.DataFrame:
    """One row per layer: its names, kind, dims, widths, density, and what it stores and computes.

    `w_bits` and `a_bits` [bit]: float is 32. `params` are weights and biases; a weight that several layers
    read is in `weights` of each of them, in `params` of the first. `macs_share` is a fraction.
    """
    import pandas as pd

    total = sum(layer.macs for layer in layers)
    columns = ["layer", "module", "kind", *DIM_NAMES, "out_shape", "w_bits", "a_bits",
               "density", "weights", "params", "macs", "macs_share"]  # fmt: skip
    rows = [
        {**layer_row(layer), **layer.dims, "params": sum(stored), "macs_share": layer.macs / total}
        for layer, stored in zip(layers, stored_elements(layers), strict=True)
    ]
    return pd.DataFrame(rows, columns=columns)
