"""Weights on disk: written as `.safetensors`, whole or absent; read from others' files too (`foreign`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, did_you_mean
from hwmodel.files import write_atomic
from workloads.compress.layers import QuantLayer
from workloads.storage.foreign import fitted, is_foreign, read_foreign
from workloads.storage.safefile import CONTENT, safetensors_bytes
from workloads.storage.sealed import read_bytes, read_file, read_notes

_TIED, _QUANTIZERS = "tied", "quantizers"
#: Metadata that is ours, not the caller's.
NOTES = (_TIED, _QUANTIZERS)
_SHOWN = 5


def save_weights(
    path: str | Path, model: nn.Module | CarriedState, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the whole state dict: weights, steps, ranges, masks, running statistics.

    A tensor that has several names (tied weights) is stored once.

    Args:
        path: ends in `.safetensors`.
        model: compressed or not, on any device; or its state, from another process.
        metadata: text by name, readable without the tensors (`read_metadata`).

    Returns:
        The path.

    Raises:
        ConfigError: another suffix, or state that is not a tensor.
    """
    check_suffix(path)
    tensors, tied = state_tensors(model)
    return write_atomic(path, safetensors_bytes(tensors, {**(metadata or {}), **tied}))


def state_tensors(model: nn.Module | CarriedState) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dict as contiguous tensors on the CPU, tied ones once, and the notes that `load_state` needs.

    Raises:
        ConfigError: state that is not a tensor.
    """
    if isinstance(model, CarriedState):
        return model.tensors, model.notes
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"{name!r} is {type(value).__name__}, not a tensor: it cannot be saved as safetensors"
            )
        identity = (value.data_ptr(), value.shape, value.stride(), value.dtype, value.device)
        if value.numel() and identity in seen:
            tied[name] = seen[identity]
            continue
        seen[identity] = name
        tensors[name] = value.detach().cpu().contiguous().clone()
    notes = {_TIED: tied, _QUANTIZERS: _quantizers(model)}
    return tensors, {key: json.dumps(note, sort_keys=True) for key, note in notes.items()}


@dataclass(frozen=True)
class CarriedState:
    """The state dict of a model on its way between processes: written to a file, it is what the model would be.

    Attributes:
        data: the content of a `.safetensors`, without the caller's notes.
    """

    data: bytes

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """Raises:
        ConfigError: state that is not a tensor.
        """
        return cls(safetensors_bytes(*state_tensors(model)))

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """By name, tied ones once."""
        return read_bytes(self.data)[1]

    @cached_property
    def notes(self) -> dict[str, str]:
        """Those of `state_tensors`."""
        return read_bytes(self.data)[0]

    def state_dict(self) -> dict[str, Tensor]:
        """As that of the model, on the CPU."""
        tied = _note("a carried state", self.notes, _TIED)
        return self.tensors | {alias: self.tensors[name] for alias, name in tied.items()}

    def load_into(self, model: nn.Module) -> None:
        """Raises:
        ConfigError: the model is another.
        """
        load_state("a carried state", self.notes, self.tensors, model)


def carried(model: object) -> object:
    """What stands for a finetuned model in another process: the state of a module, anything else as it is."""
    return CarriedState.of(model) if isinstance(model, nn.Module) else model


def _quantizers(model: nn.Module) -> dict[str, str]:
    """Name -> quantizer and rounding of every quantized layer: tensors of the same names mean other grids there."""
    return {
        name: f"{layer.choice.quantizer}, rounding {layer.choice.rounding}"
        for name, layer in model.named_modules()
        if isinstance(layer, QuantLayer) and (layer.weight_quantizer or layer.input_quantizer) is not None
    }


def load_weights(path: str | Path, model: nn.Module) -> dict[str, str]:
    """Load a file of `save_weights`, or weights that others wrote, into a model, in place.

    Others' are `.safetensors`, `.npz`, and a state dict in a `.pt` (`.pth`, `.ckpt`, `.bin`), read without running
    code, alone or beside optimizer and epoch. Counters of their batch norms may be missing.

    A compressed layer without a mask takes the file's: pruning may have come after `apply`, by a hook of training.

    Args:
        path: the file.
        model: the same architecture under the same configuration; its present weights do not matter.

    Returns:
        The metadata.

    Raises:
        ConfigError: the file is absent, damaged, or needs code to be read; names or shapes differ; or it was saved
            under other bits or quantizers.
    """
    path = Path(path)
    metadata, tensors = ({}, read_foreign(path)) if is_foreign(path) else read_tensors(path)
    load_state(path.name, metadata, tensors, model)
    return {key: text for key, text in metadata.items() if key not in NOTES}


def load_state(place: str, metadata: Mapping[str, str], tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    """Load tensors into a model, in place.

    Args:
        place: file name, for messages.
        metadata: with the notes of `state_tensors`, if there are any.
        tensors: by name.
        model: of the same architecture and configuration.

    Raises:
        ConfigError: quantizers, names, shapes or bits differ.
    """
    tensors = dict(tensors) if _QUANTIZERS in metadata else fitted(tensors, model)
    for alias, name in _note(place, metadata, _TIED).items():
        if name not in tensors:
            raise ConfigError(f"{place}: {alias!r} is tied to {name!r}, which the file does not hold")
        tensors[alias] = tensors[name]
    _check_quantizers(place, _note(place, metadata, _QUANTIZERS), _quantizers(model))
    masked = _maskless(model, tensors)
    own = model.state_dict() | {f"{prefix}mask": layer.weight for prefix, layer in masked.items()}
    check_same_names(place, set(tensors), set(own))
    for name, value in own.items():
        if tensors[name].shape != value.shape:
            raise ConfigError(
                f"{place}: {name!r} must have shape {tuple(value.shape)}, but has {tuple(tensors[name].shape)}"
            )
        if name.endswith("quantizer.bits") and not torch.equal(tensors[name], value.cpu()):
            raise ConfigError(
                f"{place}: {name!r} must be {int(value)} bits as configured, but is {int(tensors[name])}. "
                "Apply the configuration that the checkpoint was saved with."
            )
    for prefix, layer in masked.items():
        layer.mask = tensors[f"{prefix}mask"].to(layer.weight.device, torch.bool)
    model.load_state_dict(tensors, strict=True)


def _note(place: str, metadata: Mapping[str, str], key: str) -> dict[str, str]:
    """One of our notes: text by name.

    Raises:
        ConfigError: it is something else.
    """
    try:
        note = json.loads(metadata.get(key, "{}"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: its note {key!r} is not JSON: {error}") from None
    if not isinstance(note, dict) or not all(isinstance(text, str) for text in note.values()):
        raise ConfigError(f"{place}: its note {key!r} must be text by name, but is {note!r}")
    return note


def _check_quantizers(place: str, saved: Mapping[str, str], own: Mapping[str, str]) -> None:
    for name, text in saved.items():
        if name in own and own[name] != text:
            raise ConfigError(
                f"{place}: {name!r} must be quantized by {own[name]} as configured, but was by {text}. "
                "Apply the configuration that the checkpoint was saved with."
            )


def _maskless(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, QuantLayer]:
    """Prefix in the state dict -> compressed layer that has no mask where the file has one."""
    layers = {f"{name}.".lstrip("."): module for name, module in model.named_modules(remove_duplicate=False)}
    return {
        prefix: layer
        for prefix, layer in layers.items()
        if isinstance(layer, QuantLayer) and layer.mask is None and f"{prefix}mask" in tensors
    }


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text stored beside the tensors.

    Raises:
        ConfigError: the file is absent, no `.safetensors` or damaged.
    """
    path = Path(path)
    check_suffix(path)
    return {key: text for key, text in read_notes(path).items() if key not in (CONTENT, *NOTES)}


def read_hash(path: str | Path) -> str:
    """Of the content of a file, as it says itself; "" where it does not.

    Raises:
        ConfigError: the file is absent, no `.safetensors`, or its header is damaged.
    """
    path = Path(path)
    check_suffix(path)
    return read_notes(path).get(CONTENT, "")


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata, tensors) of a `.safetensors` file.

    Raises:
        ConfigError: the file is absent, no `.safetensors`, damaged or edited.
    """
    check_suffix(path)
    return read_file(path)


def check_suffix(path: str | Path) -> None:
    """Raises:
    ConfigError: the suffix is not `.safetensors`.
    """
    if Path(path).suffix != ".safetensors":
        raise ConfigError(f"{Path(path).name} must end in .safetensors")


def check_same_names(place: str, found: set[str], wanted: set[str]) -> None:
    """The names in a file are those of the model.

    Raises:
        ConfigError: they differ; the message names the first few, and the nearest.
    """
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if not missing and not extra:
        return
    parts = []
    if missing:
        parts.append(f"lacks {_few(missing)}.{did_you_mean(missing[0], extra)}")
    if extra:
        parts.append(f"has {_few(extra)}, which the model does not.")
    raise ConfigError(f"{place} does not fit the model ({len(wanted)} names): it {' It '.join(parts)}")


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + rest
