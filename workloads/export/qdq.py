"""Marks as QuantizeLinear and DequantizeLinear: integers that ONNX itself knows.

A weight is stored as its codes and dequantized. An input is quantized, clipped where its codes fill their
type only in part (Clip between the two, as Brevitas writes it: QCDQ; of 9 to 15 bits before), and dequantized.

What the two ops lack is put around them: a value of code 0 that is no multiple of the scale is subtracted
before and added behind (lsq+, 1 bit), `floor` is done before, a pruned weight off the grid is multiplied by 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from workloads.compress.grid import Grid, along
from workloads.export.editing import Editor, Writer, scaled_integer, shortest
from workloads.export.marking import InputSite, WeightSite

if TYPE_CHECKING:
    from onnx import TensorProto

#: Widths of the integer types that weights and inputs are stored in [bit].
TYPE_BITS = (4, 8, 16)
#: Of these, the ones whose integers onnxruntime can clip; the others are bounded as floats.
CLIPPED_BITS = (8,)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The integer type of a tensor.

    Attributes:
        bits: of the type [bit].
        signed: it holds negative codes.
    """

    bits: int
    signed: bool

    @property
    def name(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def data_type(self) -> int:
        """Of ONNX."""
        from onnx import TensorProto

        return int(TensorProto.DataType.Value(self.name.upper()))

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and highest number that it holds."""
        return (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)

    def tensor(self, codes: NDArray[np.int32]) -> TensorProto:
        """The codes as a tensor of this type; two codes of 4 bits share a byte, the first below."""
        from onnx import helper

        if self.bits == 4:
            nibbles = (codes.reshape(-1) & 0xF).astype(np.uint8)
            padded = np.pad(nibbles, (0, nibbles.size % 2))
            raw = (padded[::2] | (padded[1::2] << 4)).tobytes()
        else:
            raw = codes.astype(f"<{'i' if self.signed else 'u'}{self.bits // 8}").tobytes()
        return helper.make_tensor("codes", self.data_type, list(codes.shape), raw, raw=True)


def weight_storage(grid: Grid, bits: int) -> Storage:
    """The narrowest type that holds the codes: 4, 8 or 16 bits."""
    return Storage(bits=next(width for width in TYPE_BITS if bits <= width), signed=grid.qmin < 0)


def input_storage(grid: Grid, bits: int) -> Storage:
    """Likewise; fewer than 4 bits take 8, because ONNX cannot clip integers of 4."""
    return weight_storage(grid, bits if bits >= TYPE_BITS[0] else TYPE_BITS[1])


def weight_writer(site: WeightSite) -> Writer:
    """Codes, DequantizeLinear, and where 0 is off the grid the offset and the mask."""
    name, storage = f"{shortest(site.module)}.weight", weight_storage(site.grid, site.bits)

    def write(editor: Editor, _: str, output: str) -> None:
        codes = editor.constant(f"{name}_codes", storage.tensor(site.codes.numpy()))
        steps = [site.grid.offset is not None, site.kept is not None]
        targets = [*(f"{output}_{index}" for index in range(sum(steps))), output]
        value = _dequantize(editor, name, site.grid, storage, codes, targets[0])
        if site.grid.offset is not None:
            value = _add_offset(editor, name, site.grid, site.codes.dim(), value, targets[1])
        if site.kept is not None:
            kept = editor.constant(f"{name}_mask", site.kept.numpy().astype(np.float32))
            editor.add("Mul", [value, kept], output)
        editor.annotate(output, scaled_integer(site.bits))

    return write


def input_writer(site: InputSite, rank: int) -> Writer:
    """QuantizeLinear, Clip where the codes do not fill their type, DequantizeLinear.

    Args:
        site: what stood at the mark.
        rank: dims of the input.
    """
    name, grid, storage = f"{shortest(site.module)}.input", site.grid, input_storage(site.grid, site.bits)

    def write(editor: Editor, value: str, output: str) -> None:
        if grid.offset is not None:
            shift = editor.constant(f"{name}_offset", _spread(grid.offset, grid, rank))
            value = editor.add("Sub", [value, shift], f"{output}_shifted")
        if grid.rounding == "floor":
            value = _floor(editor, name, grid, rank, value, f"{output}_floored")
        partial = (grid.qmin, grid.qmax) != storage.limits
        if partial and storage.bits not in CLIPPED_BITS:
            value = _bounded(editor, name, grid, rank, value, f"{output}_bounded")
        codes = _quantize(editor, name, grid, storage, value, f"{output}_codes")
        if partial and storage.bits in CLIPPED_BITS:
            ends = [editor.constant(f"{name}_{end}", _scalar(storage, code)) for end, code in _ends(grid).items()]
            codes = editor.add("Clip", [codes, *ends], f"{output}_clipped", data_type=storage.data_type)
        levels = output if grid.offset is None else f"{output}_levels"
        result = _dequantize(editor, name, grid, storage, codes, levels)
        if grid.offset is not None:
            _add_offset(editor, name, grid, rank, result, output)
        editor.annotate(output, scaled_integer(site.bits))

    return write


def _ends(grid: Grid) -> dict[str, int]:
    return {"lowest": grid.qmin, "highest": grid.qmax}


def _scalar(storage: Storage, code: int) -> TensorProto:
    return storage.tensor(np.array(code, dtype=np.int32))


def _quantize(editor: Editor, name: str, grid: Grid, storage: Storage, value: str, output: str) -> str:
    inputs = [value, *_params(editor, name, grid, storage)]
    return editor.add("QuantizeLinear", inputs, output, data_type=storage.data_type, **_axis(grid))


def _dequantize(editor: Editor, name: str, grid: Grid, storage: Storage, codes: str, output: str) -> str:
    return editor.add("DequantizeLinear", [codes, *_params(editor, name, grid, storage)], output, **_axis(grid))


def _params(editor: Editor, name: str, grid: Grid, storage: Storage) -> list[str]:
    """Scale and zero point; where the grid has an offset, the zero point of the two ops is 0."""
    zero = np.zeros(grid.scale.shape, np.int32) if grid.zero_point is None else grid.zero_point.cpu().numpy()
    return [
        editor.constant(f"{name}_scale", _numbers(grid.scale)),
        editor.constant(f"{name}_zero_point", storage.tensor(zero.astype(np.int32))),
    ]


def _axis(grid: Grid) -> dict[str, Any]:
    return {} if grid.axis is None or grid.scale.dim() == 0 else {"axis": grid.axis}


def _add_offset(editor: Editor, name: str, grid: Grid, rank: int, value: str, output: str) -> str:
    assert grid.offset is not None
    shift = editor.constant(f"{name}_offset", _spread(grid.offset, grid, rank))
    return editor.add("Add", [value, shift], output)


def _floor(editor: Editor, name: str, grid: Grid, rank: int, value: str, output: str) -> str:
    scale = editor.constant(f"{name}_steps", _spread(grid.scale, grid, rank))
    steps = editor.add("Div", [value, scale], f"{output}_steps")
    whole = editor.add("Floor", [steps], f"{output}_whole")
    return editor.add("Mul", [whole, scale], output)


def _bounded(editor: Editor, name: str, grid: Grid, rank: int, value: str, output: str) -> str:
    """Within the lowest and highest value of the grid, before rounding."""
    zero = 0 if grid.zero_point is None else grid.zero_point
    low, high = (_spread(grid.scale * (code - zero), grid, rank) for code in (grid.qmin, grid.qmax))
    above = editor.add("Max", [value, editor.constant(f"{name}_low", low)], f"{output}_above")
    return editor.add("Min", [above, editor.constant(f"{name}_high", high)], output)


def _spread(vector: Tensor, grid: Grid, rank: int) -> NDArray[np.float32]:
    """Shaped to broadcast against a tensor of that rank."""
    return _numbers(along(vector, grid.axis, rank))


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = tensor.detach().cpu().numpy().astype(np.float32)
    return numbers
