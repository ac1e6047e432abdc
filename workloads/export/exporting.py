"""From a marked model to an ONNX graph, by torch's own exporter, quietly."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.export.marking import MARK_DOMAIN, MarkedModel
from workloads.onnx_import.naming import CLASSES_KEY, SCOPES_KEY

if TYPE_CHECKING:
    from onnx import ModelProto

#: Op set 21 is the first whose QuantizeLinear knows 4 and 16 bits.
OPSET = 21
_NEEDED = ("onnx", "onnxscript")
_BATCH = "batch"


def check_installed() -> None:
    """The libraries that writing ONNX needs.

    Raises:
        ConfigError: one is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"writing ONNX needs {' and '.join(missing)}, not installed here: pip install -e '.[export]'"
        )


def exported(marked: MarkedModel, args: Sequence[Any], *, dynamic_batch: bool) -> ModelProto:
    """The graph of a marked model, its marks in it.

    Args:
        marked: of `mark_model`.
        args: of its forward, batch first.
        dynamic_batch: leave the first dim of every tensor open, under the name `batch`, where the model lets it.

    Raises:
        ConfigError: a library is missing, or torch cannot export the model; its reason is in the message.
    """
    check_installed()
    inputs = tuple(_on_cpu(arg) for arg in args)
    shapes: tuple[Any, ...] | None = None
    if dynamic_batch:
        inputs = tuple(_at_least_two(arg) for arg in inputs)
        shapes = tuple({0: torch.export.Dim.AUTO} if _has_batch(arg) else None for arg in inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                marked.model, inputs, dynamo=True, verbose=False, opset_version=OPSET, dynamic_shapes=shapes
            )
    except torch.onnx.OnnxExporterError as error:
        raise ConfigError(f"torch cannot export {type(marked.model).__name__} to ONNX: {_reason(error)}") from error
    if program is None:
        raise ConfigError(f"torch exported nothing of {type(marked.model).__name__}")
    model: ModelProto = program.model_proto
    _name_batch(model)
    _forget_paths(model)
    for index, opset in enumerate(model.opset_import):
        if opset.domain == MARK_DOMAIN:
            del model.opset_import[index]
            break
    return model


def _on_cpu(arg: Any) -> Any:
    return arg.detach().cpu() if isinstance(arg, Tensor) else arg


def _has_batch(arg: Any) -> bool:
    return isinstance(arg, Tensor) and arg.dim() > 0


def _at_least_two(arg: Any) -> Any:
    """torch.export takes a batch of 1 for a constant."""
    if _has_batch(arg) and arg.shape[0] == 1:
        return arg.expand(2, *arg.shape[1:]).contiguous()
    return arg


def _name_batch(model: ModelProto) -> None:
    """Call the open first dim `batch` wherever it stands alone."""
    found = {
        dims[0].dim_param
        for value in model.graph.input
        if (dims := value.type.tensor_type.shape.dim) and dims[0].dim_param
    }
    if len(found) != 1:
        return
    (old,) = found
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == old:
                dim.dim_param = _BATCH


def _forget_paths(model: ModelProto) -> None:
    """Keep the modules that torch notes on every node, and drop its stack traces: they name folders."""
    for node in model.graph.node:
        kept = [prop for prop in node.metadata_props if prop.key in (SCOPES_KEY, CLASSES_KEY)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on libraries that it does not find and on its own deprecations."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
