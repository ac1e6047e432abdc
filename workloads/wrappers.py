"""Models inside `torch.compile` and data-parallel wrappers, and copies of models."""

from __future__ import annotations

import copy

import torch
from torch import nn

from hwmodel.errors import ConfigError


def unwrapped(model: nn.Module) -> nn.Module:
    """The module in a `torch.compile` or a data-parallel wrapper: its names are the ones people configure."""
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        else:
            inner = getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of what is in the wrappers.

    Raises:
        ConfigError: a module holds a tensor that autograd computed, such as the weight of
            `torch.nn.utils.weight_norm`: torch cannot copy it.
    """
    model = unwrapped(model)
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                place = f"{name!r}: its" if name else "its"
                raise ConfigError(
                    f"{place} {key} is computed by a hook, and torch cannot copy such a model. Remove the hook "
                    "(for instance torch.nn.utils.remove_weight_norm), or use torch.nn.utils.parametrizations."
                )
    return copy.deepcopy(model)
