"""Compression: which bits and weights every layer keeps, and the modules that train under them.

Configurations and their files need no torch; everything else is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.compress.arrays import ArrayParams, compression_ratio, dequantize, quantize
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
    from workloads.compress.observer import Observer, RangeObserver
    from workloads.compress.precision import average_precision, precision_definition
    from workloads.compress.quantizers import (
        ActivationQuantizer,
        DoReFaWeight,
        LSQWeight,
        MinMaxWeight,
        UniformWeight,
        minmax_affine,
    )
    from workloads.compress.quantizers.uniform import COMPILE_OPTIONS, clip_quantize, uniform_quantize
    from workloads.compress.ranges import mse_step
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
    "Observer",
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
    "clip_quantize",
    "code_arrays",
    "compression_ratio",
    "dequantize",
    "diff",
    "entropy_bits",
    "huffman_table",
    "integer_range",
    "load_compressed",
    "load_weights",
    "minmax_affine",
    "mse_step",
    "precision_definition",
    "provenance",
    "quantize",
    "quantized_layers",
    "read_config",
    "read_metadata",
    "reestimate_norms",
    "save_compressed",
    "save_weights",
    "set_bits",
    "uncompressible",
    "uniform_config",
    "uniform_quantize",
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
        "arrays": ("ArrayParams", "compression_ratio", "dequantize", "quantize"),
        "bits": ("set_bits",),
        "grid": ("Grid", "integer_range"),
        "observer": ("Observer", "RangeObserver"),
        "quantizers": (
            "ActivationQuantizer",
            "DoReFaWeight",
            "LSQWeight",
            "MinMaxWeight",
            "UniformWeight",
            "minmax_affine",
        ),
        "ranges": ("mse_step",),
        "quantizers.uniform": ("COMPILE_OPTIONS", "clip_quantize", "uniform_quantize"),
        ".storage.statefile": ("CompressedState", "load_compressed", "save_compressed"),
        "transform": ("apply", "quantized_layers", "uncompressible", "uniform_config"),
    },
)
