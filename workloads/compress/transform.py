"""`apply`: the compressed copy of a model."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from torch import nn

from hwmodel.errors import ConfigError, matched_none
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.layers import CONVOLUTIONS, QuantLayer, from_float
from workloads.compress.pruning.sparse_layers import SparseLayer
from workloads.modules import put_module

COMPRESSIBLE: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS)


def apply(model: nn.Module, config: CompressionConfig) -> nn.Module:
    """A copy of the model in which the named layers are quantized and pruned.

    The argument is not changed. The copy is an ordinary `nn.Module`: it trains, deep-copies, moves
    between devices and saves its state dict like the original, under the same names. Layers left
    float by the configuration are copied as they are. Call `calibrate(copy, x)` to set the ranges of
    the activations from data; without it each range is taken from the first batch.

    A layer with a mask of its own (`SparseConv2d`) keeps it under the quantizer.

    A module used in several places is replaced in all of them. A module whose weight its parent uses
    without calling it (tied weights in a functional call, `MultiheadAttention`) cannot be reached:
    `calibrate` reports it.

    Args:
        model: in train or eval mode; on any device.
        config: choices by module name.

    Returns:
        The copy, in the same mode and on the same device.

    Raises:
        ConfigError: a name matches no module (the nearest is offered), the module is no convolution or
            linear layer, or a pattern does not fit its weight.
    """
    result = copy.deepcopy(model)
    chosen = _choices_by_module(result, config)
    for name, module in list(result.named_modules(remove_duplicate=False)):
        if id(module) not in chosen:
            continue
        first_name, choice = chosen[id(module)]
        if isinstance(choice, LayerChoice):
            try:
                choice = _compressed(module, choice)
            except ConfigError as error:
                raise ConfigError(f"{first_name!r}: {error}") from None
            chosen[id(module)] = (first_name, choice)
        result = put_module(result, name, choice)
    return result


def _compressed(module: nn.Module, choice: LayerChoice) -> QuantLayer:
    """The compressed layer; the mask of a sparse one stays in force beside the choice's own."""
    if not isinstance(module, SparseLayer):
        return from_float(module, choice)
    layer = from_float(module.to_dense(), choice)
    layer.mask = module.mask if layer.mask is None else layer.mask & module.mask
    layer.initialise()
    return layer


def _choices_by_module(
    model: nn.Module, config: CompressionConfig
) -> dict[int, tuple[str, LayerChoice | QuantLayer]]:
    """id(module) -> (first name, choice), checked; float choices are left out."""
    modules = dict(model.named_modules(remove_duplicate=False))
    first: dict[int, tuple[str, LayerChoice]] = {}
    for name, choice in config.layers.items():
        if name not in modules:
            known = [n for n, m in modules.items() if isinstance(m, COMPRESSIBLE)]
            raise ConfigError(matched_none(name, known))
        module = modules[name]
        if not choice.is_float:
            _check_kind(name, module)
        other = first.setdefault(id(module), (name, choice))
        if other[1] != choice:
            raise ConfigError(f"{name!r} and {other[0]!r} are one module, but are given different choices")
    return {key: (name, choice) for key, (name, choice) in first.items() if not choice.is_float}


def _check_kind(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if isinstance(module, QuantLayer):
        raise ConfigError(f"{name!r} is compressed already ({kind}). Apply the configuration to the float model.")
    if isinstance(module, SparseLayer):
        return
    if isinstance(module, COMPRESSIBLE) and "weight" not in module._parameters:
        raise ConfigError(
            f"{name!r}: its weight is computed by a parametrization or hook. Remove it (for instance "
            "torch.nn.utils.parametrize.remove_parametrizations) before compressing."
        )
    if type(module) in COMPRESSIBLE:
        return
    if isinstance(module, COMPRESSIBLE):
        raise ConfigError(
            f"{name!r} is a {kind}, whose own forward compression would replace. Use a plain "
            f"{', '.join(t.__name__ for t in COMPRESSIBLE)}, or leave it float."
        )
    kinds = ", ".join(t.__name__ for t in COMPRESSIBLE)
    raise ConfigError(f"{name!r} must be one of {kinds} to be compressed, but is a {kind}. Leave it float.")


def uncompressible(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Name -> why `apply` would refuse it, for those of the named modules that it would refuse.

    Args:
        model: float.
        names: of modules with weights, such as `LayerGraph.modules`.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    reasons: dict[str, str] = {}
    for name in names:
        try:
            _check_kind(name, modules[name])
        except ConfigError as error:
            reasons[name] = str(error)
    return reasons


def quantized_layers(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """(name, layer) of every compressed layer, each module once."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLayer):
            yield name, module
