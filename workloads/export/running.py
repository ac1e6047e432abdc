"""Exported files, run by other people's code and compared with the model they came from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwmodel.deprecated import old_keywords
from hwmodel.errors import ConfigError
from workloads.compress.calibration import modes_kept
from workloads.example import arguments
from workloads.export.exporting import check_installed
from workloads.export.qonnx import QONNX_DOMAIN
from workloads.placement import device_of

if TYPE_CHECKING:
    from onnx import ModelProto

ONNXRUNTIME, REFERENCE = "onnxruntime", "onnx.reference"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sets of outputs for the same inputs.

    Attributes:
        count: inputs.
        max_abs, mean_abs: difference of the outputs.
        spread: highest minus lowest output of the model, to hold the differences against.
        same_top1: share of the inputs (or positions) with the same highest output.
        runner: what ran the file.
    """

    count: int
    max_abs: float
    mean_abs: float
    spread: float
    same_top1: float
    runner: str

    def __str__(self) -> str:
        return (
            f"{self.runner} on {self.count} inputs: largest difference {self.max_abs:.3g}, "
            f"mean {self.mean_abs:.3g} (outputs span {self.spread:.3g}), same top-1 {100 * self.same_top1:.1f} %"
        )


@old_keywords(args="example")
def compare_onnx(path: str | Path, qmodel: nn.Module, example: Any, *, optimize: bool = False) -> Comparison:
    """Run a file of `export_onnx` and the model that it was made from on the same inputs.

    The file runs in onnxruntime where that is installed and knows its ops, else in the evaluator of the onnx
    package, with the ops of QONNX as the qonnx package defines them.

    Args:
        path: of the file.
        qmodel: the compressed model; run in eval mode.
        example: its input, or a tuple of them.
        optimize: let onnxruntime fuse quantized layers. It then rounds biases to integers too, and the outputs
            move by more than rounding errors.

    Raises:
        ConfigError: onnx is not installed.
    """
    given = arguments(example)
    with modes_kept(qmodel), torch.no_grad():
        ours = qmodel.eval()(*(_to(arg, device_of(qmodel)) for arg in given))
    first = (ours if isinstance(ours, Tensor) else next(iter(ours))).detach().cpu().double().numpy()
    theirs, runner = run_onnx(path, given, optimize=optimize)
    return compare_arrays(first, theirs[0], runner)


def compare_arrays(ours: NDArray[Any], theirs: NDArray[Any], runner: str) -> Comparison:
    """Of two arrays (N, ..., classes).

    Raises:
        ConfigError: other shapes.
    """
    if ours.shape != theirs.shape:
        raise ConfigError(f"outputs must have the shape {ours.shape}, but {runner} gave {theirs.shape}")
    gap = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    return Comparison(
        count=len(ours), max_abs=float(gap.max()), mean_abs=float(gap.mean()), spread=float(np.ptp(ours)),
        same_top1=float((ours.argmax(-1) == theirs.argmax(-1)).mean()), runner=runner,
    )  # fmt: skip


@old_keywords(args="example")
def run_onnx(path: str | Path, example: Any, *, optimize: bool = False) -> tuple[list[NDArray[Any]], str]:
    """Outputs of a file, and what ran it.

    Args:
        path: of the file.
        example: its input, or a tuple of them.
        optimize: as of `compare_onnx`.

    Raises:
        ConfigError: onnx is not installed.
    """
    check_installed()
    import onnx

    model = onnx.load(str(path))
    feeds = {
        value.name: np.asarray(arg.detach().cpu() if isinstance(arg, Tensor) else arg)
        for value, arg in zip(model.graph.input, arguments(example), strict=True)
    }
    is_standard = all(opset.domain in ("", "ai.onnx") for opset in model.opset_import)
    if is_standard and importlib.util.find_spec("onnxruntime") is not None:
        return _in_onnxruntime(model, feeds, optimize=optimize), ONNXRUNTIME
    return _in_reference(model, feeds), REFERENCE


def _in_onnxruntime(model: ModelProto, feeds: Mapping[str, Any], *, optimize: bool) -> list[NDArray[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(feeds))]


def _in_reference(model: ModelProto, feeds: Mapping[str, Any]) -> list[NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model, new_ops=_qonnx_ops())
    with np.errstate(all="ignore"):
        return [np.asarray(output) for output in evaluator.run(None, dict(feeds))]


def _qonnx_ops() -> list[Any]:
    """`Quant` and `BipolarQuant` for the evaluator of the onnx package."""
    from onnx.reference.op_run import OpRun

    rounders: dict[str, Callable[[Any], Any]] = {"ROUND": np.round, "FLOOR": np.floor}

    class Quant(OpRun):
        op_domain = QONNX_DOMAIN

        def _run(self, x: Any, scale: Any, zero: Any, bits: Any, **attributes: Any) -> tuple[Any]:
            signed, narrow, width = attributes["signed"], attributes["narrow"], int(bits)
            low = (narrow - 2 ** (width - 1)) if signed else 0
            high = 2 ** (width - 1) - 1 if signed else 2**width - 1 - narrow
            codes = rounders[attributes["rounding_mode"]](np.clip(x / scale + zero, low, high))
            return (((codes - zero) * scale).astype(np.float32),)

    class BipolarQuant(OpRun):
        op_domain = QONNX_DOMAIN

        def _run(self, x: Any, scale: Any) -> tuple[Any]:
            return (np.where(x >= 0, scale, -scale).astype(np.float32),)

    return [Quant, BipolarQuant]


def _to(arg: Any, device: torch.device) -> Any:
    return arg.to(device) if isinstance(arg, Tensor) else arg
