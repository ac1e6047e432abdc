"""Marks as the quantizers of QONNX: any width from 1 to 16 bits on floats that lie on the grid.

`Quant(x, scale, zero point, bit width)` = scale * (round(clamp(x/scale + zero, low, high)) - zero), with low and
high from the width and the attributes `signed` and `narrow`. `BipolarQuant(x, scale)` = scale where x >= 0, else
-scale. A value of code 0 that is no multiple of the scale is a fractional zero point.

Source: Pappalardo et al., QONNX, AccML 2022; the operator definitions of the qonnx package, version 1.0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.compress.grid import Grid, along
from workloads.export.editing import Editor, Writer, scaled_integer, shortest
from workloads.export.marking import InputSite, WeightSite

QONNX_DOMAIN = "qonnx.custom_op.general"
_ROUNDING = {"nearest": "ROUND", "floor": "FLOOR"}


def weight_writer(site: WeightSite) -> Writer:
    """The weight on its grid, then its quantizer; where 0 is off the grid, the mask behind it."""
    name, rank = f"{shortest(site.module)}.weight", site.codes.dim()

    def write(editor: Editor, _: str, output: str) -> None:
        stored = editor.constant(name + "_on_grid", site.grid.values(site.codes).float().numpy())
        # what is stored lies on the grid already, off by rounding errors: the nearest code is its own
        quantized = output if site.kept is None else f"{output}_all"
        _quantize(editor, name, site.grid, site.bits, rank, stored, quantized, rounding="ROUND")
        if site.kept is not None:
            kept = editor.constant(f"{name}_mask", site.kept.numpy().astype(np.float32))
            editor.add("Mul", [quantized, kept], output)
            editor.annotate(output, scaled_integer(site.bits))

    return write


def input_writer(site: InputSite, rank: int) -> Writer:
    """A quantizer.

    Args:
        site: what stood at the mark.
        rank: dims of the input.
    """
    name = f"{shortest(site.module)}.input"

    def write(editor: Editor, value: str, output: str) -> None:
        rounding = _ROUNDING[site.grid.rounding]
        _quantize(editor, name, site.grid, site.bits, rank, value, output, rounding=rounding)

    return write


def _quantize(
    editor: Editor, name: str, grid: Grid, bits: int, rank: int, value: str, output: str, *, rounding: str
) -> None:
    scale = _numbers(grid.scale, grid, rank)
    if is_bipolar(grid) and rounding == "ROUND":
        half = editor.constant(f"{name}_scale", np.asarray(scale / 2))
        editor.add("BipolarQuant", [value, half], output, domain=QONNX_DOMAIN)
        return
    signed, narrow = signed_and_narrow(grid, bits)
    inputs = [
        editor.constant(f"{name}_scale", scale),
        editor.constant(f"{name}_zero_point", _zero_point(grid, rank)),
        editor.constant(f"{name}_bits", np.array(bits, dtype=np.float32)),
    ]
    editor.add("Quant", [value, *inputs], output, domain=QONNX_DOMAIN, signed=int(signed), narrow=int(narrow),
               rounding_mode=rounding)  # fmt: skip


def is_bipolar(grid: Grid) -> bool:
    """Two values, one the negative of the other."""
    if grid.qmax - grid.qmin != 1 or grid.offset is None:
        return False
    middle = grid.offset + grid.scale * (grid.qmin + grid.qmax) / 2
    return bool((middle.abs() <= 1e-6 * grid.scale).all())


def signed_and_narrow(grid: Grid, bits: int) -> tuple[bool, bool]:
    """The attributes that give these codes.

    Raises:
        ConfigError: no pair of attributes does.
    """
    for signed, narrow, low, high in (
        (True, False, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        (True, True, 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1),
        (False, False, 0, 2**bits - 1),
        (False, True, 0, 2**bits - 2),
    ):
        if (grid.qmin, grid.qmax) == (low, high) and low < high:
            return signed, narrow
    raise ConfigError(f"QONNX has no {bits}-bit quantizer with the codes {grid.qmin}..{grid.qmax}")


def _zero_point(grid: Grid, rank: int) -> NDArray[np.float32]:
    if grid.zero_point is not None:
        return _numbers(grid.zero_point, grid, rank)
    assert grid.offset is not None
    return _numbers(-grid.offset.double() / grid.scale.double(), grid, rank)


def _numbers(vector: Tensor, grid: Grid, rank: int) -> NDArray[np.float32]:
    """Shaped to broadcast against a tensor of that rank."""
    numbers: NDArray[np.float32] = along(vector, grid.axis, rank).detach().cpu().numpy().astype(np.float32)
    return numbers
