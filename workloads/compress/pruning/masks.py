"""Masks of a whole model: global magnitudes, in and out of layers, from and to `torch.nn.utils.prune`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from hwmodel.errors import ConfigError, check_names
from workloads.compress.layers import QuantLayer
from workloads.compress.pruning.sparse_layers import SparseLayer, check_fits, to_sparse
from workloads.compress.replacing import replace_modules
from workloads.wrappers import copied

_WITH_WEIGHTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def weight_layers(model: nn.Module, names: Iterable[str] | None = None) -> dict[str, nn.Module]:
    """Name -> convolution or linear layer, plain, sparse or compressed; all of them, or the named ones.

    Raises:
        ConfigError: a name is none of them; the nearest is offered.
    """
    found: dict[str, nn.Module] = {
        name: module for name, module in model.named_modules() if isinstance(module, _WITH_WEIGHTS)
    }
    if names is None:
        return found
    wanted = list(names)
    check_names(wanted, found)
    return {name: found[name] for name in wanted}


def global_masks(weights: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    """Keep the largest magnitudes over all layers together; ties go to the earlier layer and lower index.

    Args:
        weights: name -> any shape, n elements in all.
        density: floor(n * density + 1/2) elements stay in all; a layer that would lose all of its weights
            keeps its largest, beyond that number.

    Returns:
        Name -> bool, the shape of the weight.

    Raises:
        ConfigError: no weights, or a density outside (0, 1].
    """
    if not weights or not 0 < density <= 1:
        raise ConfigError(
            f"global pruning needs weights and `0 < density <= 1`, but got {len(weights)}, {density!r}"
        )
    flat = torch.cat([weight.detach().abs().reshape(-1).double().cpu() for weight in weights.values()])
    kept = max(1, math.floor(flat.numel() * density + 0.5))
    mask = torch.zeros(flat.numel(), dtype=torch.bool)
    mask[torch.argsort(flat, descending=True, stable=True)[:kept]] = True
    masks, start = {}, 0
    for name, weight in weights.items():
        part = mask[start : start + weight.numel()]
        start += weight.numel()
        if not part.any():
            part[int(weight.detach().abs().reshape(-1).argmax())] = True
        masks[name] = part.reshape(weight.shape).to(weight.device)
    return masks


def global_densities(model: nn.Module, density: float, layers: Iterable[str] | None = None) -> dict[str, float]:
    """Density of every layer under `global_masks`, ready for `LayerChoice(density=...)`."""
    weights = {name: raw_weight(module) for name, module in weight_layers(model, layers).items()}
    return {name: float(mask.double().mean()) for name, mask in global_masks(weights, density).items()}


def raw_weight(module: nn.Module) -> Tensor:
    """The weight as it is trained."""
    weight: Tensor = module.weight  # type: ignore[assignment]  # of a convolution or linear layer
    return weight


def get_masks(model: nn.Module) -> dict[str, Tensor]:
    """Module name -> bool mask of the weight's shape, of sparse, compressed and `torch.nn.utils.prune`d layers."""
    masks = {}
    for name, module in weight_layers(model).items():
        mask = module._buffers.get("mask" if isinstance(module, QuantLayer | SparseLayer) else "weight_mask")
        if mask is not None:
            masks[name] = mask.detach().bool().expand_as(raw_weight(module)).clone()
    return masks


@torch.no_grad()
def set_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Put masks into sparse or compressed layers, in place of those that they have.

    Args:
        model: of `apply` or `to_sparse`.
        masks: module name -> bool, broadcastable to the weight.

    Raises:
        ConfigError: a name is no such layer, or a mask does not fit.
    """
    for name, mask in masks.items():
        module = weight_layers(model, [name])[name]
        if not isinstance(module, QuantLayer | SparseLayer):
            raise ConfigError(f"{name!r} is a plain {type(module).__name__} without a mask. Use to_sparse.")
        weight = raw_weight(module)
        check_fits(name, mask, weight)
        module.mask = mask.to(device=weight.device, dtype=torch.bool).expand_as(weight).clone()


def from_torch_prune(model: nn.Module) -> nn.Module:
    """A copy in which layers pruned by `torch.nn.utils.prune` are sparse layers; the hooks are gone."""
    result = copied(model)
    masks = {name: mask for name, mask in get_masks(result).items() if prune.is_pruned(result.get_submodule(name))}
    for name in masks:
        module = result.get_submodule(name)
        for parameter in [key.removesuffix("_mask") for key in module._buffers if key.endswith("_mask")]:
            prune.remove(module, parameter)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return to_sparse(result, masks)


def to_torch_prune(model: nn.Module) -> nn.Module:
    """A copy in which sparse layers are plain ones under `torch.nn.utils.prune`, as its functions leave them."""
    result = copied(model)
    replacements: dict[nn.Module, nn.Module] = {}
    for layer in result.modules():
        if isinstance(layer, SparseLayer):
            dense = layer.to_dense()
            prune.custom_from_mask(dense, "weight", layer.mask)  # type: ignore[no-untyped-call]
            replacements[layer] = dense
    return replace_modules(result, replacements)
