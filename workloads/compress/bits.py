"""`set_bits`: other bit-widths in a model that is compressed already."""

from __future__ import annotations

from torch import nn

from hwmodel.errors import ConfigError
from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.layers import QuantLayer, named_choices
from workloads.compress.tied import TiedEmbedding, partners
from workloads.wrappers import unwrapped

_FIXED = ("density", "pattern", "keep_channels", "quantizer", "granularity", "observer", "rounding")


def set_bits(model: nn.Module, config: CompressionConfig) -> None:
    """Change the bit-widths of a model of `apply`. In place, without rebuilding or recompiling it.

    Weight grids start anew from the weights, activation grids from what the last calibration saw. After
    `calibrate` the model computes what a fresh `apply` of this configuration would. Layers that were
    compressed but are left out become float.

    Args:
        model: of `apply`, in `torch.compile` or a data-parallel wrapper or not.
        config: the same layers (by name or shell pattern) and the same choices but for `w_bits` and `a_bits`.

    Raises:
        ConfigError: a name matches no layer, `apply` left the layer float, or something else than bits differs.
            The model is not changed then.
    """
    plain = unwrapped(model)
    choices: dict[int, LayerChoice] = {}
    for name, choice in named_choices(plain, config, (QuantLayer,)).items():
        layer = plain.get_submodule(name)
        if isinstance(layer, TiedEmbedding):
            layer = layer.owner
        if isinstance(layer, QuantLayer):
            _check_fixed(name, layer.choice, choice)
            for partner in partners(plain, layer.weight).values():
                if choices.setdefault(id(partner), choice) != choice:
                    raise ConfigError(f"{name!r} shares its weight with a layer that is given another choice")
        elif not choice.is_float:
            raise ConfigError(
                f"{name!r} was left float by `apply`: it has no quantizers to set. Apply a configuration that "
                "quantizes it, at any width."
            )
    for layer in plain.modules():
        if isinstance(layer, QuantLayer):
            choice = choices.get(id(layer), LayerChoice())
            layer.set_bits(w_bits=choice.w_bits or FLOAT_BITS, a_bits=choice.a_bits or FLOAT_BITS)


def _check_fixed(name: str, built: LayerChoice, choice: LayerChoice) -> None:
    is_float = choice.w_bits == choice.a_bits == FLOAT_BITS
    for field in _FIXED[:3] if is_float else _FIXED:
        old, new = getattr(built, field), getattr(choice, field)
        if old != new:
            raise ConfigError(
                f"{name!r}: set_bits changes bits only, but {field} is {old!r} in the model and {new!r} in the "
                "configuration. Apply the configuration to the float model."
            )
