"""The float model, trained once and kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hwmodel.errors import ConfigError
from workloads.storage.weights import load_weights, read_metadata, save_weights
from workloads.training.accuracy import Accuracy
from workloads.training.inputs import DataLike
from workloads.training.loop import finetune
from workloads.training.measuring import measure_accuracy
from workloads.training.records import Progress, TrainResult
from workloads.training.settings import TrainSettings

_KEY = "pretrain_key"
_HASHED_IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """How the float model came about.

    Attributes:
        accuracy: on the validation split.
        reused: it was read from the checkpoint.
        training: None where it was reused.
    """

    accuracy: Accuracy
    reused: bool
    training: TrainResult | None


def pretrain(
    model: nn.Module,
    data: DataLike,
    settings: TrainSettings,
    checkpoint: str | Path,
    *,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> PretrainResult:
    """Train a model in place on the training split, or read it if the same training was done before.

    "The same" is the same settings, data and initial weights; a checkpoint of another training is
    written anew.

    Args:
        model: with its initial weights.
        data: train and validation splits.
        settings: how.
        checkpoint: a `.safetensors`, read or written.
        device: None is CUDA where there is one, else the CPU.
        progress: called after every epoch.

    Raises:
        ConfigError: the file exists but is not from here (nothing is overwritten), or training failed.
    """
    path, key = Path(checkpoint), _training_key(model, data, settings)
    if path.exists():
        found = read_metadata(path).get(_KEY)
        if found is None:
            raise ConfigError(f"{path} exists but was not written by pretrain. Choose another name.")
        if found == key:
            load_weights(path, model)
            model.eval()
            return PretrainResult(
                accuracy=measure_accuracy(model, data.validation, device), reused=True, training=None
            )
    result = finetune(model, data.train, settings, validation=data.validation, device=device, progress=progress)
    accuracy = measure_accuracy(model, data.validation, device)
    notes = {_KEY: key, "settings": json.dumps(settings.to_dict()), "data": data.name, "accuracy": str(accuracy)}
    save_weights(path, model, notes)
    return PretrainResult(accuracy=accuracy, reused=False, training=result)


def _training_key(model: nn.Module, data: DataLike, settings: TrainSettings) -> str:
    """16 hex digits of settings, data (name, size, labels, first images) and initial weights."""
    digest = hashlib.sha256(f"{settings.key} {data.name} {len(data.train.y)}".encode())
    for values in (data.train.y, data.train.x[:_HASHED_IMAGES]):
        digest.update(torch.as_tensor(values).cpu().contiguous().numpy().tobytes())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
