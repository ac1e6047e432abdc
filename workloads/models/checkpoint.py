"""A trained model and the data that it was trained on, from a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hwmodel.errors import ConfigError
from workloads.data import Dataset, load_data
from workloads.models.published import published
from workloads.models.registry import load_model, options_for
from workloads.storage.weights import load_weights


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is scored.

    Attributes:
        model: the trained `nn.Module`, in eval mode.
        data: the data set.
        notes: what was assumed of them.
    """

    model: nn.Module
    data: Dataset
    notes: tuple[str, ...]


def load_checkpoint(
    model: str, weights: Path, data: str, *, split: str, options: Mapping[str, Any], data_options: Mapping[str, Any]
) -> Checkpoint:
    """A model with its weights, and its data; what we know of published weights is filled in.

    Args:
        model, data: names.
        weights: a file of `load_weights`.
        split: that will be scored; where the weights have seen all training files, validation is cut from the test
            files.
        options, data_options: go before what is filled in.

    Raises:
        ConfigError: a name is unknown, a file is missing, or they do not fit.
    """
    if not weights.exists():
        raise ConfigError(f"{weights}: no such file of weights.")
    known, notes = published(weights), []
    if known is not None and known.data == data:
        seen = {"validation": "test"} if split == "validation" else {}
        data_options = {**known.data_options, **seen, **data_options}
        notes.append(
            f"published weights of {known.model}, trained on all training images of {data}: "
            f"{', '.join(f'{key}={value}' for key, value in data_options.items())}"
        )
    if known is not None and known.model == model:
        options = {**known.model_options, **options}
    loaded = load_data(data, **data_options)
    module = load_model(model, **{**options_for(model, loaded), **options})
    load_weights(weights, module)
    return Checkpoint(model=module.eval(), data=loaded, notes=tuple(notes))
