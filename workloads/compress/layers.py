"""Convolutions and linear layers that quantize their input and weight and hold a mask.

They are ordinary subclasses of torch's layers: the weight and bias keep their names in the state
dict, and what trains a `Conv2d` trains a `QuantConv2d`.

Order of operations: weight -> quantizer -> mask, so a pruned weight is exactly zero on any grid.
A pruned *filter* gives a zero output channel, its own bias included; a batch norm behind it still
adds its shift.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hwmodel.errors import ConfigError, matched_none
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.config import MAX_QUANTIZED_BITS, CompressionConfig, LayerChoice
from workloads.compress.grid import Grid, along
from workloads.compress.own_forward import Met, Operands, called_with, is_own, own_call
from workloads.compress.patterns import expand, is_pattern
from workloads.compress.prune import build_mask
from workloads.compress.quantizers import (
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
        weight = self.called_weight().detach()
        if (choice.a_bits or 32) <= MAX_QUANTIZED_BITS:
            self.input_quantizer = activation_quantizer(choice).to(**place).train(self.training)
        if (choice.w_bits or 32) <= MAX_QUANTIZED_BITS:
            self.weight_quantizer = weight_quantizer(choice, weight).to(**place).train(self.training)
        self.register_buffer("mask", build_mask(weight, choice, groups))
        self.pattern = choice.pattern
        self.initialise()
        return must_be_called(self)

    def _place(self) -> dict[str, Any]:
        """Device and number format of the grids: the weight's, but at least 32 bits."""
        return {"device": self.weight.device, "dtype": torch.promote_types(self.weight.dtype, torch.float32)}

    def initialise(self) -> None:
        """Start the weight's grid anew from the weight as it is now."""
        if self.weight_quantizer is not None:
            weight = self.called_weight().detach()
            self.weight_quantizer.draw_once(weight)
            self.weight_quantizer.initialise(weight, self.mask)

    def set_bits(self, *, w_bits: int, a_bits: int) -> None:
        """Change the widths in place; `workloads.compress.set_bits` does so for a whole model.

        The weight's grid starts anew from the weight, the input's from what its last calibration saw.

        Args:
            w_bits, a_bits: 0..16 or 32. 0 bits make the operand 0: the layer is removed. 32 is float.

        Raises:
            ConfigError: other widths.
        """
        place, weight = self._place(), self.called_weight().detach()
        if self.weight_quantizer is None and check_width(w_bits) != FLOAT_BITS:
            self.weight_quantizer = weight_quantizer(self.choice, weight).to(**place).train(self.training)
        if self.input_quantizer is None and check_width(a_bits) != FLOAT_BITS:
            self.input_quantizer = activation_quantizer(self.choice).to(**place).train(self.training)
        if self.weight_quantizer is not None:
            self.weight_quantizer.draw_once(weight)
            self.weight_quantizer.set_bits(w_bits, weight, self.mask)
        if self.input_quantizer is not None:
            self.input_quantizer.set_bits(a_bits)

    def weight_grid(self) -> Grid:
        """Values and codes of the weight; a pruned weight is 0 on any grid.

        Raises:
            ConfigError: the weight is float.
        """
        if self.weight_quantizer is None:
            raise ConfigError("the weight of this layer is float: it has no grid")
        return self.weight_quantizer.grid(self.called_weight())

    @torch.no_grad()
    def weight_codes(self) -> tuple[Grid, Tensor, Tensor | None]:
        """(grid, codes of the weight as int32, which weights are kept), of the weight's shape.

        Where 0 is on the grid, a pruned weight has its code and the last is None; it is None without a mask too.

        Raises:
            ConfigError: the weight is float.
        """
        grid = self.weight_grid()
        codes = grid.codes(self.called_weight())
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

    def called_weight(self) -> Tensor:
        """What is quantized and masked: the weight, or what the layer's own forward makes of it. Its shape."""
        return self.weight

    def settle(self, value: Tensor) -> None:
        """From now on `value` multiplies, quantized and masked if there is more of it. The shape of `weight`."""
        self.weight = nn.Parameter(value, requires_grad=False)

    def effective_weight(self) -> Tensor:
        """The weight that multiplies: quantized, then masked. The shape of `weight`."""
        return self._compressed(self.called_weight())

    def _compressed(self, weight: Tensor) -> Tensor:
        weight = weight if self.weight_quantizer is None else self.weight_quantizer(weight)
        return weight if self.mask is None else weight * self.mask

    def effective_bias(self) -> Tensor | None:
        """The bias, zero where the filter is pruned. (K,)."""
        return self._pruned_bias(getattr(self, "bias", None))

    def _pruned_bias(self, bias: Tensor | None) -> Tensor | None:
        if bias is None or self.mask is None or self.pattern != "filter":
            return bias
        return bias * self.mask.flatten(1).any(1)

    def effective_input(self, x: Tensor) -> Tensor:
        """The input that is multiplied. The shape and type of `x`; the grid is computed in at least 32 bits."""
        if self.input_quantizer is None:
            return x
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


class OwnForward(QuantLayer):
    """A compressed layer that runs the forward of its float class, see `workloads.compress.own_forward`.

    `settled`: the weight is final, and multiplies in the place of what the forward makes of it.
    """

    own: ClassVar[type[nn.Module]]
    computes_weight: bool
    settled: bool = False

    def called_weight(self) -> Tensor:
        return self.weight if self.settled else called_with(self, self.own.forward)

    def settle(self, value: Tensor) -> None:
        super().settle(value)
        self.settled = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with Met(self.weight.shape, self._operands):
            return self.own.forward(self, *args, **kwargs)

    def _operands(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Operands:
        weight = self.weight if self.settled else weight
        return self.effective_input(x), self._compressed(weight), self._pruned_bias(bias)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (
            _empty,
            (self.own,),
            {key: value for key, value in vars(self).items() if key != "_compiled_call_impl"},
        )


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


#: Float class with a forward of its own -> its compressed class.
_OWN_KINDS: dict[type[nn.Module], type[QuantLayer]] = {}


def _kind_of(own: type[nn.Module]) -> type[QuantLayer]:
    """The compressed class of a float one; of a subclass with a forward of its own, one that runs it.

    Raises:
        TypeError: no convolution or linear layer.
    """
    base = next((kind for kind in COMPRESSIBLE if issubclass(own, kind)), None)
    if base is None:
        raise TypeError(f"no compressed counterpart of {own.__name__}")
    kind: type[QuantLayer] = QuantLinear if base is nn.Linear else CONVOLUTIONS[base]
    if not is_own(own, COMPRESSIBLE):
        return kind
    if own not in _OWN_KINDS:
        bases: tuple[type[Any], ...] = (OwnForward, kind, own)
        _OWN_KINDS[own] = type(f"Quant{own.__name__}", bases, {"own": own, "__doc__": OwnForward.__doc__})
    return _OWN_KINDS[own]


def _empty(own: type[nn.Module]) -> nn.Module:
    """A compressed layer before its state, for `pickle` and `copy`."""
    kind = _kind_of(own)
    return kind.__new__(kind)


def from_float(module: nn.Module, choice: LayerChoice) -> QuantLayer:
    """The compressed counterpart of a convolution or linear layer; it takes over weight, bias, buffers and hooks.

    Args:
        module: a Conv1d, Conv2d, Conv3d or Linear, or of a subclass that `own_call` understands.
        choice: bits, density, quantizer.

    Raises:
        ConfigError: the pattern does not fit the weight, it is on the meta device, or its own forward does not
            multiply by its weight once.
        TypeError: another kind of module.
    """
    kind = _kind_of(type(module))
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        raise ConfigError(
            "it is on the meta device and has no values to set grids or masks from. Load it on the CPU; for bits "
            "and sizes alone annotate the graph: config.annotate(trace(model, x))."
        )
    layer: QuantLayer = mirrored(module, kind)
    if isinstance(layer, OwnForward):
        layer.computes_weight = own_call(module).computes_weight
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
