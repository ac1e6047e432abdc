"""`apply`: the compressed copy of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from hwmodel.errors import ConfigError, matched_none
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.layers import COMPRESSIBLE, OwnForward, QuantLayer, from_float, named_choices
from workloads.compress.own_forward import is_own, own_call
from workloads.compress.pruning.sparse_layers import SparseLayer
from workloads.compress.replacing import read_by_parent, replace_modules
from workloads.compress.tied import partners, share_grid, tied_embedding
from workloads.wrappers import copied, unwrapped


def apply(model: nn.Module, config: CompressionConfig, *, seed: int | None = None) -> nn.Module:
    """A copy of the model in which the named layers are quantized and pruned.

    The argument is not changed. The copy is an ordinary `nn.Module`: it trains, deep-copies, moves
    between devices and saves its state dict like the original, under the same names; hooks go along. Layers
    left float by the configuration are copied as they are. Call `calibrate(copy, x)` to set the ranges of
    the activations from data; without it each range is taken from the first batch.

    A layer with a mask of its own (`SparseConv2d`) keeps it under the quantizer.

    A module used in several places is replaced in all of them, and modules that share a weight are compressed
    together, an embedding among them too: the weight is stored once. A module whose weight its parent uses
    without calling it (in a functional call) cannot be reached: `calibrate` reports it.

    Args:
        model: in train or eval mode; on any device. Of one in `torch.compile` or a data-parallel wrapper what is
            inside is compressed: wrap the copy again.
        config: choices by module name or shell pattern.
        seed: of the draws of stochastic rounding; None takes torch's own generator (`torch.manual_seed`).

    Returns:
        The copy, in the same mode and on the same device.

    Raises:
        ConfigError: a name matches no module (the nearest is offered), the module is no convolution or
            linear layer, modules that share a weight are given different choices, a pattern does not fit its
            weight, or the model has no values (meta).
    """
    model = unwrapped(model)
    chosen = _choices_by_module(model, config)
    result = copied(model)
    if seed is not None:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return _replaced(result, chosen)
    return _replaced(result, chosen)


def _replaced(result: nn.Module, chosen: Mapping[str, LayerChoice]) -> nn.Module:
    """The copy with compressed modules in the places of those chosen."""
    replacements: dict[nn.Module, nn.Module] = {}
    owners: dict[int, QuantLayer] = {}
    for name, choice in chosen.items():
        module: Any = result.get_submodule(name)
        if isinstance(module, nn.Embedding):
            continue
        try:
            layer = _compressed(module, choice)
        except ConfigError as error:
            raise ConfigError(f"{name!r}: {error}") from None
        owner = owners.setdefault(id(layer.weight), layer)
        _check_shared(name, layer, owner, partners(result, layer.weight).values())
        replacements[module] = layer if owner is layer else share_grid(layer, owner)
    for name in chosen:
        module = result.get_submodule(name)
        if isinstance(module, nn.Embedding):
            replacements[module] = tied_embedding(module, owners[id(module.weight)])
    return replace_modules(result, replacements)


def _check_shared(name: str, layer: QuantLayer, owner: QuantLayer, sharing: Iterable[nn.Module]) -> None:
    """Modules that share a weight share one grid, so each must multiply by the weight itself."""
    shares = owner is not layer or any(isinstance(module, nn.Embedding) for module in sharing)
    if shares and any(isinstance(each, OwnForward) and each.computes_weight for each in (layer, owner)):
        raise ConfigError(
            f"{name!r}: its weight is shared, but its forward multiplies by what it makes of it: there is no "
            "one weight to quantize. Leave it float."
        )


def _compressed(module: nn.Module, choice: LayerChoice) -> QuantLayer:
    """The compressed layer; the mask of a sparse one stays in force beside the choice's own."""
    if not isinstance(module, SparseLayer):
        return from_float(module, choice)
    layer = from_float(module.to_dense(), choice)
    layer.mask = module.mask if layer.mask is None else layer.mask & module.mask
    layer.initialise()
    return layer


def _choices_by_module(model: nn.Module, config: CompressionConfig) -> dict[str, LayerChoice]:
    """First name -> choice of every module to replace, those that share a weight with it included; checked."""
    first: dict[int, tuple[str, str, LayerChoice]] = {}
    for name, choice in named_choices(model, config).items():
        for place, module in _together(model, name).items():
            if not choice.is_float:
                _check_kind(place, module, model)
            other = first.setdefault(id(module), (place, name, choice))
            if other[2] != choice:
                shared = (
                    "are one module"
                    if model.get_submodule(name) is model.get_submodule(other[1])
                    else ("share one weight")
                )
                raise ConfigError(f"{name!r} and {other[1]!r} {shared}, but are given different choices")
    return {place: choice for place, _, choice in first.values() if not choice.is_float}


def _together(model: nn.Module, name: str) -> dict[str, nn.Module]:
    """The module of that name and all that share its weight, by their first names."""
    module = model.get_submodule(name)
    found = partners(model, module._parameters.get("weight"))
    multiplies = any(isinstance(other, COMPRESSIBLE) for other in found.values())
    return found if multiplies and len(found) > 1 else {name: module}


def _check_kind(name: str, module: nn.Module, model: nn.Module) -> None:
    kind = type(module).__name__
    reader = read_by_parent(model).get(id(module))
    if reader is not None:
        raise ConfigError(
            f"{name!r}: the attention {reader!r} reads its weight without calling it, so it cannot be compressed. "
            "Leave it float."
        )
    if isinstance(module, nn.Embedding) and _shares(model, module):
        if module.max_norm is None:
            return
        raise ConfigError(f"{name!r} shares its weight and changes it (max_norm): it cannot be compressed.")
    if isinstance(module, QuantLayer):
        raise ConfigError(f"{name!r} is compressed already ({kind}). Apply the configuration to the float model.")
    if isinstance(module, SparseLayer):
        return
    if isinstance(module, COMPRESSIBLE) and "weight" not in module._parameters:
        raise ConfigError(
            f"{name!r}: its weight is computed by a parametrization or hook. Remove it (for instance "
            "torch.nn.utils.parametrize.remove_parametrizations) before compressing."
        )
    if isinstance(module, COMPRESSIBLE):
        _check_forward(name, module)
        return
    kinds = ", ".join(t.__name__ for t in COMPRESSIBLE)
    raise ConfigError(f"{name!r} must be one of {kinds} to be compressed, but is a {kind}. Leave it float.")


def _check_forward(name: str, module: nn.Module) -> None:
    """A forward that is not torch's must multiply by the weight in a call that compression can meet."""
    kind = type(module).__name__
    if "forward" in vars(module):
        raise ConfigError(
            f"{name!r}: the forward of this {kind} was replaced by another function, which compression cannot see "
            "into. Override it in a subclass, or leave the layer float."
        )
    weight = module.get_parameter("weight")
    if isinstance(weight, nn.UninitializedParameter):
        raise ConfigError(f"{name!r} is a {kind} without a shape as yet. Run the model once before compressing.")
    if not is_own(type(module), COMPRESSIBLE) or weight.is_meta:
        return
    try:
        own_call(module)
    except ConfigError as error:
        raise ConfigError(f"{name!r} is a {kind}, and {error} Leave it float.") from None


def _shares(model: nn.Module, module: nn.Module) -> bool:
    return any(isinstance(m, COMPRESSIBLE) for m in partners(model, module._parameters.get("weight")).values())


def uncompressible(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Name -> why `apply` would refuse it, for those of the named modules that it would refuse.

    Args:
        model: float.
        names: of modules with weights, such as `LayerGraph.modules`.
    """
    model = unwrapped(model)
    reasons: dict[str, str] = {}
    for name in names:
        try:
            for place, module in _together(model, name).items():
                _check_kind(place, module, model)
        except ConfigError as error:
            reasons[name] = str(error)
    return reasons


def uniform_config(model: nn.Module, choice: LayerChoice, keep_float: Iterable[str] = ()) -> CompressionConfig:
    """One choice for every layer that `apply` compresses.

    Args:
        model: float.
        choice: of each.
        keep_float: names and shell patterns of layers that stay float.

    Raises:
        ConfigError: a name or pattern matches no layer (the nearest is offered), or no layer is left.
    """
    inner = unwrapped(model)
    names = [name for name, module in inner.named_modules() if isinstance(module, COMPRESSIBLE)]
    kept = set(uncompressible(inner, names))
    for name in keep_float:
        met = [name] if name in names else [known for known in names if fnmatchcase(known, name)]
        if not met:
            raise ConfigError(matched_none(name, names, place="keep float"))
        kept.update(met)
    chosen = {name: choice for name in names if name not in kept}
    if not chosen:
        raise ConfigError(f"keep float: must leave a layer to compress, but all {len(names)} stay float.")
    return CompressionConfig(chosen)


def quantized_layers(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """(name, layer) of every compressed layer, each module once."""
    for name, module in unwrapped(model).named_modules():
        if isinstance(module, QuantLayer):
            yield name, module


def check_plain(layer: QuantLayer) -> None:
    """Raises:
    ConfigError: the forward is not torch's, so that the operands alone do not say what it computes.
    """
    if isinstance(layer, OwnForward):
        raise ConfigError(
            f"the forward of {layer.own.__name__} is its own, and its grids do not say what it computes. Use a "
            "plain layer, with padding and weight as they come out."
        )


def check_stored(name: str, layer: QuantLayer) -> None:
    """Raises:
    ConfigError: the quantized values cannot lie where the weight does: the forward would make another of them.
    """
    if isinstance(layer, OwnForward) and layer.computes_weight:
        raise ConfigError(
            f"{name!r}: the forward of {layer.own.__name__} multiplies by what it makes of its weight, so its "
            "codes cannot stand in its place. Leave it float, or export to ONNX."
        )
