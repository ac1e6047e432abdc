"""Bits as the published mixed-precision searches write them: HAQ's list of pairs, HAWQ's dictionary of names.

HAQ: `[[w_bits, a_bits], ...]`, one pair per convolution and linear layer in the order of the modules; -1 is float.

HAWQ: `{"stage1.unit1.quant_act": 4, "stage1.unit1.quant_convbn1": 4, ...}`: weights of a layer, and the activation
that it reads. We write `layer1.0.quant_act_conv1` and `layer1.0.quant_conv1` for the module `layer1.0.conv1`. Both
these and HAWQ's own names are read, the latter by their order.

Sources: Wang et al., HAQ, CVPR 2019, and its `strategy` lists; Yao et al., HAWQ-V3, ICML 2021, `bit_config.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.errors import ConfigError, check_names, matched_none
from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import LayerGraph
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.patterns import expand, is_pattern

if TYPE_CHECKING:
    from torch import nn

HAQ_FLOAT = -1
_PAIR = 2
_ACT, _WEIGHT = "quant_act_", "quant_"


def layer_names(source: LayerGraph | nn.Module | Iterable[str]) -> list[str]:
    """Names of the layers with weights, in the order of HAQ's lists.

    Args:
        source: a model (the order of its modules, as HAQ has it), a graph (the order in which they run), or the
            names themselves.
    """
    if isinstance(source, LayerGraph):
        return list(dict.fromkeys(layer.module for layer in source.weight_layers))
    from torch import nn

    from workloads.compress.layers import COMPRESSIBLE

    if isinstance(source, nn.Module):  # first: nn.Sequential is iterable too
        return [name for name, module in source.named_modules() if isinstance(module, COMPRESSIBLE)]
    return list(source)


def haq_bits(config: CompressionConfig, names: Sequence[str]) -> list[list[int]]:
    """`[[w_bits, a_bits], ...]` of every layer; -1 is float.

    Args:
        config: the bits.
        names: every layer in order (`layer_names`); those that the configuration leaves out are float.

    Raises:
        ConfigError: the configuration names a layer that is not among them.
    """
    check_names((name for name in config.layers if not is_pattern(name)), names)
    return [[HAQ_FLOAT if bits == FLOAT_BITS else bits for bits in pair] for pair in _pairs(config, names)]


def config_from_haq(pairs: Iterable[Sequence[int]], names: Sequence[str], **options: Any) -> CompressionConfig:
    """A configuration from HAQ's list.

    Args:
        pairs: `[w_bits, a_bits]` per layer; -1 or 32 is float.
        names: every layer in order (`layer_names`).
        options: other fields of `LayerChoice`, for every layer.

    Raises:
        ConfigError: not one pair per layer, or a width out of its range; the message names the layer.
    """
    rows = [list(pair) if isinstance(pair, Iterable) else [pair] for pair in pairs]
    if len(rows) != len(names):
        raise ConfigError(
            f"a HAQ list must have one pair per layer: the model has {len(names)} ({_ends(names)}), but "
            f"the list has {len(rows)}"
        )
    layers = {}
    for index, (name, row) in enumerate(zip(names, rows, strict=True)):
        if len(row) != _PAIR:
            raise ConfigError(f"entry {index} ({name!r}) must be [w_bits, a_bits], but got {row!r}")
        layers[name] = _choice(name, *(FLOAT_BITS if _int(bits) == HAQ_FLOAT else bits for bits in row), **options)
    return CompressionConfig(layers)


def hawq_bits(config: CompressionConfig, names: Sequence[str]) -> dict[str, int]:
    """`{"layer1.0.quant_act_conv1": a_bits, "layer1.0.quant_conv1": w_bits, ...}`; 32 is float.

    Args:
        config, names: as in `haq_bits`.

    Raises:
        ConfigError: the configuration names a layer that is not among them.
    """
    check_names((name for name in config.layers if not is_pattern(name)), names)
    found: dict[str, int] = {}
    for name, (w_bits, a_bits) in zip(names, _pairs(config, names), strict=True):
        found[_key(name, _ACT)] = a_bits
        found[_key(name, _WEIGHT)] = w_bits
    return found


def config_from_hawq(bits: Mapping[str, int], names: Sequence[str], **options: Any) -> CompressionConfig:
    """A configuration from a dictionary of HAWQ or of `hawq_bits`.

    Names as `hawq_bits` writes them may be left out: float. HAWQ's own names are matched by order: weights one
    after the other, each with the activation named last before it (a shortcut with its unit's first one); sums
    (`..._int32`) have no place here.

    Args:
        bits: name -> bits.
        names: every layer in order (`layer_names`).
        options: other fields of `LayerChoice`, for every layer.

    Raises:
        ConfigError: a name is unknown, the numbers of layers differ, or a width is out of its range.
    """
    by_key = {_key(name, prefix): (name, prefix) for name in names for prefix in (_ACT, _WEIGHT)}
    unknown = [key for key in bits if key not in by_key]
    if len(unknown) == len(bits) or any(_is_published(key) for key in unknown):
        return _by_order(bits, names, **options)
    if unknown:
        raise ConfigError(matched_none(unknown[0], by_key, "names of quantizers"))
    layers = {}
    for name in names:
        keys = [_key(name, prefix) for prefix in (_WEIGHT, _ACT)]
        if any(key in bits for key in keys):
            layers[name] = _choice(name, *(bits.get(key, FLOAT_BITS) for key in keys), **options)
    return CompressionConfig(layers)


def _by_order(bits: Mapping[str, int], names: Sequence[str], **options: Any) -> CompressionConfig:
    pairs: list[tuple[str, int, int]] = []
    activations: dict[str, int] = {}
    last = FLOAT_BITS
    for key, value in bits.items():
        unit, _, part = key.rpartition(".")
        if part.endswith("int32"):
            continue
        if part.startswith(("quant_act", "quant_input")):
            last = activations[key] = value
        elif part.startswith(_WEIGHT):
            own = activations.get(f"{unit}.quant_act", last) if "identity" in part else last
            pairs.append((key, value, own))
        else:
            raise ConfigError(f"{key!r} is no name of HAWQ: its last part must start with 'quant_'")
    if len(pairs) != len(names):
        raise ConfigError(
            f"a HAWQ dictionary must name one weight per layer: the model has {len(names)} ({_ends(names)}), but "
            f"it names {len(pairs)} ({_ends([key for key, _, _ in pairs])})"
        )
    return CompressionConfig({
        name: _choice(f"{name} ({key})", w_bits, a_bits, **options)
        for name, (key, w_bits, a_bits) in zip(names, pairs, strict=True)
    })  # fmt: skip


def _is_published(key: str) -> bool:
    part = key.rpartition(".")[2]
    return part.startswith(("quant_input", "quant_init_block", "quant_convbn")) or part.endswith("int32")


def _choice(name: str, w_bits: int, a_bits: int, **options: Any) -> LayerChoice:
    try:
        return LayerChoice(w_bits=_int(w_bits), a_bits=_int(a_bits), **options)
    except ConfigError as error:
        raise ConfigError(f"{name!r}: {error}") from None


def _int(value: Any) -> Any:
    """A plain integer from one of NumPy's or a whole float; anything else as it is, for the error behind."""
    number = value.item() if hasattr(value, "item") else value
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _pairs(config: CompressionConfig, names: Sequence[str]) -> list[tuple[int, int]]:
    known = expand(config.layers, names, names)
    choices = [known.get(name, LayerChoice()) for name in names]
    return [(choice.w_bits or FLOAT_BITS, choice.a_bits or FLOAT_BITS) for choice in choices]


def _key(name: str, prefix: str) -> str:
    parent, dot, child = name.rpartition(".")
    return f"{parent}{dot}{prefix}{child}"


def _ends(names: Sequence[str]) -> str:
    if len(names) <= _PAIR:
        return ", ".join(names)
    return f"{names[0]} .. {names[-1]}"
