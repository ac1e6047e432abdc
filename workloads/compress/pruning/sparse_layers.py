"""Layers with a mask in their state dict: drop-in for torch's, whatever trains them.

The mask multiplies the weight in the forward pass, so that a pruned weight is zero and gets no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hwmodel.errors import ConfigError, matched_none
from workloads.compress.replacing import mirrored, must_be_called, replace_modules
from workloads.compress.tied import partners
from workloads.wrappers import copied


class SparseLayer(nn.Module):
    """What the sparse layers share: `mask`, a bool buffer of the weight's shape, all true at first."""

    weight: Tensor
    mask: Tensor
    plain: type[nn.Module]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("mask", torch.ones(self.weight.shape, dtype=torch.bool, device=self.weight.device))
        must_be_called(self)

    def effective_weight(self) -> Tensor:
        """The weight that multiplies. The shape of `weight`."""
        return self.weight * self.mask

    @property
    def density(self) -> float:
        """Share of the weights that stay."""
        return float(self.mask.double().mean())

    @torch.no_grad()
    def to_dense(self) -> nn.Module:
        """A plain layer on the same parameters; pruned weights are set to zero."""
        self.weight.mul_(self.mask)
        dense = mirrored(self, self.plain)
        del dense._buffers["mask"]
        return dense

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, density={self.density:.3g}"


class SparseLinear(SparseLayer, nn.Linear):
    """A linear layer with a mask."""

    plain = nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.effective_weight(), self.bias)


class SparseConv1d(SparseLayer, nn.Conv1d):
    """A 1-D convolution with a mask."""

    plain = nn.Conv1d

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(x, self.effective_weight(), self.bias)
        return out


class SparseConv2d(SparseLayer, nn.Conv2d):
    """A 2-D convolution with a mask."""

    plain = nn.Conv2d

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(x, self.effective_weight(), self.bias)
        return out


class SparseConv3d(SparseLayer, nn.Conv3d):
    """A 3-D convolution with a mask."""

    plain = nn.Conv3d

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(x, self.effective_weight(), self.bias)
        return out


SPARSE: dict[type[nn.Module], type[SparseLayer]] = {
    cls.plain: cls for cls in (SparseLinear, SparseConv1d, SparseConv2d, SparseConv3d)
}


def to_sparse(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the model in which the named layers are sparse, with these masks, and all that share their weight.

    Args:
        model: not changed.
        masks: module name -> bool, broadcastable to the weight.

    Raises:
        ConfigError: a name is no plain convolution or linear layer, or a mask does not fit.
    """
    result = copied(model)
    replacements: dict[nn.Module, nn.Module] = {}
    for name, mask in masks.items():
        layer = _sparse(name, result, mask)
        replacements[result.get_submodule(name)] = layer
        for partner, other in partners(result, layer.weight).items():
            if type(other) in SPARSE and other not in replacements:
                replacements[other] = _sparse(partner, result, masks.get(partner, mask))
    return replace_modules(result, replacements)


def _sparse(name: str, model: nn.Module, mask: Tensor) -> SparseLayer:
    modules = dict(model.named_modules())
    module = modules.get(name)
    if type(module) not in SPARSE or module is None:
        known = [key for key, value in modules.items() if type(value) in SPARSE]
        raise ConfigError(matched_none(name, known, "plain convolutions and linear layers"))
    layer = must_be_called(mirrored(module, SPARSE[type(module)]))
    check_fits(name, mask, layer.weight)
    full = mask.to(device=layer.weight.device, dtype=torch.bool).expand_as(layer.weight)
    layer.register_buffer("mask", full.clone())
    return layer


def check_fits(name: str, mask: Tensor, weight: Tensor) -> None:
    """A mask must broadcast to its weight.

    Raises:
        ConfigError: it does not.
    """
    fits = mask.dim() == weight.dim() and all(m in (1, w) for m, w in zip(mask.shape, weight.shape, strict=True))
    if not fits:
        raise ConfigError(
            f"{name!r}: the mask must broadcast to the weight {tuple(weight.shape)}, but is {tuple(mask.shape)}"
        )
