"""Which layers a transform changes, and how a module is put in the place of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from hwmodel.errors import ConfigError
from hwmodel.network.patterns import matching
from workloads.compress.layers import convolution_arguments
from workloads.compress.replacing import read_by_parent

M = TypeVar("M", bound=nn.Module)
#: Exactly these: a subclass has a forward of its own that a transform would replace.
CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

#: Why a module cannot be changed; None where it can.
Refusal = Callable[[Any], str | None]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is to be changed.

    Attributes:
        layers: first name -> module; each module once.
        skipped: name -> why it stays, for layers that a pattern met and the transform cannot change.
    """

    layers: Mapping[str, nn.Module]
    skipped: Mapping[str, str]


def select_layers(
    model: nn.Module,
    kinds: tuple[type[nn.Module], ...],
    refusal: Refusal,
    layers: str | Iterable[str] | None = None,
    skip: str | Iterable[str] = (),
) -> Selection:
    """The modules of some kinds that a user means.

    Args:
        model: to look in.
        kinds: classes that the transform knows, without their subclasses.
        refusal: why a module of these kinds cannot be changed.
        layers: names or shell patterns; None means all.
        skip: names or shell patterns of layers that stay.

    Raises:
        ConfigError: a pattern meets nothing, or a layer that is named in full cannot be changed.
    """
    modules = {name: m for name, m in model.named_modules() if type(m) in kinds}
    uncalled = read_by_parent(model)
    named = [layers] if isinstance(layers, str) else list(layers or ())
    _refuse_other_kinds(model, kinds, named)
    wanted = list(modules) if layers is None else matching(named, list(modules))
    spared = set(matching(skip, list(modules))) if skip else set()
    chosen: dict[str, nn.Module] = {}
    skipped: dict[str, str] = {}
    for name in wanted:
        module = modules[name]
        reason = "is named in `skip`" if name in spared else _computed(module) or refusal(module)
        if reason is None and id(module) in uncalled:
            reason = "is not called: its MultiheadAttention reads the weight"
        if reason is None:
            chosen[name] = module
        elif name in named and name not in spared:
            raise ConfigError(f"{name!r} {reason}. Leave it out.")
        else:
            skipped[name] = reason
    return Selection(layers=chosen, skipped=skipped)


def _computed(module: nn.Module) -> str | None:
    return None if "weight" in module._parameters else "has a weight that a parametrization or hook computes"


def _refuse_other_kinds(model: nn.Module, kinds: tuple[type[nn.Module], ...], named: Iterable[str]) -> None:
    every = dict(model.named_modules(remove_duplicate=False))
    for name in named:
        if name in every and type(every[name]) not in kinds:
            known = ", ".join(kind.__name__ for kind in kinds)
            raise ConfigError(f"{name!r} must be one of {known}, but is a {type(every[name]).__name__}")


def in_place_of(old: Any, new: M) -> M:
    """`new` on the device, in the number format and in the mode of the layer that it replaces."""
    return new.to(old.weight.device, old.weight.dtype).train(old.training)


def seeded(seed: int, make: Callable[[], M]) -> M:
    """What `make` builds under a seed; torch's global random state is as before."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return make()


def convolution_like(conv: Any, **changes: Any) -> Any:
    """A plain convolution with the constructor's arguments of another, some of them changed; new weights.

    Args:
        conv: a convolution of torch or a subclass.
        changes: such as `groups=4`; `bias` is whether there is one.
    """
    kind = next(kind for kind in CONVOLUTIONS if isinstance(conv, kind))
    return kind(**{**convolution_arguments(conv), **changes})


def kernel(conv: Any) -> str:
    """`3x3`."""
    return "x".join(map(str, conv.kernel_size))


def describe(module: nn.Module) -> str:
    """One layer, or the layers of a small stack, in a few words: `Conv2d(16, 32, 3x3, groups=16)`."""
    if isinstance(module, CONVOLUTIONS):
        conv: Any = module
        grouped = f", groups={conv.groups}" if conv.groups > 1 else ""
        return f"{type(module).__name__}({conv.in_channels}, {conv.out_channels}, {kernel(conv)}{grouped})"
    if isinstance(module, nn.Linear):
        return f"{type(module).__name__}({module.in_features}, {module.out_features})"
    return " + ".join(describe(child) for child in module.children()) or type(module).__name__
