"""A compressed model as Brevitas would build it: the class of every layer and its keyword arguments, and its grids.

    from brevitas import nn as qnn, quant
    about = layers["conv1"]
    conv = getattr(qnn, about["layer"])(3, 16, 3, **{
        key: getattr(quant, value) if key.endswith("_quant") else value for key, value in about["kwargs"].items()})

Source: Brevitas 0.13, `brevitas.graph.quantize.LAYERWISE_COMPUTE_LAYER_MAP`, `brevitas.quant`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.grid import Grid
from workloads.compress.layers import QuantLayer
from workloads.compress.transform import check_plain, quantized_layers
from workloads.export.marking import InputSite, WeightSite, input_site, weight_site

_BINARY = 1


def brevitas_layers(qmodel: nn.Module) -> dict[str, dict[str, Any]]:
    """Module -> `layer` (the class in `brevitas.nn`), its `kwargs`, and the grids of `weight` and `input`.

    The quantizers are Brevitas' own with the width, sign and granularity of ours; the scales are given beside
    them, for you to load. Quantizers without an integral zero point (minmax, dorefa and lsq+ inputs) have no
    counterpart: the nearest, affine one stands for them, and `exact` is False.

    Args:
        qmodel: of `apply`, calibrated or trained.

    Raises:
        ConfigError: an input has no range yet, a layer was removed (0 bits), or runs a forward of its own.
    """
    return {name: _layer(name, layer) for name, layer in quantized_layers(qmodel)}


def _layer(name: str, layer: QuantLayer) -> dict[str, Any]:
    try:
        check_plain(layer)
    except ConfigError as error:
        raise ConfigError(f"{name!r}: {error}") from None
    weight, stream = weight_site(name, layer), input_site(name, layer)
    kwargs: dict[str, Any] = {"weight_quant": None, "input_quant": None}
    about: dict[str, Any] = {"layer": type(layer).__name__, "kwargs": kwargs, "exact": True}
    if weight is not None:
        kwargs["weight_quant"] = _weight_quantizer(weight)
        if not _is_binary(weight.grid):
            kwargs["weight_bit_width"] = weight.bits
            if weight.grid.qmin < 0:
                kwargs["weight_narrow_range"] = weight.grid.qmin == -weight.grid.qmax
        about["weight"] = _grid(weight.grid, weight.bits)
        about["exact"] = _is_exact(weight.grid)
    if stream is not None:
        kwargs["input_quant"] = _input_quantizer(stream)
        if not _is_binary(stream.grid):
            kwargs["input_bit_width"] = stream.bits
        about["input"] = _grid(stream.grid, stream.bits)
        about["exact"] = about["exact"] and _is_exact(stream.grid)
    return about


def _weight_quantizer(site: WeightSite) -> str:
    grid = site.grid
    if _is_binary(grid):
        return "SignedBinaryWeightPerTensorConst"
    per = "Channel" if grid.scale.dim() else "Tensor"
    return f"Int8WeightPer{per}Float" if grid.qmin < 0 else f"ShiftedUint8WeightPer{per}Float"


def _input_quantizer(site: InputSite) -> str:
    grid = site.grid
    if _is_binary(grid):
        return "SignedBinaryActPerTensorConst"
    if grid.qmin < 0:
        return "Int8ActPerTensorFloat"
    plain = grid.zero_point is not None and not bool(grid.zero_point.any())
    return "Uint8ActPerTensorFloat" if plain else "ShiftedUint8ActPerTensorFloat"


def _is_binary(grid: Grid) -> bool:
    return grid.qmin < 0 and grid.qmax - grid.qmin == _BINARY


def _is_exact(grid: Grid) -> bool:
    return grid.zero_point is not None or (_is_binary(grid) and not grid.scale.dim())


def _grid(grid: Grid, bits: int) -> dict[str, Any]:
    about: dict[str, Any] = {"bit_width": bits, "scale": _plain(grid.scale)}
    if grid.zero_point is not None:
        about["zero_point"] = _plain(grid.zero_point)
    elif grid.offset is not None:
        about["offset"] = _plain(grid.offset)
    return {**about, "qmin": grid.qmin, "qmax": grid.qmax}


def _plain(values: Tensor) -> Any:
    return values.detach().cpu().tolist()
