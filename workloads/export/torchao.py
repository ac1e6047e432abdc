"""A configuration as torchao's `FqnToConfig`: module name -> configuration, in torchao's own JSON form.

    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_
    quantize_(model, config_from_dict(json.load(open("torchao.json"))), filter_fn=None)

torchao has integer weights of 1 to 8 bits, alone (`IntxWeightOnlyConfig`) or under inputs quantized to 8 bits on
the fly (`Int8DynamicActivationIntxWeightConfig`), both of linear layers. It ranges weights anew, by output channel.
What it has no configuration for is left out, and said.

Source: torchao 0.18, `torchao.core.config`, `torchao.quantization.quant_api`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.config import CompressionConfig, LayerChoice

if TYPE_CHECKING:
    from torch import nn

MAX_BITS = 8
_INPUT_BITS = 8
_VERSION = 2  # of the two layer configurations
_AFFINE = ("affine", "minmax")


@dataclass(frozen=True, kw_only=True)
class TorchaoConfig:
    """What torchao reads, and what it cannot hold.

    Attributes:
        data: JSON of a `FqnToConfig`.
        left_out: module -> what of its choice is not in `data`, and why.
    """

    data: dict[str, Any]
    left_out: dict[str, str]


def torchao_config(config: CompressionConfig, *, linear: Collection[str] | None = None) -> TorchaoConfig:
    """Write a configuration in torchao's form.

    Args:
        config: the bits.
        linear: names of the linear layers, the only ones that torchao quantizes; None takes every layer for one.
    """
    entries: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, choice in config.layers.items():
        reasons = []
        entry = None
        is_linear = linear is None or name in linear
        if choice.w_bits != FLOAT_BITS and not is_linear:
            reasons.append(f"weights of {choice.w_bits} bits: torchao's integers are of linear layers")
        elif choice.w_bits != FLOAT_BITS and (choice.w_bits or 0) > MAX_BITS:
            reasons.append(f"weights of {choice.w_bits} bits: torchao has 1 to {MAX_BITS}")
        elif choice.w_bits != FLOAT_BITS:
            entry = _dynamic(choice) if choice.a_bits == _INPUT_BITS else _weight_only(choice)
        if choice.a_bits != FLOAT_BITS and (entry is None or choice.a_bits != _INPUT_BITS):
            reasons.append(
                f"inputs of {choice.a_bits} bits: torchao quantizes inputs of linear layers with integer weights, "
                f"to {_INPUT_BITS}"
            )
        if choice.density < 1:
            reasons.append(f"density {choice.density:g}: prune the weights before torchao quantizes them")
        entries[name] = entry
        if reasons:
            left_out[name] = "; ".join(reasons)
    entries["_default"] = None
    return TorchaoConfig(data=_object("FqnToConfig", 1, fqn_to_config=entries), left_out=left_out)


def linear_names(model: nn.Module) -> list[str]:
    """Names of the linear layers of a model."""
    from torch import nn

    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def _weight_only(choice: LayerChoice) -> dict[str, Any]:
    return _object(
        "IntxWeightOnlyConfig", _VERSION,
        weight_dtype=_dtype(choice), granularity=_PER_CHANNEL, mapping_type=_mapping(choice),
    )  # fmt: skip


def _dynamic(choice: LayerChoice) -> dict[str, Any]:
    return _object(
        "Int8DynamicActivationIntxWeightConfig", _VERSION,
        weight_dtype=_dtype(choice), weight_granularity=_PER_CHANNEL, weight_mapping_type=_mapping(choice),
    )  # fmt: skip


def _object(kind: str, version: int, **data: Any) -> dict[str, Any]:
    return {"_type": kind, "_version": version, "_data": data}


def _dtype(choice: LayerChoice) -> dict[str, str]:
    return {"_type": "torch.dtype", "_data": f"int{choice.w_bits}"}


def _mapping(choice: LayerChoice) -> dict[str, str]:
    return {"_type": "MappingType", "_data": "ASYMMETRIC" if choice.quantizer in _AFFINE else "SYMMETRIC"}


_PER_CHANNEL = _object("PerAxis", 1, axis=0)
