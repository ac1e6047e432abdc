"""LoRA adapters on disk: what was trained, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_names
from hwmodel.files import write_atomic
from workloads.modules import join_names
from workloads.rewrite.lora import LoRASpec, adapt, lora_layers
from workloads.storage.safefile import safetensors_bytes
from workloads.storage.weights import check_suffix, read_tensors
from workloads.wrappers import copied

_KEY = "lora"


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """Everything that `finetune` can have changed: adapters, other trained parameters, and their modules' buffers.

    Args:
        model: of `add_lora`.

    Returns:
        Name in the adapted model -> tensor.
    """
    state: dict[str, Tensor] = {}
    for prefix, module in model.named_modules():
        own = list(module.named_parameters(recurse=False))
        if any(p.requires_grad for _, p in own):
            kept = [*((n, p) for n, p in own if p.requires_grad), *module.named_buffers(recurse=False)]
            state |= {join_names(prefix, name): tensor.detach() for name, tensor in kept}
    return state


def save_lora(path: str | Path, model: nn.Module) -> Path:
    """Write `lora_state` with rank and alpha of every adapter, whole or not at all.

    Args:
        path: ends in `.safetensors`.
        model: of `add_lora`.

    Returns:
        The path.

    Raises:
        ConfigError: another suffix, or no adapter.
    """
    check_suffix(path)
    specs = {
        name: asdict(LoRASpec(rank=a.rank, alpha=a.alpha, dropout=a.dropout)) for name, a in lora_layers(model)
    }
    if not specs:
        raise ConfigError("the model has no LoRA adapter to save")
    trained = [name for name, p in _unwrapped_names(model, specs).items() if p.requires_grad]
    notes = {_KEY: json.dumps({"adapters": specs, "trained": trained}, sort_keys=True)}
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in lora_state(model).items()}
    return write_atomic(path, safetensors_bytes(tensors, notes))


def load_lora(path: str | Path, model: nn.Module) -> nn.Module:
    """A copy of a model with the adapters of a file.

    Args:
        path: of `save_lora`.
        model: the one that was adapted, with its own weights and without adapters; not changed.

    Returns:
        The adapted copy, ready to run, train further or merge.

    Raises:
        ConfigError: the file is absent, damaged or holds no adapters, or the model does not fit.
    """
    path = Path(path)
    metadata, tensors = read_tensors(path)
    if _KEY not in metadata:
        raise ConfigError(f"{path.name} holds no LoRA adapters. Write it with save_lora.")
    notes = json.loads(metadata[_KEY])
    result = copied(model)
    known = {*dict(result.named_modules()), *dict(result.named_parameters())}
    check_names((*notes["adapters"], *notes["trained"]), known, "modules and parameters", place=path.name)
    specs = {name: LoRASpec(**spec) for name, spec in notes["adapters"].items()}
    result = adapt(result, specs, notes["trained"])
    own = lora_state(result)
    if set(own) != set(tensors):
        raise ConfigError(f"{path.name} does not fit the model: {sorted(set(own) ^ set(tensors))[0]!r} differs")
    for name, value in own.items():
        if value.shape != tensors[name].shape:
            raise ConfigError(
                f"{path.name}: {name!r} must have shape {tuple(value.shape)}, but has {tuple(tensors[name].shape)}"
            )
        value.copy_(tensors[name])
    return result


def _unwrapped_names(model: nn.Module, adapters: dict[str, dict[str, float]]) -> dict[str, nn.Parameter]:
    """Parameters of the model under the names that they had before it was adapted; adapters left out."""
    found: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        owner = next((a for a in adapters if f"{name}.".startswith(f"{a}." if a else "")), None)
        if owner is None:
            found[name] = parameter
            continue
        rest = name.removeprefix(f"{owner}.") if owner else name
        if rest.startswith("base."):
            found[join_names(owner, rest.removeprefix("base."))] = parameter
    return found
