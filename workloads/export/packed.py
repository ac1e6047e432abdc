"""A compressed model as packed integers in one `.safetensors`, and back.

Weights are codes, bits next to bits (`workloads.storage.packing`), with their scales and zero points; everything
else (biases, batch norms, float weights) is stored as it is. The layout is JSON in the metadata of the file:

    hwmodel.packed   {"version": 1, "weights": {name: record}, "inputs": {module: record}, "float_bytes": n}

A weight's record says `bits`, `shape`, `qmin` (the code 0 of the file stands for it), `axis` of the scales, and
`value`: `zero_point` is scale * (code - zero_point), `offset` is scale * code + offset, `span` is
span * code / levels + offset, computed in this order in float32. The tensors are `NAME.codes`, `.scale`,
`.zero_point` or `.offset` (and `.span`), and `.mask`, packed with 1 bit, where a pruned weight is 0 off the grid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwmodel.deprecated import old_attribute
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from workloads.compress.grid import Grid
from workloads.compress.tied import TiedEmbedding
from workloads.compress.transform import check_stored, quantized_layers
from workloads.export.marking import InputSite, WeightSite, input_site, weight_site
from workloads.modules import join_names
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
from workloads.storage.packing import packed_bytes
from workloads.storage.safefile import safetensors_bytes
from workloads.storage.sealed import check_content, read_unchecked
from workloads.wrappers import unwrapped

LAYOUT_KEY = "hwmodel.packed"
VERSION = 1
_PARTS = ("codes", "mask", *GRID_PARTS)


@dataclass(frozen=True, kw_only=True)
class PackedSize:
    """Where the bytes of a packed file went.

    Attributes:
        path: of the file.
        size_bytes: of the file, names and layout included [byte].
        code_bytes: of packed codes and masks [byte].
        parameter_bytes: of scales, zero points, offsets [byte].
        other_bytes: of tensors that stay as they are [byte].
        float_bytes: of the same state dict in its own types, as it is without compression [byte].
    """

    path: Path
    size_bytes: int
    code_bytes: int
    parameter_bytes: int
    other_bytes: int
    float_bytes: int

    num_bytes = old_attribute("num_bytes", "size_bytes")

    @property
    def ratio(self) -> float:
        """Bytes without compression over bytes of the whole file."""
        return self.float_bytes / self.size_bytes

    @property
    def compared(self) -> str:
        """The ratio in words."""
        return against_float(self.size_bytes, self.float_bytes)


def against_float(size_bytes: int, float_bytes: int) -> str:
    """`2.7 times smaller than float32`, or `larger` where names, scales and layout outweigh what the codes save."""
    if size_bytes > float_bytes:
        return f"{size_bytes / max(1, float_bytes):.3g} times larger than float32"
    return f"{float_bytes / max(1, size_bytes):.3g} times smaller than float32"


def save_packed(path: str | Path, qmodel: nn.Module, metadata: Mapping[str, str] | None = None) -> PackedSize:
    """Write a compressed model as packed integers.

    Args:
        path: ends in `.safetensors`.
        qmodel: of `apply`; inputs that are calibrated give their grids too.
        metadata: text by name, beside the layout.

    Returns:
        The true sizes.

    Raises:
        ConfigError: another suffix, or a layer was removed (0 bits).
    """
    _check_suffix(path)
    model: nn.Module = unwrapped(qmodel)
    layers = dict(quantized_layers(model))
    tensors: dict[str, Tensor] = {}
    records: dict[str, Any] = {"version": VERSION, "weights": {}, "inputs": {}}
    for name, layer in layers.items():
        check_stored(name, layer)
        weight = weight_site(name, layer)
        if weight is not None:
            records["weights"][join_names(name, "weight")] = _put_weight(
                tensors, join_names(name, "weight"), weight
            )
        if layer.input_quantizer is not None and bool(layer.input_quantizer.calibrated):
            stream = input_site(name, layer)
            if stream is not None:
                records["inputs"][name] = _put_input(tensors, join_names(name, "input"), stream)
    codes = sum(t.nbytes for key, t in tensors.items() if key.rpartition(".")[2] in ("codes", "mask"))
    parameters = sum(t.nbytes for t in tensors.values()) - codes
    plain = plain_state(model)
    others = {key: value for key, value in plain.items() if key not in records["weights"]}
    records["float_bytes"] = sum(value.nbytes for value in plain.values())
    data = safetensors_bytes({**tensors, **others}, {**(metadata or {}), LAYOUT_KEY: json.dumps(records)})
    write_atomic(path, data)
    return PackedSize(
        path=Path(path), size_bytes=len(data), code_bytes=codes, parameter_bytes=parameters,
        other_bytes=sum(value.nbytes for value in others.values()), float_bytes=records["float_bytes"],
    )  # fmt: skip


def load_packed(path: str | Path) -> dict[str, Tensor]:
    """The state dict of the float model, with the weights that multiply: `float_model.load_state_dict(...)`.

    Weights equal those of the compressed model to the last bit. They are float32.

    Raises:
        ConfigError: the file is absent, a pickle, damaged, or not of `save_packed`.
    """
    records, tensors = _read(path)
    state: dict[str, Tensor] = {}
    spent: set[str] = set()
    for name, record in records["weights"].items():
        try:
            state[name] = _take_weight(tensors, name, record)
        except (KeyError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{path}: {name!r} is damaged: {error}") from None
    for name in (*records["weights"], *(join_names(module, "input") for module in records["inputs"])):
        spent |= {f"{name}.{part}" for part in _PARTS}
    return {**state, **{key: value for key, value in tensors.items() if key not in spent}}


def packed_layout(path: str | Path) -> dict[str, Any]:
    """The layout of a packed file: `weights` and `inputs` by name.

    Raises:
        ConfigError: as `load_packed`.
    """
    return _read(path)[0]


def verify_packed(path: str | Path, qmodel: nn.Module) -> int:
    """Read a file back and hold it against the model; the number of tensors compared.

    Raises:
        ConfigError: a tensor is missing, is one too many or differs in any bit.
    """
    found, wanted = load_packed(path), plain_state(unwrapped(qmodel))
    different = sorted(set(found) ^ set(wanted))
    different += [name for name in wanted if name in found and not torch.equal(found[name], wanted[name])]
    if different:
        raise ConfigError(f"{Path(path).name}: {different[0]!r} is not what the model has ({len(different)} such)")
    return len(wanted)


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict under the names of the float model, quantizers and masks applied. On the CPU."""
    layers = dict(quantized_layers(model))
    inner = [join_names(name, part) for name in layers for part in ("weight_quantizer.", "input_quantizer.")]
    masks = {join_names(name, "mask") for name in layers}
    state = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in model.state_dict().items()
        if key not in masks and not key.startswith(tuple(inner))
    }
    with torch.no_grad():
        for name, layer in layers.items():
            check_stored(name, layer)
            site = weight_site(name, layer)
            value = layer.effective_weight() if site is None else site.value
            state[join_names(name, "weight")] = value.detach().cpu().contiguous().clone()
            bias = layer.effective_bias()
            if bias is not None:
                state[join_names(name, "bias")] = bias.detach().cpu().contiguous().clone()
        for name, module in model.named_modules():
            if isinstance(module, TiedEmbedding):
                value = module.owner.effective_weight()
                state[join_names(name, "weight")] = value.detach().cpu().contiguous().clone()
    return state


def _put_weight(tensors: dict[str, Tensor], name: str, site: WeightSite) -> dict[str, Any]:
    tensors[f"{name}.codes"] = pack_codes(site.codes, site.bits, site.grid.qmin)
    if site.kept is not None:
        tensors[f"{name}.mask"] = pack_flags(site.kept)
    return {"shape": list(site.codes.shape), **_put_grid(tensors, name, site.grid, site.bits)}


def _put_input(tensors: dict[str, Tensor], name: str, site: InputSite) -> dict[str, Any]:
    return {**_put_grid(tensors, name, site.grid, site.bits), "rounding": site.grid.rounding}


def _put_grid(tensors: dict[str, Tensor], name: str, grid: Grid, bits: int) -> dict[str, Any]:
    parts = grid_parts(grid)
    kind = next(kind for kind in ("span", "zero_point", "offset") if kind in parts)
    unused = ("scale", "peak") if kind == "span" else ("peak",)
    tensors.update({f"{name}.{part}": value for part, value in parts.items() if part not in unused})
    return {"bits": bits, **grid_values(grid), "value": kind}


def _take_weight(tensors: Mapping[str, Tensor], name: str, record: Mapping[str, Any]) -> Tensor:
    parts = {part: tensors[key] for part in _PARTS if (key := f"{name}.{part}") in tensors}
    codes = unpack_codes(parts["codes"], record["shape"], int(record["bits"]), record["qmin"])
    value = read_grid(record, parts).values(codes).float()
    return value * unpack_flags(parts["mask"], record["shape"]) if "mask" in parts else value


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    _check_suffix(path)
    metadata, tensors = read_unchecked(Path(path))
    text = metadata.get(LAYOUT_KEY)
    if text is None:
        raise ConfigError(f"{path}: has no packed integers: it was not written by save_packed")
    records: dict[str, Any] = json.loads(text)
    if records.get("version") != VERSION:
        raise ConfigError(f"{path}: layout version must be {VERSION}, but is {records.get('version')!r}")
    _check_complete(path, records, tensors)
    check_content(Path(path), metadata, tensors)
    return records, tensors


def _check_complete(path: str | Path, records: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    for name, record in records["weights"].items():
        codes = tensors.get(f"{name}.codes")
        wanted = packed_bytes(int(np.prod(record["shape"])), record["bits"])
        if codes is None or codes.numel() != wanted:
            found = "none" if codes is None else f"{codes.numel()} bytes"
            raise ConfigError(f"{path}: {name!r} must have {wanted} bytes of codes, but has {found}")


def _check_suffix(path: str | Path) -> None:
    if Path(path).suffix != ".safetensors":
        raise ConfigError(f"{Path(path).name} must end in .safetensors")
