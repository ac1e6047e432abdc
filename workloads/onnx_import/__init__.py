"""From an ONNX file to the `LayerGraph` of the network that it was exported from: see `trace_onnx`.

The file is *run on shapes*: every node calls the torch function of the same meaning on meta tensors under
the recorder of `workloads.tracing`, so that one table of rules prices both formats.
"""

from workloads.onnx_import.importer import trace_onnx

__all__ = ["trace_onnx"]
