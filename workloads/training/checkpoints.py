"""A training run on disk: everything that the next epoch depends on, in one `.safetensors`, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from workloads.modules import join_names
from workloads.storage.safefile import safetensors_bytes
from workloads.storage.weights import check_same_names, check_suffix, read_tensors
from workloads.training.settings import TrainSettings

_TREE, _VERSION = "training_state", 1
_TENSOR = "tensor"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where a run keeps its state, and how often.

    The file is also written when the run ends early (Ctrl-C, an error): with the state after the last whole
    epoch, from which the resumed run goes on as if nothing had happened.

    Attributes:
        path: a `.safetensors`, apart from the trained weights.
        every: epochs between two writes; the last epoch is always written.
        resume: go on from the file; without one the run starts at its beginning. False refuses to overwrite
            an unfinished run.

    Raises:
        ConfigError: another suffix, or every < 1.
    """

    path: str | Path
    every: int = 1
    resume: bool = False

    def __post_init__(self) -> None:
        check_suffix(self.path)
        if self.every < 1:
            raise ConfigError(f"`every >= 1` must hold, but got every={self.every!r}")


def write_state(path: str | Path, state: Any) -> Path:
    """Write nested dicts and lists of tensors and plain values, atomically: tensors as such, the rest as JSON.

    Tuples come back as lists.
    """
    tensors: dict[str, Tensor] = {}
    tree = _packed(state, tensors)
    notes = {_TREE: json.dumps({"version": _VERSION, "state": tree})}
    return write_atomic(path, safetensors_bytes(tensors, notes))


def read_state(path: str | Path) -> Any:
    """What `write_state` wrote; tensors on the CPU.

    Raises:
        ConfigError: the file is absent, damaged, or no training state.
    """
    notes, tensors = read_tensors(Path(path))
    if _TREE not in notes:
        raise ConfigError(f"{path}: holds weights, not the state of a training run. Load it with load_weights.")
    data = json.loads(notes[_TREE])
    if data["version"] != _VERSION:
        raise ConfigError(f"{path}: version must be {_VERSION}, but is {data['version']}. Train anew.")
    return _unpacked(data["state"], tensors)


def snapshot(state: Any) -> Any:
    """A copy of nested dicts and lists of tensors that later steps do not change."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [snapshot(value) for value in state]
    return state


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON with `{"tensor": name}` for tensors and `{"map": [[key, value], ...]}` for dicts of any keys."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        return {"map": [[key, _packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"a training state holds tensors and plain values, but got {type(value).__name__}")


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    return {key: _unpacked(item, tensors) for key, item in value["map"]}


# ---- the model -----------------------------------------------------------------------------------


def model_state(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The state dict, and the buffers that it leaves out."""
    state = model.state_dict()
    return {"state": state, "buffers": {name: b for name, b in model.named_buffers() if name not in state}}


@torch.no_grad()
def restore_model(place: str, model: nn.Module, saved: dict[str, dict[str, Any]]) -> None:
    """Put a `model_state` into a model of the same architecture, in place.

    A buffer that came about during the training (a mask) is made anew.

    Raises:
        ConfigError: names or shapes differ.
    """
    _make_buffers(model, saved["state"])
    own = model.state_dict()
    check_same_names(place, set(saved["state"]), set(own))
    for name, value in own.items():
        if isinstance(value, Tensor) and saved["state"][name].shape != value.shape:
            raise ConfigError(
                f"{place}: {name!r} must have shape {tuple(value.shape)}, but has "
                f"{tuple(saved['state'][name].shape)}"
            )
    model.load_state_dict(saved["state"])
    buffers = dict(model.named_buffers())
    for name, value in saved["buffers"].items():
        buffers[name].copy_(value)


def _make_buffers(model: nn.Module, state: dict[str, Any]) -> None:
    """Registered buffers that are None in the model, and a tensor in the state."""
    for prefix, module in model.named_modules():
        for key, value in module._buffers.items():
            saved = state.get(join_names(prefix, key))
            if value is None and saved is not None:
                like = next(module.parameters(recurse=False), saved)
                module._buffers[key] = saved.to(like.device)


# ---- whose state it is ---------------------------------------------------------------------------


def check_same_run(path: str | Path, state: dict[str, Any], settings: TrainSettings, own: dict[str, Any]) -> None:
    """A state belongs to this run: settings, data and hooks; `epochs` may differ where no past rate depends on it.

    Args:
        path: of the state.
        state: as read.
        settings: of this run.
        own: `data` and `hooks` of this run.

    Raises:
        ConfigError: it does not; the message names what differs.
    """
    saved = TrainSettings.from_dict(state["settings"])
    theirs, ours = _all_values(saved), _all_values(settings)
    changed = [name for name in ours if ours[name] != theirs[name]]
    if changed == ["epochs"] and settings.schedule != "cosine" and settings.epochs >= state["epoch"]:
        changed = []
    if changed:
        name = changed[0]
        raise ConfigError(
            f"{path}: its run has {name}={theirs[name]!r}, now {ours[name]!r}. Resume with the same settings, or "
            "start a new run elsewhere."
        )
    for name, what in (("data", "another training split"), ("hooks", "other hooks")):
        if state[name] != own[name]:
            raise ConfigError(f"{path}: its run has {what} ({state[name]}, now {own[name]}).")


def _all_values(settings: TrainSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in TrainSettings.__dataclass_fields__}
