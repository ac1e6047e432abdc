"""A new last layer, for other classes."""

from __future__ import annotations

from typing import Any

from torch import nn

from hwmodel.errors import ConfigError
from workloads.compress.replacing import replace_modules
from workloads.options import is_integer
from workloads.rewrite.select import in_place_of, seeded, select_layers
from workloads.wrappers import copied


def new_head(model: nn.Module, layer: str, num_classes: int, *, seed: int = 0) -> nn.Module:
    """A copy whose linear layer of that name is new; everything else is as it was trained.

    Args:
        model: not changed.
        layer: name of the linear layer that gives the scores.
        num_classes: of the new data.
        seed: of its weights, torch's default for `nn.Linear`.

    Raises:
        ConfigError: no such layer, it is not linear, or no class.
    """
    if not is_integer(num_classes, 1):
        raise ConfigError(f"num_classes must be an integer >= 1, but got {num_classes!r}")
    result = copied(model)
    (old,) = select_layers(result, (nn.Linear,), lambda _: None, [layer]).layers.values()
    shape: Any = old
    new = seeded(seed, lambda: nn.Linear(shape.in_features, num_classes, shape.bias is not None))
    return replace_modules(result, {old: in_place_of(old, new)})
