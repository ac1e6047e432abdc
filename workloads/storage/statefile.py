"""A state dict on disk in 8 bits per weight or fewer, with its true size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from hwmodel.network.patterns import matching
from workloads.compress.grid import Grid
from workloads.modules import join_names
from workloads.storage.coding import PARTS, Coded, decode, encode
from workloads.storage.huffman import HuffmanCode, entropy_bits
from workloads.storage.safefile import safetensors_bytes
from workloads.storage.weights import NOTES, check_suffix, load_state, read_tensors, state_tensors

if TYPE_CHECKING:
    import pandas as pd

PLAIN_BITS = 32
_KEY, _JOINT = "compressed", "::"


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """One tensor of a compressed file.

    Attributes:
        name: in the state dict.
        shape: of the tensor.
        form: how it is stored (`workloads.storage.coding`).
        bits: of a stored code [bit].
        size_bytes: of codes and parameters.
        max_error, rms_error: of its values, absolute; of a quantized weight, those that multiply.
        entropy_bits, huffman_bits: entropy of the codes and average length of their Huffman words
            [bit/code]; None without codes.
    """

    name: str
    shape: tuple[int, ...]
    form: str
    bits: int
    size_bytes: int
    max_error: float
    rms_error: float
    entropy_bits: float | None
    huffman_bits: float | None


@dataclass(frozen=True, kw_only=True)
class CompressedState:
    """What was written.

    Attributes:
        path: the file.
        size_bytes: of the file on disk, names and metadata included.
        memory_bytes: of the state dict in memory.
        tensors: one record each.
    """

    path: Path
    size_bytes: int
    memory_bytes: int
    tensors: tuple[TensorRecord, ...]

    @property
    def megabytes(self) -> float:
        """On disk [MB], 10^6 bytes."""
        return self.size_bytes / 1e6

    @property
    def ratio(self) -> float:
        """Bytes in memory over bytes on disk."""
        return self.memory_bytes / self.size_bytes

    @property
    def max_error(self) -> float:
        """Largest absolute error of a value."""
        return max((record.max_error for record in self.tensors), default=0.0)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per tensor, columns as in `TensorRecord`."""
        import pandas as pd

        return pd.DataFrame([vars(record) for record in self.tensors])

    def __str__(self) -> str:
        return (
            f"{self.path.name}: {self.megabytes:.3f} MB on disk, {self.memory_bytes / 1e6:.3f} MB in memory "
            f"({self.ratio:.2f}x), largest error {self.max_error:.3g}"
        )


def save_compressed(
    path: str | Path,
    model: nn.Module,
    bits: int | Mapping[str, int] = 8,
    metadata: Mapping[str, str] | None = None,
) -> CompressedState:
    """Write a state dict with its weights as packed integers, whole or not at all.

    Weights (floating tensors of two or more dims) get codes between the extremes of every output channel;
    their error is at most half a step. A quantized weight whose own codes fit is stored as these, so that the
    loaded model computes the same but for float rounding (DoReFa's returns as a weight that gets these codes).
    Floor would round its own values once more, so there the weight before rounding is stored. Norms, biases,
    steps and counters stay as they are.

    Args:
        path: ends in `.safetensors`.
        model: compressed or not; on any device; not changed.
        bits: 1..8 for all weights, or by name or shell pattern of the tensor or its module; 32 leaves a tensor as
            it is, and so it is for names that no pattern meets. The first pattern that meets a name counts.
        metadata: text by name (`read_metadata`).

    Raises:
        ConfigError: another suffix, bits out of range, a pattern that meets nothing, or values that are not
            finite.
    """
    check_suffix(path)
    tensors, tied = state_tensors(model)
    grids = _settle(model, tensors)
    widths = _widths(bits, tensors)
    stored: dict[str, Tensor] = {}
    notes: dict[str, Any] = {}
    records: list[TensorRecord] = []
    for name, tensor in tensors.items():
        try:
            coded = encode(tensor, widths[name], grids.get(name))
        except ConfigError as error:
            raise ConfigError(f"{name!r} {error}") from None
        stored |= {_stored_name(name, part): value for part, value in coded.parts.items()}
        if coded.form != "plain":
            notes[name] = coded.note
        records.append(_record(name, tensor, coded))
    header = {**(metadata or {}), **tied, _KEY: json.dumps(notes, sort_keys=True)}
    written = write_atomic(path, safetensors_bytes(stored, header))
    return CompressedState(
        path=written,
        size_bytes=written.stat().st_size,
        memory_bytes=sum(t.numel() * t.element_size() for t in tensors.values()),
        tensors=tuple(records),
    )


def load_compressed(path: str | Path, model: nn.Module) -> dict[str, str]:
    """Load a file of `save_compressed` into a model, in place.

    Args:
        path: the file.
        model: the same architecture under the same configuration.

    Returns:
        The metadata.

    Raises:
        ConfigError: the file is absent, damaged or no compressed one; or names, shapes or bits differ.
    """
    path = Path(path)
    metadata, parts = read_tensors(path)
    if _KEY not in metadata:
        raise ConfigError(f"{path.name} holds no compressed tensors. Read it with load_weights.")
    tensors: dict[str, Tensor] = {}
    plain = dict(parts)
    for name, note in json.loads(metadata.pop(_KEY)).items():
        own = {part: plain.pop(key) for part in PARTS if (key := _stored_name(name, part)) in parts}
        try:
            tensors[name] = decode(note, own)
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ConfigError(f"{path.name}: {name!r} is damaged: {error}") from None
    load_state(path.name, metadata, tensors | plain, model)
    return {key: text for key, text in metadata.items() if key not in NOTES}


def _stored_name(name: str, part: str) -> str:
    return f"{name}{_JOINT}{part}" if part else name


@torch.no_grad()
def _settle(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Grid]:
    """Pruned weights become zeros, quantized ones what their codes stand for, where the layer computes the same.

    Returns:
        name -> grid of the quantized ones, on the CPU.
    """
    grids: dict[str, Grid] = {}
    for name, module in model.named_modules():
        key = join_names(name, "weight")
        if key not in tensors:
            continue
        quantizer = getattr(module, "weight_quantizer", None)
        if quantizer is None and isinstance(getattr(module, "mask", None), Tensor):
            tensors[key] = tensors[key] * module.mask.cpu()
        elif quantizer is not None and int(quantizer.bits) != PLAIN_BITS:
            grid = _on_cpu(quantizer.grid(module.weight))
            codes = grid.codes(tensors[key])
            values, origins = grid.values(codes), grid.origins(codes)
            again = _on_cpu(quantizer.grid(origins.to(module.weight.device)))
            if torch.allclose(again.values(again.codes(origins)), values, atol=1e-6 * float(values.abs().max())):
                tensors[key], grids[key] = origins, grid
    return grids


def _on_cpu(grid: Grid) -> Grid:
    moved: dict[str, Any] = {
        f.name: v.cpu() for f in fields(grid) if isinstance(v := getattr(grid, f.name), Tensor)
    }
    return replace(grid, **moved)


def _widths(bits: int | Mapping[str, int], tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """name -> bits of its codes."""
    rules = bits if isinstance(bits, Mapping) else {"*": bits}
    widths = dict.fromkeys(tensors, PLAIN_BITS)
    owners = {name: name.rpartition(".")[0] for name in tensors}
    known = list(dict.fromkeys((*tensors, *owners.values())))
    for pattern, width in reversed(list(rules.items())):
        if isinstance(width, bool) or not isinstance(width, int) or not (1 <= width <= 8 or width == PLAIN_BITS):
            raise ConfigError(f"bits must be an integer in 1..8, or {PLAIN_BITS} to stay, but got {width!r}")
        met = set(matching(pattern, known, "tensors and modules") if isinstance(bits, Mapping) else known)
        widths.update({name: width for name, owner in owners.items() if {name, owner} & met})
    return widths


def _record(name: str, tensor: Tensor, coded: Coded) -> TensorRecord:
    error = (decode(coded.note, coded.parts).double() - tensor.double()).abs() if tensor.numel() else torch.zeros(1)
    counts = None if coded.codes is None else np.bincount(coded.codes.astype(np.int64).reshape(-1))
    return TensorRecord(
        name=name,
        shape=coded.shape,
        form=coded.form,
        bits=coded.bits,
        size_bytes=coded.size_bytes,
        max_error=float(error.max()),
        rms_error=float(error.square().mean().sqrt()),
        entropy_bits=None if counts is None else entropy_bits(counts),
        huffman_bits=None if counts is None else HuffmanCode.of(counts).average_bits(counts),
    )
