"""Models, data, tracing, compression and training: everything that needs torch.

The functions here import torch when they are called, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodel.shown import shown_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from hwmodel.network.graph import LayerGraph
    from workloads.data import Dataset
    from workloads.decode import DecodeWorkloads

__all__ = [
    "data_names", "decode_workloads", "load_data", "load_model", "load_model_with_input",
    "measure_activation_density", "model_names", "trace", "trace_onnx",
]  # fmt: skip

shown_by(
    {"CompressionConfig": ("workloads.notebook", "config_html"), "Dataset": ("workloads.notebook", "data_html")}
)


def trace(model: nn.Module, *args: Any, **kwargs: Any) -> LayerGraph:
    """The layer graph of a model; arguments as for its forward. `workloads.tracing.trace_model` has options."""
    from workloads.tracing import trace as traced

    return traced(model, *args, **kwargs)


def trace_onnx(
    path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int] | int] | None = None,
    strict: bool = False,
    name: str | None = None,
) -> LayerGraph:
    """The layer graph of an ONNX file; see `workloads.onnx_import.trace_onnx`."""
    from workloads import onnx_import

    return onnx_import.trace_onnx(path, shapes=shapes, strict=strict, name=name)


def decode_workloads(model: nn.Module, *, context: int, batch: int = 1) -> DecodeWorkloads:
    """Prefill and one decode step of a language model; see `workloads.decode.decode_workloads`."""
    from workloads import decode

    return decode.decode_workloads(model, context=context, batch=batch)


def measure_activation_density(model: nn.Module, graph: LayerGraph, *args: Any, **kwargs: Any) -> LayerGraph:
    """The graph with densities of activations measured on a batch; see `workloads.tracing.measured`."""
    from workloads import tracing

    return tracing.measure_activation_density(model, graph, *args, **kwargs)


def load_model(name: str, **options: Any) -> nn.Module:
    """A model by name, `timm:NAME`, `hf:CONFIG` or `FILE.py:function`; see `workloads.models.load_model`."""
    from workloads import models

    return models.load_model(name, **options)


def load_model_with_input(
    name: str, input_shape: Sequence[int] | None = None, batch: int = 1, **options: Any
) -> tuple[nn.Module, tuple[Any, ...]]:
    """A model and example arguments to trace it with; see `workloads.models.load_model_with_input`."""
    from workloads import models

    return models.load_model_with_input(name, input_shape, batch, **options)


def model_names() -> list[str]:
    """Names that `load_model` knows, without files and timm."""
    from workloads import models

    return models.model_names()


def load_data(name: str, **options: Any) -> Dataset:
    """A data set by name; see `workloads.data.load_data`."""
    from workloads import data

    return data.load_data(name, **options)


def data_names() -> list[str]:
    """Names that `load_data` knows."""
    from workloads import data

    return data.data_names()
