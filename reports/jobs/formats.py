"""The formats of `hwmodel export`."""

from __future__ import annotations

#: The configuration itself as text.
CONFIG_TEXTS = ("yaml", "json", "csv")
#: Files that hold a compressed model, and how their names end.
SUFFIX = {"onnx": ".onnx", "qonnx": ".onnx", "safetensors": ".safetensors"}
FORMATS = (*CONFIG_TEXTS, "torchao", "brevitas", "bits", *SUFFIX)
