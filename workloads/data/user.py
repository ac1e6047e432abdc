"""A data set that a function of the user's file makes: `FILE.py:function`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hwmodel.errors import ConfigError, HwModelError
from workloads.data.dataset import Dataset, Split, num_classes_of
from workloads.options import call_with_options
from workloads.userfile import function_of

_FORMS = "a workloads.data.Dataset, or (train, validation, test), each a pair (x, y) or a DataLoader"


def from_function(name: str, options: Mapping[str, Any]) -> Dataset:
    """Call the function with the options, and take what it returns as a data set.

    Raises:
        ConfigError: no such function, its own failure, or something that is no data set.
    """
    path, _, function = name.rpartition(":")
    build = function_of(Path(path), function)
    short = f"{Path(path).name}:{function}"
    try:
        made = call_with_options(f"Data {short!r}", build, options)
    except HwModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"Data {short!r} could not be made: {type(error).__name__}: {error}") from error
    if isinstance(made, Dataset):
        return made
    if not isinstance(made, list | tuple) or len(made) != 3:
        held = f"{len(made)} values" if isinstance(made, list | tuple) else type(made).__name__
        raise ConfigError(f"{short} must return {_FORMS}, but returned {held}")
    parts = [_split(short, name, part) for name, part in zip(("train", "validation", "test"), made, strict=True)]
    labels = [part.y for part in parts if isinstance(part, Split)]
    if len(labels) != len(parts):
        raise ConfigError(
            f"{short}: loaders do not say how many classes there are. Return Dataset(name=..., train=..., "
            "validation=..., test=..., num_classes=...)."
        )
    return Dataset(
        name=function, train=parts[0], validation=parts[1], test=parts[2],
        num_classes=num_classes_of(short, labels), source=short, validation_from="own",
    )  # fmt: skip


def _split(short: str, name: str, part: Any) -> Any:
    """A `Split` of a pair of arrays; a loader as it is."""
    if isinstance(part, Split):
        return part
    pair = (part.x, part.y) if hasattr(part, "x") and hasattr(part, "y") else part
    if not isinstance(pair, list | tuple):
        return part
    if len(pair) != 2:
        raise ConfigError(f"{short}: {name} must be a pair (x, y) or a DataLoader, but is {len(pair)} values")
    x, y = (torch.as_tensor(value) for value in pair)
    if x.dtype == torch.uint8:
        raise ConfigError(f"{short}: {name}: inputs must be floating-point, but are uint8. Scale them: x / 255.")
    try:
        return Split(
            x=x.to(torch.float32) if x.is_floating_point() else x.to(torch.int64),
            y=y.to(torch.float32) if y.is_floating_point() else y.to(torch.int64),
        )
    except ConfigError as error:
        raise ConfigError(f"{short}: {name}: {error}") from None
