"""Convolutions and linear layers that quantize their input and weight and hold a mask.

They are ordinary subclasses of torch's layers: the weight and bias keep their names in the state
dict, and what trains a `Conv2d` trains a `QuantConv2d`.

Order of operations: weight -> quantizer -> mask, so a pruned weight is exactly zero on any grid.
A pruned *filter* gives a zero output channel, its own bias included; a batch norm behind it still
adds its shift.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hwmodel.errors import ConfigError, matched_none
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.config import MAX_QUANTIZED_BITS, CompressionConfig, LayerChoice
from workloads.compress.grid import Grid, along
from workloads.compress.patterns import expand, is_pattern
from workloads.compress.prune import build_mask
from workloads.compress.quantizers import (
    HALF,
    ActivationQuantizer,
    WeightQuantizer,
    activation_quantizer,
    check_width,
    weight_quantizer,
)
from workloads.compress.replacing import mirrored, must_be_called


class QuantLayer(nn.Module):
    """What the four layers share: `input_quantizer`, `weight_quantizer` and `mask`, each None where unused.

    `choice` is what the layer was built with; its bits may have been changed since by `set_bits`.
    """

    weight: Tensor
    mask: Tensor | None
    pattern: str
    input_quantizer: ActivationQuantizer | None
    weight_quantizer: WeightQuantizer | None
    choice: LayerChoice

    def compress(self, choice: LayerChoice, groups: int = 1) -> Self:
        """Set mask and quantizers from the weight as it is now.

        Args:
            choice: what to do.
            groups: of the convolution.

        Raises:
            ConfigError: the pattern does not fit the weight.
        """
        place = self._place()
        self.choice = choice
        self.input_quantizer = self.weight_quantizer = None
        if (choice.a_bits or 32) <= MAX_QUANTIZED_BITS:
            self.input_quantizer = activation_quantizer(choice).to(**place).train(self.training)
        if (choice.w_bits or 32) <= MAX_QUANTIZED_BITS:
            self.weight_quantizer = weight_quantizer(choice, self.weight).to(**place).train(self.training)
        self.register_buffer("mask", build_mask(self.weight, choice, groups))
        self.pattern = choice.pattern
        self.initialise()
        return must_be_called(self)

    def _place(self) -> dict[str, Any]:
        """Device and number format of the grids: the weight's, but at least 32 bits."""
        return {"device": self.weight.device, "dtype": torch.promote_types(self.weight.dtype, torch.float32)}

    def initialise(self) -> None:
        """Start the weight's grid anew from the weight as it is now."""
        if self.weight_quantizer is not None:
            self.weight_quantizer.draw_once(self.weight)
            self.weight_quantizer.initialise(self.weight, self.mask)

    def set_bits(self, *, w_bits: int, a_bits: int) -> None:
        """Change the widths in place; `workloads.compress.set_bits` does so for a whole model.

        The weight's grid starts anew from the weight, the input's from what its last calibration saw.

        Args:
            w_bits, a_bits: 0..16 or 32. 0 bits make the operand 0: the layer is removed. 32 is float.

        Raises:
            ConfigError: other widths.
        """
        place = self._place()
        if self.weight_quantizer is None and check_width(w_bits) != FLOAT_BITS:
            self.weight_quantizer = weight_quantizer(self.choice, self.weight).to(**place).train(self.training)
        if self.input_quantizer is None and check_width(a_bits) != FLOAT_BITS:
            self.input_quantizer = activation_quantizer(self.choice).to(**place).train(self.training)
        if self.weight_quantizer is not None:
            self.weight_quantizer.draw_once(self.weight)
            self.weight_quantizer.set_bits(w_bits, self.weight, self.mask)
        if self.input_quantizer is not None:
            self.input_quantizer.set_bits(a_bits)

    def weight_grid(self) -> Grid:
        """Values and codes of the weight; a pruned weight is 0 on any grid.

        Raises:
            ConfigError: the weight is float.
        """
        if self.weight_quantizer is None:
            raise ConfigError("the weight of this layer is float: it has no grid")
        return self.weight_quantizer.grid(self.weight)

    @torch.no_grad()
    def weight_codes(self) -> tuple[Grid, Tensor, Tensor | None]:
        """(grid, codes of the weight as int32, which weights are kept), of the weight's shape.

        Where 0 is on the grid, a pruned weight has its code and the last is None; it is None without a mask too.

        Raises:
            ConfigError: the weight is float.
        """
        grid = self.weight_grid()
        codes = grid.codes(self.weight)
        if self.mask is None:
            return grid, codes, None
        kept = self.mask.expand_as(codes)
        if grid.zero_point is None:
            return grid, codes, kept.clone()
        zero = along(grid.zero_point, grid.axis, codes.dim()).to(codes.dtype)
        return grid, torch.where(kept, codes, zero), None

    def input_grid(self) -> Grid:
        """Values and codes of the input.

        Raises:
            ConfigError: the input is float, or not calibrated.
        """
        if self.input_quantizer is None:
            raise ConfigError("the input of this layer is float: it has no grid")
        return replace(self.input_quantizer.grid(), dtype=self.weight.dtype)

    def effective_weight(self) -> Tensor:
        """The weight that multiplies: quantized, then masked. The shape of `weight`."""
        weight = self.weight if self.weight_quantizer is None else self.weight_quantizer(self.weight)
        return weight if self.mask is None else weight * self.mask

    def effective_bias(self) -> Tensor | None:
        """The bias, zero where the filter is pruned. (K,)."""
        bias: Tensor | None = getattr(self, "bias", None)
        if bias is None or self.mask is None or self.pattern != "filter":
            return bias
        return bias * self.mask.flatten(1).any(1)

    def effective_input(self, x: Tensor) -> Tensor:
        """The input that is multiplied. The shape of `x`.

        Under autocast the grid is computed in 32 bits: bfloat16 has no room for 8-bit codes and their fractions.
        """
        if self.input_quantizer is None:
            return x
        if x.dtype in HALF and torch.is_autocast_enabled(x.device.type):
            x = x.float()
        out: Tensor = self.input_quantizer(x)
        return out


class QuantLinear(QuantLayer, nn.Linear):
    """A linear layer with quantized operands and a mask."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(self.effective_input(x), self.effective_weight(), self.effective_bias())


class QuantConv1d(QuantLayer, nn.Conv1d):
    """A 1-D convolution with quantized operands and a mask."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(self.effective_input(x), self.effective_weight(), self.effective_bias())
        return out


class QuantConv2d(QuantLayer, nn.Conv2d):
    """A 2-D convolution with quantized operands and a mask."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(self.effective_input(x), self.effective_weight(), self.effective_bias())
        return out


class QuantConv3d(QuantLayer, nn.Conv3d):
    """A 3-D convolution with quantized operands and a mask."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(self.effective_input(x), self.effective_weight(), self.effective_bias())
        return out


CONVOLUTIONS: dict[type[nn.Module], type[QuantConv1d | QuantConv2d | QuantConv3d]] = {
    nn.Conv1d: QuantConv1d,
    nn.Conv2d: QuantConv2d,
    nn.Conv3d: QuantConv3d,
}
COMPRESSIBLE: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS)
#: What a pattern meets: a configuration that prices them must also be told that they stay float.
WITH_WEIGHTS: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.modules.conv._ConvNd, nn.Bilinear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention,
)  # fmt: skip


def from_float(module: nn.Module, choice: LayerChoice) -> QuantLayer:
    """The compressed counterpart of a convolution or linear layer; it takes over weight, bias, buffers and hooks.

    Args:
        module: exactly Conv1d, Conv2d, Conv3d or Linear.
        choice: bits, density, quantizer.

    Raises:
        ConfigError: the pattern does not fit the weight, or it is on the meta device.
        TypeError: another kind of module.
    """
    kind = QuantLinear if isinstance(module, nn.Linear) else CONVOLUTIONS.get(type(module))
    if kind is None:
        raise TypeError(f"no compressed counterpart of {type(module).__name__}")
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        raise ConfigError(
            "it is on the meta device and has no values to set grids or masks from. Load it on the CPU; for bits "
            "and sizes alone annotate the graph: config.annotate(trace(model, x))."
        )
    layer: QuantLayer = mirrored(module, kind)
    return layer.compress(choice, getattr(module, "groups", 1))


def convolution_arguments(module: Any) -> dict[str, Any]:
    """What a convolution's constructor was given."""
    names = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode",
    )  # fmt: skip
    return {**{name: getattr(module, name) for name in names}, "bias": module.bias is not None}


def named_choices(
    model: nn.Module, config: CompressionConfig, kinds: tuple[type[nn.Module], ...] = COMPRESSIBLE
) -> dict[str, LayerChoice]:
    """The choices with exact names for patterns.

    Args:
        model: without a wrapper.
        config: by name or shell pattern.
        kinds: of the layers that an unknown name may have meant.

    Raises:
        ConfigError: a name or pattern matches no module; the nearest is offered.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    known = [name for name, module in modules.items() if isinstance(module, WITH_WEIGHTS)]
    for name in config.layers:
        if name not in modules and not is_pattern(name):
            near = [n for n in known if isinstance(modules[n], kinds)]
            raise ConfigError(matched_none(name, near))
    return expand(config.layers, known, modules)
