"""Compression: which bits and weights every layer keeps, and the modules that train under them.

Configurations and their files need no torch; everything else is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.compress.calibration import calibrate, reestimate_norms
    from workloads.compress.checkpoint import load_weights, read_metadata, save_weights
    from workloads.compress.config import CompressionConfig, Difference, LayerChoice, diff
    from workloads.compress.files import ConfigFile, check_model, provenance, read_config, write_config
    from workloads.compress.grid import integer_range, mse_step, uniform_quantize
    from workloads.compress.layers import QuantConv1d, QuantConv2d, QuantConv3d, QuantLinear
    from workloads.compress.precision import average_precision, precision_definition
    from workloads.compress.quantizers import ActivationQuantizer, LSQWeight, MinMaxWeight, minmax_affine
    from workloads.compress.transform import apply, quantized_layers, uncompressible

__all__ = [
    "ActivationQuantizer",
    "CompressionConfig",
    "ConfigFile",
    "Difference",
    "LSQWeight",
    "LayerChoice",
    "MinMaxWeight",
    "QuantConv1d",
    "QuantConv2d",
    "QuantConv3d",
    "QuantLinear",
    "apply",
    "average_precision",
    "calibrate",
    "check_model",
    "diff",
    "integer_range",
    "load_weights",
    "minmax_affine",
    "mse_step",
    "precision_definition",
    "provenance",
    "quantized_layers",
    "read_config",
    "read_metadata",
    "reestimate_norms",
    "save_weights",
    "uncompressible",
    "uniform_quantize",
    "write_config",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "calibration": ("calibrate", "reestimate_norms"),
        "checkpoint": ("load_weights", "read_metadata", "save_weights"),
        "config": ("CompressionConfig", "Difference", "LayerChoice", "diff"),
        "files": ("ConfigFile", "check_model", "provenance", "read_config", "write_config"),
        "layers": ("QuantConv1d", "QuantConv2d", "QuantConv3d", "QuantLinear"),
        "precision": ("average_precision", "precision_definition"),
        "grid": ("integer_range", "mse_step", "uniform_quantize"),
        "quantizers": ("ActivationQuantizer", "LSQWeight", "MinMaxWeight", "minmax_affine"),
        "transform": ("apply", "quantized_layers", "uncompressible"),
    },
)
