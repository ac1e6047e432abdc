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
from workloads.training.inputs import DataLike, InMemory, feed_of
from workloads.training.loop import finetune
from workloads.training.measuring import MetricValue, measure
from workloads.training.records import Progress, TrainResult
from workloads.training.settings import TrainSettings

_KEY = "pretrain_key"
#: The same of the weights that came out: a model that was trained so is not trained again.
_END = "pretrain_end"


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """How the float model came about.

    Attributes:
        accuracy: on the validation split.
        reused: it was read from the checkpoint.
        training: None where it was reused.
    """

    accuracy: Accuracy | MetricValue
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
    written anew. A model that holds the result of this training already stays as it is.

    Args:
        model: with its initial weights.
        data: train and validation splits; its own loss and metric, if it names any.
        settings: how.
        checkpoint: a `.safetensors`, read or written.
        device: None is CUDA where there is one, else the CPU.
        progress: called after every epoch.

    Raises:
        ConfigError: the file exists but is not from here (nothing is overwritten), or training failed.
    """
    path, key = Path(checkpoint), _training_key(model, data, settings)
    loss, metric = getattr(data, "loss", None), getattr(data, "metric", None)
    if path.exists():
        notes = read_metadata(path)
        if _KEY not in notes:
            raise ConfigError(f"{path} exists but was not written by pretrain. Choose another name.")
        if key in (notes[_KEY], notes.get(_END)):
            load_weights(path, model)
            model.eval()
            return PretrainResult(accuracy=_measured(model, data, settings, device), reused=True, training=None)
    result = finetune(
        model, data.train, settings, validation=data.validation, loss=loss, metric=metric, device=device,
        progress=progress,
    )  # fmt: skip
    accuracy = _measured(model, data, settings, device)
    end = _training_key(model, data, settings)
    notes = {
        _KEY: key, _END: end, "settings": json.dumps(settings.to_dict()), "data": data.name,
        "accuracy": str(accuracy),
    }  # fmt: skip
    save_weights(path, model, notes)
    return PretrainResult(accuracy=accuracy, reused=False, training=result)


def _measured(
    model: nn.Module, data: DataLike, settings: TrainSettings, device: str | torch.device | None
) -> Accuracy | MetricValue:
    """Of the validation split, in the data's own metric."""
    metric = getattr(data, "metric", None)
    return measure(model, data.validation, device, metric, memory_format=settings.memory_format)


def _training_key(model: nn.Module, data: DataLike, settings: TrainSettings) -> str:
    """16 hex digits of settings, data (name, size, labels, first images) and initial weights."""
    feed = feed_of(data.train, torch.device("cpu"))
    text = f"{settings.key} {data.name}"
    if isinstance(feed, InMemory):
        digest = feed.digest(f"{text} {len(feed.y)}")
    else:
        digest = hashlib.sha256(f"{text} {feed.key}".encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
