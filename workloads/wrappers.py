"""Models inside `torch.compile` and data-parallel wrappers, and copies of models."""

from __future__ import annotations

import copy

import torch
from torch import nn


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

    What a hook computes (the weight of `torch.nn.utils.weight_norm`, `spectral_norm` or `prune`) torch refuses to
    copy: its value is taken, and the hook of the copy computes it anew in the next forward.
    """
    model = unwrapped(model)
    computed = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and value.grad_fn is not None
    ]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in computed})
