"""Export: compressed models and configurations in the formats that other tools read, and back.

Everything is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.export.bitlists import (
        config_from_haq,
        config_from_hawq,
        haq_bits,
        hawq_bits,
        layer_names,
    )
    from workloads.export.brevitas import brevitas_layers
    from workloads.export.explaining import GridExplanation, LayerExplanation, explain_layer
    from workloads.export.onnx_file import DIALECTS, OnnxExport, export_onnx
    from workloads.export.packed import PackedSize, load_packed, packed_layout, save_packed, verify_packed
    from workloads.export.running import Comparison, compare_onnx, run_onnx
    from workloads.export.torchao import TorchaoConfig, linear_names, torchao_config

__all__ = [
    "DIALECTS",
    "Comparison",
    "GridExplanation",
    "LayerExplanation",
    "OnnxExport",
    "PackedSize",
    "TorchaoConfig",
    "brevitas_layers",
    "compare_onnx",
    "config_from_haq",
    "config_from_hawq",
    "explain_layer",
    "export_onnx",
    "haq_bits",
    "hawq_bits",
    "layer_names",
    "linear_names",
    "load_packed",
    "packed_layout",
    "run_onnx",
    "save_packed",
    "torchao_config",
    "verify_packed",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "bitlists": ("config_from_haq", "config_from_hawq", "haq_bits", "hawq_bits", "layer_names"),
        "brevitas": ("brevitas_layers",),
        "explaining": ("GridExplanation", "LayerExplanation", "explain_layer"),
        "onnx_file": ("DIALECTS", "OnnxExport", "export_onnx"),
        "packed": ("PackedSize", "load_packed", "packed_layout", "save_packed", "verify_packed"),
        "running": ("Comparison", "compare_onnx", "run_onnx"),
        "torchao": ("TorchaoConfig", "linear_names", "torchao_config"),
    },
    old={"Explanation": "LayerExplanation", "explain": "explain_layer"},
)
