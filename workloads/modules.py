"""Modules by name: the name of what is inside one, one in the place of another, and what torch.compile wraps."""

from __future__ import annotations

from torch import nn


def join_names(module: str, name: str) -> str:
    """`block.0` and `weight` -> `block.0.weight`; the model itself has the name ""."""
    return f"{module}.{name}" if module else name


def put_module(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Put a module under a name. In place.

    Returns:
        The model; the module itself where the name is "".
    """
    if not name:
        return module
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model


def uncompiled(model: nn.Module) -> nn.Module:
    """The model that `torch.compile` wraps; another one as it is."""
    inner: nn.Module = getattr(model, "_orig_mod", model)
    return inner
