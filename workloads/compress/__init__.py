"""Compression: which bits and weights every layer keeps, and the modules that train under them.

Configurations and their files need no torch; everything else is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.compress.arrays import ArrayParams, compression_ratio, dequantize_array, quantize_array
    from workloads.compress.bits import set_bits
    from workloads.compress.calibration import calibrate, reestimate_norms
    from workloads.compress.config import CompressionConfig, LayerChoice
    from workloads.compress.config_file import (
        ConfigFile,
        Provenance,
        check_model,
        provenance,
        read_config,
        write_config,
    )
    from workloads.compress.differences import Difference, diff
    from workloads.compress.grid import Grid, integer_range
    from workloads.compress.layers import QuantConv1d, QuantConv2d, QuantConv3d, QuantLinear
    from workloads.compress.observer import RangeObserver
    from workloads.compress.precision import average_precision, precision_definition
    from workloads.compress.quantizers import (
        ActivationQuantizer,
        DoReFaWeight,
        LSQWeight,
        MinMaxWeight,
        UniformWeight,
        minmax_affine,
    )
    from workloads.compress.quantizers.uniform import COMPILE_OPTIONS
    from workloads.compress.transform import apply, quantized_layers, uncompressible, uniform_config
    from workloads.storage.codedarrays import CodedArrays, code_arrays
    from workloads.storage.codelength import huffman_table
    from workloads.storage.huffman import HuffmanCode, entropy_bits
    from workloads.storage.statefile import CompressedState, load_compressed, save_compressed
    from workloads.storage.weights import load_weights, read_metadata, save_weights

__all__ = [
    "COMPILE_OPTIONS",
    "ActivationQuantizer",
    "ArrayParams",
    "CodedArrays",
    "CompressedState",
    "CompressionConfig",
    "ConfigFile",
    "Difference",
    "DoReFaWeight",
    "Grid",
    "HuffmanCode",
    "LSQWeight",
    "LayerChoice",
    "MinMaxWeight",
    "Provenance",
    "QuantConv1d",
    "QuantConv2d",
    "QuantConv3d",
    "QuantLinear",
    "RangeObserver",
    "UniformWeight",
    "apply",
    "average_precision",
    "calibrate",
    "check_model",
    "code_arrays",
    "compression_ratio",
    "dequantize_array",
    "diff",
    "entropy_bits",
    "huffman_table",
    "integer_range",
    "load_compressed",
    "load_weights",
    "minmax_affine",
    "precision_definition",
    "provenance",
    "quantize_array",
    "quantized_layers",
    "read_config",
    "read_metadata",
    "reestimate_norms",
    "save_compressed",
    "save_weights",
    "set_bits",
    "uncompressible",
    "uniform_config",
    "write_config",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "calibration": ("calibrate", "reestimate_norms"),
        ".storage.weights": ("load_weights", "read_metadata", "save_weights"),
        ".storage.codedarrays": ("CodedArrays", "code_arrays"),
        ".storage.codelength": ("huffman_table",),
        "config": ("CompressionConfig", "LayerChoice"),
        "differences": ("Difference", "diff"),
        "config_file": ("ConfigFile", "Provenance", "check_model", "provenance", "read_config", "write_config"),
        ".storage.huffman": ("HuffmanCode", "entropy_bits"),
        "layers": ("QuantConv1d", "QuantConv2d", "QuantConv3d", "QuantLinear"),
        "precision": ("average_precision", "precision_definition"),
        "arrays": ("ArrayParams", "compression_ratio", "dequantize_array", "quantize_array"),
        "bits": ("set_bits",),
        "grid": ("Grid", "integer_range"),
        "observer": ("RangeObserver",),
        "quantizers": (
            "ActivationQuantizer",
            "DoReFaWeight",
            "LSQWeight",
            "MinMaxWeight",
            "UniformWeight",
            "minmax_affine",
        ),
        "quantizers.uniform": ("COMPILE_OPTIONS",),
        ".storage.statefile": ("CompressedState", "load_compressed", "save_compressed"),
        "transform": ("apply", "quantized_layers", "uncompressible", "uniform_config"),
    },
    old={
        "Observer": "RangeObserver",
        "clip_quantize": "workloads.compress.quantizers.uniform.clip_quantize",
        "dequantize": "dequantize_array",
        "mse_step": "workloads.compress.ranges.mse_step",
        "quantize": "quantize_array",
        "uniform_quantize": "workloads.compress.quantizers.uniform.uniform_quantize",
    },
)
