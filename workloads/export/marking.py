"""A copy of a compressed model whose quantizers are marks: places that survive torch's exporter untouched.

The exporter folds batch norms, constants and decompositions as it likes; a mark is an op that it does not
know, so nothing is folded across it. In the exported graph every mark is a node of its own, with the name
of its layer, and the writers of the formats put their quantizer there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.grid import Grid
from workloads.compress.layers import QuantLayer
from workloads.compress.transform import quantized_layers
from workloads.wrappers import copied

MARK_DOMAIN, MARK_OP = "hwmodel.export", "Mark"
WEIGHT, INPUT = "weight", "input"


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightSite:
    """A weight on a grid.

    Attributes:
        module: name of its layer.
        grid: its values and codes; `axis` is 0 or None.
        bits: of a code [bit].
        codes: int32, the shape of the weight. Where 0 is on the grid, a pruned weight has its code.
        kept: bool, the shape of the weight, where a pruned weight is 0 off the grid; else None.
        value: what multiplies, float32: `effective_weight`.
    """

    module: str
    grid: Grid
    bits: int
    codes: Tensor
    kept: Tensor | None
    value: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class InputSite:
    """An input on a grid.

    Attributes:
        module: name of its layer.
        grid: its values and codes.
        bits: of a code [bit].
    """

    module: str
    grid: Grid
    bits: int


def weight_site(module: str, layer: QuantLayer) -> WeightSite | None:
    """The weight of a layer as codes; None where it stays float.

    Args:
        module: its name, for errors.
        layer: of `apply`.

    Raises:
        ConfigError: the layer was removed (0 bits).
    """
    bits = _width(module, layer.weight_quantizer, "w_bits")
    if bits == FLOAT_BITS:
        return None
    with torch.no_grad():
        grid, codes, kept = layer.weight_codes()
        value = grid.values(codes)
        value = value if kept is None else value * kept
    return WeightSite(module=module, grid=grid, bits=bits, codes=codes, kept=kept, value=value.float())


def input_site(module: str, layer: QuantLayer) -> InputSite | None:
    """The input of a layer; None where it stays float.

    Raises:
        ConfigError: not calibrated, or the layer was removed (0 bits).
    """
    bits = _width(module, layer.input_quantizer, "a_bits")
    if bits == FLOAT_BITS:
        return None
    try:
        grid = layer.input_grid()
    except ConfigError as error:
        raise ConfigError(f"{module!r}: {error}") from None
    return InputSite(module=module, grid=grid, bits=bits)


def _width(module: str, quantizer: nn.Module | None, name: str) -> int:
    bits = FLOAT_BITS if quantizer is None else int(quantizer.get_buffer("bits"))
    if bits == 0:
        raise ConfigError(f"{module!r} has {name}=0: it is removed. Take it out of the model before exporting.")
    return bits


class Mark(nn.Module):
    """Stands where a quantizer was, and is as wide."""

    def __init__(self, text: str, bits: int) -> None:
        super().__init__()
        self.text = text
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.onnx.ops.symbolic(
            f"{MARK_DOMAIN}::{MARK_OP}", [x], attrs={"text": self.text}, dtype=x.dtype, shape=x.shape, version=1
        )
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkedModel:
    """A model with marks.

    Attributes:
        model: the copy, in eval mode, on the CPU; its weights are the effective ones.
        weights, inputs: what stood at each mark, by the name of its layer.
    """

    model: nn.Module
    weights: dict[str, WeightSite]
    inputs: dict[str, InputSite]


def text_of(kind: str, module: str) -> str:
    """The text on a mark."""
    return f"{kind}:{module}"


def mark_model(qmodel: nn.Module) -> MarkedModel:
    """Replace every quantizer of a copy by a mark, and bake masks and codes into the weights.

    Args:
        qmodel: of `apply`, calibrated or trained; a model without compressed layers is copied.

    Raises:
        ConfigError: an input quantizer has no range yet, or a layer was removed (0 bits).
    """
    model = copied(qmodel).cpu().eval()
    marked = MarkedModel(model=model, weights={}, inputs={})
    for name, layer in quantized_layers(model):
        _mark_layer(marked, name, layer)
    return marked


def _mark_layer(marked: MarkedModel, name: str, layer: QuantLayer) -> None:
    weight, stream = weight_site(name, layer), input_site(name, layer)
    with torch.no_grad():
        bias = layer.effective_bias()
        value = layer.effective_weight().detach().clone() if weight is None else weight.value
        layer.weight = nn.Parameter(value, requires_grad=False)
        if bias is not None:
            layer.register_parameter("bias", nn.Parameter(bias.detach().clone(), requires_grad=False))
    layer.mask = None
    marks: dict[str, Mark | None] = {"weight_quantizer": None, "input_quantizer": None}
    if weight is not None:
        marked.weights[name] = weight
        marks["weight_quantizer"] = Mark(text_of(WEIGHT, name), weight.bits)
    if stream is not None:
        marked.inputs[name] = stream
        marks["input_quantizer"] = Mark(text_of(INPUT, name), stream.bits)
    for attribute, mark in marks.items():
        setattr(layer, attribute, mark)
