"""A module in the place of another: its hooks go on, and no parent computes without calling it.

`nn.TransformerEncoderLayer` in eval mode without gradients runs one fused kernel on the weights of its children,
and `nn.TransformerEncoder` hands it nested tensors where there is a padding mask. Neither calls the children, so
what they quantize, mask or add would be left out. Both look at an attribute of their own first: it is switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)

_CALL_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip


def mirrored(module: nn.Module, kind: type[M]) -> M:
    """A module of another class around the same parameters, buffers, hooks and attributes."""
    new = kind.__new__(kind)
    for key, value in vars(module).items():
        new.__dict__[key] = value.copy() if isinstance(value, (dict, set)) else value
    for number, hook in list(new._forward_pre_hooks.items()):
        if hook is _nothing:
            del new._forward_pre_hooks[number]
    new.__dict__["_compiled_call_impl"] = None  # of the old class
    return new


def carry_hooks(old: nn.Module, new: nn.Module) -> None:
    """What was to be called around the old module is called around the new one, in the same order."""
    for name in _CALL_HOOKS:
        mine, theirs = getattr(new, name), getattr(old, name)
        mine.update({key: hook for key, hook in theirs.items() if key not in mine and hook is not _nothing})
    if new._is_full_backward_hook is None:
        new._is_full_backward_hook = old._is_full_backward_hook


def must_be_called(module: M) -> M:
    """Mark a module whose weight alone is not what it computes.

    An encoder layer that holds it takes its fused kernel only where none of its modules has a hook.
    """
    module.register_forward_pre_hook(_nothing)
    return module


def is_hooked(module: nn.Module) -> bool:
    """Something of the user's is called around the module."""
    return any(hook is not _nothing for name in _CALL_HOOKS for hook in getattr(module, name).values())


def _nothing(*_: Any) -> None:
    """A hook that only has to be there."""


def replace_modules(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put modules in the place of others, in place and wherever they are used; user's hooks go along.

    Args:
        model: changed, unless it is itself replaced.
        replacements: old -> new. A new one that calls the old one leaves it its hooks.

    Returns:
        The model, or what replaces it.
    """
    for old, new in replacements.items():
        if not any(module is old for module in new.modules()):
            carry_hooks(old, new)
    if model in replacements:
        return replacements[model]
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if module in replacements:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, replacements[module])
    keep_from_fusing(model, replacements.values())
    return model


def keep_from_fusing(model: nn.Module, called: Iterable[nn.Module]) -> None:
    """Switch off the fused path of every transformer encoder that holds one of these modules. In place."""
    wanted = set(called)
    for module in model.modules():
        if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerEncoder)) and not wanted.isdisjoint(
            module.modules()
        ):
            if isinstance(module, nn.TransformerEncoderLayer):
                module.activation_relu_or_gelu = 0
            else:
                module.use_nested_tensor = False


def read_by_parent(model: nn.Module) -> dict[int, str]:
    """id(module) -> the name of the attention that reads its weight without calling it."""
    return {
        id(module.out_proj): name
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    }
