"""One tensor as small integers and what turns them back: the forms of a compressed state file.

`rows`     uint8 codes between the extremes of every row (`quantize_array`), with the places of the
           zeros where there are many, so that a pruned weight stays exactly zero.
`grid`     the codes of a quantized weight on its own grid. Exact.
`mask`     booleans, eight in a byte. Exact.
`plain`    as it is, where no form is smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.compress.arrays import ArrayParams, dequantize_array, quantize_array
from workloads.compress.grid import Grid
from workloads.storage.gridcodec import (
    GRID_PARTS,
    grid_parts,
    grid_values,
    pack_codes,
    pack_flags,
    read_grid,
    unpack_codes,
    unpack_flags,
)

#: From this share of exact zeros on their places are stored.
MANY_ZEROS = 0.01
#: Every key of `Coded.parts`; the first is the tensor itself.
PARTS = ("", "codes", "low", "kept", "mask", *GRID_PARTS)
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32,
                                                                  torch.float64, torch.bool)}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Coded:
    """A tensor in one of the forms.

    Attributes:
        form: `rows`, `grid`, `mask` or `plain`.
        bits: of a code [bit]; of an element for `plain`.
        shape: of the tensor.
        dtype: of the tensor, such as `float32`.
        parts: suffix -> what is stored.
        codes: >= 0, of every element that has one, for statistics; None without codes.
        grid: plain values of a `grid`.
    """

    form: str
    bits: int
    shape: tuple[int, ...]
    dtype: str
    parts: Mapping[str, Tensor]
    codes: NDArray[Any] | None = None
    grid: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Of the stored parts, without their names."""
        return sum(part.numel() * part.element_size() for part in self.parts.values())

    @property
    def note(self) -> dict[str, Any]:
        """What `decode` needs besides the parts; plain values."""
        return {"form": self.form, "bits": self.bits, "shape": list(self.shape), "dtype": self.dtype, **self.grid}


def encode(tensor: Tensor, bits: int, grid: Grid | None = None) -> Coded:
    """The smallest form of a tensor whose codes have at most `bits` bits.

    Args:
        tensor: on the CPU.
        bits: 1..8, or more for `plain`. Floating tensors with fewer than two dims are `plain`.
        grid: on which all values of the tensor lie, if one is known; used where its codes fit.

    Raises:
        ConfigError: values that are not finite.
    """
    plain = _coded(tensor, "plain", 8 * tensor.element_size(), {"": tensor})
    if tensor.dtype == torch.bool and tensor.numel():
        return _coded(tensor, "mask", 1, {"mask": pack_flags(tensor)})
    coded = tensor.is_floating_point() and tensor.dim() >= 2 and tensor.numel() and bits <= 8
    if not coded or _name(tensor) not in _DTYPES:
        return plain
    rows = tensor.reshape(len(tensor), -1).double().numpy()
    if not np.isfinite(rows).all():
        raise ConfigError("must be finite to be compressed, but holds NaN or infinity")
    fits = grid is not None and grid.qmax - grid.qmin < 2**bits
    best = _on_grid(tensor, grid) if grid is not None and fits else _rows(tensor, rows, bits)
    return best if best.size_bytes < plain.size_bytes else plain


def decode(note: Mapping[str, Any], parts: Mapping[str, Tensor]) -> Tensor:
    """The tensor, or its approximation.

    Args:
        note, parts: of `Coded`.

    Raises:
        ConfigError: parts that do not belong to the note.
    """
    shape, bits, dtype = tuple(note["shape"]), note["bits"], _DTYPES.get(note["dtype"])
    count = int(np.prod(shape))
    if note["form"] == "plain" or dtype is None:
        return parts[""]
    if note["form"] == "mask":
        return unpack_flags(parts["mask"], shape)
    if note["form"] == "grid":
        return read_grid(note, parts).origins(unpack_codes(parts["codes"], shape, bits, note["qmin"])).to(dtype)
    kept = np.ones(count, dtype=bool)
    if "kept" in parts:
        kept = unpack_flags(parts["kept"], (count,)).numpy()
    codes = np.zeros(count, dtype=np.uint8)
    codes[kept] = unpack_codes(parts["codes"], (int(kept.sum()),), bits).numpy()
    params = ArrayParams(
        bits=bits, scale=parts["scale"].numpy(), low=parts["low"].numpy(), dtype=np.dtype(np.float64)
    )
    values = dequantize_array(codes.reshape(shape[0], -1), params).reshape(-1) * kept
    return torch.from_numpy(values).to(dtype).reshape(shape)


def _on_grid(tensor: Tensor, grid: Grid) -> Coded:
    bits = max(1, (grid.qmax - grid.qmin).bit_length())
    codes = grid.codes(tensor)
    parts = {"codes": pack_codes(codes, bits, grid.qmin), **grid_parts(grid)}
    return _coded(tensor, "grid", bits, parts, (codes - grid.qmin).numpy().reshape(-1), grid_values(grid))


def _rows(tensor: Tensor, rows: NDArray[Any], bits: int) -> Coded:
    kept = rows != 0
    parts: dict[str, Tensor] = {}
    if kept.mean() <= 1 - MANY_ZEROS:
        parts["kept"] = pack_flags(torch.from_numpy(kept))
        first = np.take_along_axis(rows, kept.argmax(1)[:, None], 1)
        rows = np.where(kept, rows, first)  # zeros widen no row's range
    else:
        kept = np.ones_like(kept)
    codes, params = quantize_array(rows, bits)
    parts["codes"] = pack_codes(torch.from_numpy(codes[kept]), bits)
    parts["scale"], parts["low"] = torch.from_numpy(params.scale), torch.from_numpy(params.low)
    return _coded(tensor, "rows", bits, parts, codes[kept])


def _coded(
    tensor: Tensor,
    form: str,
    bits: int,
    parts: Mapping[str, Tensor],
    codes: NDArray[Any] | None = None,
    grid: Mapping[str, Any] | None = None,
) -> Coded:
    shape, dtype = tuple(tensor.shape), _name(tensor)
    return Coded(form=form, bits=bits, shape=shape, dtype=dtype, parts=parts, codes=codes, grid=grid or {})


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
