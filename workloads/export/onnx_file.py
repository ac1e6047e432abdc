"""`export_onnx`: a compressed model as an ONNX file, in one of two dialects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from hwmodel.deprecated import old_attribute, old_keywords, path_was_not_first
from hwmodel.errors import ConfigError, check_one_of
from hwmodel.files import write_atomic
from workloads.example import arguments
from workloads.export import qdq, qonnx
from workloads.export.editing import Editor, Writer, mark_text
from workloads.export.exporting import exported
from workloads.export.marking import INPUT, WEIGHT, InputSite, MarkedModel, mark_model, text_of
from workloads.export.norms import fold_norms

if TYPE_CHECKING:
    from onnx import ModelProto

Dialect = Literal["qdq", "qonnx"]
DIALECTS: tuple[str, ...] = ("qdq", "qonnx")
LAYERS_KEY = "hwmodel.layers"


@dataclass(frozen=True, kw_only=True)
class OnnxExport:
    """A written file.

    Attributes:
        path: of the file.
        dialect: `qdq` or `qonnx`.
        size_bytes: of the file [byte].
        layers: module -> its widths, the type that its codes are stored in, granularity; as in the file's
            metadata under `hwmodel.layers`.
        folded: layers that took in the batch norm behind them.
    """

    path: Path
    dialect: str
    size_bytes: int
    layers: dict[str, dict[str, Any]]
    folded: tuple[str, ...]

    num_bytes = old_attribute("num_bytes", "size_bytes")


@path_was_not_first("qmodel", "example", "path")
@old_keywords(args="example")
def export_onnx(
    path: str | Path,
    qmodel: nn.Module,
    example: Any,
    *,
    dialect: Dialect = "qdq",
    fold: bool = False,
    dynamic_batch: bool = True,
) -> OnnxExport:
    """Write a compressed model as ONNX: its quantizers as nodes, its masks in its weights.

    `qdq`: QuantizeLinear and DequantizeLinear, weights stored as integers of 4, 8 or 16 bits; narrower codes
    lie in a wider type, inputs clipped to their range. Runs in onnxruntime, TensorRT, OpenVINO, ... .
    `qonnx`: nodes `Quant` and `BipolarQuant` with the exact widths, weights as floats on their grid. For FINN,
    hls4ml, the qonnx package.

    Args:
        path: ends in `.onnx`.
        qmodel: of `apply`, calibrated or trained. It is not changed; exported in eval mode.
        example: its input, or a tuple of them; batch first.
        dialect: one of the two.
        fold: fold batch norms into the scales and biases of the convolutions before them. Outputs stay but for
            the rounding of floats.
        dynamic_batch: leave the batch open.

    Raises:
        ConfigError: another suffix or dialect; onnx or onnxscript are not installed; an input quantizer has no
            range; torch cannot export the model.

    Example:
        >>> export_onnx("model.onnx", qmodel, x[:1])  # doctest: +SKIP
    """
    check_one_of("dialect", dialect, DIALECTS)
    if Path(path).suffix != ".onnx":
        raise ConfigError(f"{Path(path).name} must end in .onnx")
    marked = mark_model(qmodel)
    model = exported(marked, arguments(example), dynamic_batch=dynamic_batch)
    folded = fold_norms(model, marked) if fold else []
    Editor(model).replace_marks(_writers(model, marked, dialect))
    layers = _layers(marked, dialect)
    _describe(model, layers, dialect)
    data = model.SerializeToString()
    write_atomic(path, data)
    return OnnxExport(path=Path(path), dialect=dialect, size_bytes=len(data), layers=layers, folded=tuple(folded))


def _writers(model: ModelProto, marked: MarkedModel, dialect: str) -> dict[str, Writer]:
    make_weight = qdq.weight_writer if dialect == "qdq" else qonnx.weight_writer
    make_input: Callable[[InputSite, int], Writer] = qdq.input_writer if dialect == "qdq" else qonnx.input_writer
    ranks = _ranks(model)
    writers = {text_of(WEIGHT, name): make_weight(site) for name, site in marked.weights.items()}
    for name, site in marked.inputs.items():
        text = text_of(INPUT, name)
        writers[text] = make_input(site, ranks.get(text, 0))
    return writers


def _ranks(model: ModelProto) -> dict[str, int]:
    """Text of a mark -> dims of what it reads."""
    known = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    return {mark_text(node): known[node.output[0]] for node in model.graph.node if node.output[0] in known}


def _layers(marked: MarkedModel, dialect: str) -> dict[str, dict[str, Any]]:
    layers: dict[str, dict[str, Any]] = {}
    for name, weight in marked.weights.items():
        about: dict[str, Any] = {"w_bits": weight.bits, "w_per_channel": weight.grid.scale.dim() > 0}
        if dialect == "qdq":
            about["w_stored_as"] = qdq.weight_storage(weight.grid, weight.bits).name
        layers.setdefault(name, {}).update(about)
    for name, stream in marked.inputs.items():
        about = {"a_bits": stream.bits}
        if dialect == "qdq":
            about["a_stored_as"] = qdq.input_storage(stream.grid, stream.bits).name
        layers.setdefault(name, {}).update(about)
    return layers


def _describe(model: ModelProto, layers: dict[str, dict[str, Any]], dialect: str) -> None:
    if dialect == "qonnx":
        model.opset_import.add(domain=qonnx.QONNX_DOMAIN, version=1)
    model.producer_name = "hwmodel"
    model.metadata_props.add(key="hwmodel.dialect", value=dialect)
    model.metadata_props.add(key=LAYERS_KEY, value=json.dumps(layers))
