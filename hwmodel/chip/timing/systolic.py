"""Compute cycles of a systolic array, in closed form.

A layer is a product of M output pixels x K reduction by K reduction x N filters. The array (R rows, C columns)
holds one operand in place and streams the other two past it; each fold (one placement of the held operand)
fills the array, streams, and drains:

    OS (outputs stay)   ceil(M/R) * ceil(N/C) folds of K + R + C - 2 cycles
    WS (weights stay)   ceil(K/R) * ceil(N/C) folds of M + 2R + C - 2 cycles
    IS (inputs stay)    ceil(K/R) * ceil(M/C) folds of N + 2R + C - 2 cycles

less the one cycle by which counting starts at 0. WS and IS load the held operand row by row, hence the
second R. Source: Samajdar et al., "A systematic methodology for characterizing scalability of DNN
accelerators using SCALE-Sim", ISPASS 2020, equations 1 to 4; SCALE-Sim 3.0.0 counts the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hwmodel.chip.timing.base import Timing
from hwmodel.errors import LayerError, check_one_of
from hwmodel.network.layer import Layer

Dataflow = Literal["ws", "os", "is"]


@dataclass(frozen=True, kw_only=True)
class Systolic(Timing):
    """Timing of a systolic array.

    Attributes:
        rows: along the reduction (WS, IS) or the output pixels (OS).
        columns: along the filters (WS, OS) or the output pixels (IS).
        dataflow: the operand that stays: `ws` weights, `os` outputs, `is` inputs.
    """

    rows: int
    columns: int
    dataflow: Dataflow

    @property
    def title(self) -> str:
        return f"systolic, {self.dataflow.upper()}"

    def steps(self, layer: Layer) -> int:
        """As `compute_cycles`."""
        return compute_cycles(layer, self.rows, self.columns, self.dataflow)


def compute_cycles(layer: Layer, rows: int, columns: int, dataflow: Dataflow) -> int:
    """Cycles of a layer on a systolic array that never waits for memory.

    Args:
        layer: M = B * OY * OX output pixels, N = K filters and C * FY * FX products per output; its G groups
            run one after the other.
        rows, columns: PEs, >= 1.
        dataflow: the operand that stays: `ws`, `os` or `is`.

    Returns:
        Cycles, first fill and last drain included [cycle].

    Raises:
        LayerError: rows or columns below 1, or an unknown dataflow.

    Source: Samajdar et al., SCALE-Sim, ISPASS 2020, equations 1 to 4.
    """
    if not all(isinstance(size, int) and size >= 1 for size in (rows, columns)):
        raise LayerError(
            f"systolic array: `rows, columns >= 1` must hold (integers), but got {rows!r} x {columns!r}"
        )
    check_one_of("dataflow", dataflow, get_args(Dataflow), LayerError)
    d = layer.dims
    pixels, filters, products = d.B * d.OY * d.OX, d.K, layer.reduction
    if dataflow == "os":
        folds = -(-pixels // rows) * -(-filters // columns)
        per_fold = products + rows + columns - 2
    elif dataflow == "ws":
        folds = -(-products // rows) * -(-filters // columns)
        per_fold = pixels + 2 * rows + columns - 2
    else:
        folds = -(-products // rows) * -(-pixels // columns)
        per_fold = filters + 2 * rows + columns - 2
    return d.G * folds * per_fold - 1
