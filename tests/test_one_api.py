"""One way to say a thing; the way of the release before still works, and warns."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hwmodel
from hwmodel.deprecated import example_was_spread, old_keywords, path_was_not_first
from workloads.compress import CodedArrays, CompressionConfig, apply, calibrate, code_arrays, quantize_array
from workloads.compress.pruning import model_size, size_table
from workloads.export import PackedSize, export_onnx
from workloads.training import Accuracy, Scorer, TrainSettings

RENAMED = [
    ("workloads.calibrate", "calibrate", "workloads.calibrate", "calibrate_device"),
    ("workloads.compress", "Observer", "workloads.compress", "RangeObserver"),
    ("workloads.compress", "quantize", "workloads.compress", "quantize_array"),
    ("workloads.compress", "dequantize", "workloads.compress", "dequantize_array"),
    ("workloads.export", "explain", "workloads.export", "explain_layer"),
    ("workloads.export", "Explanation", "workloads.export", "LayerExplanation"),
    ("workloads.rewrite", "count", "workloads.compress.pruning", "model_size"),
    ("workloads.rewrite", "Counts", "workloads.compress.pruning", "ModelSize"),
    ("workloads.models", "load_pretrained_npz", "workloads.models.registry", "load_pretrained_npz"),
    ("workloads.compress", "mse_step", "workloads.compress.ranges", "mse_step"),
    ("workloads.compress", "clip_quantize", "workloads.compress.quantizers.uniform", "clip_quantize"),
    ("workloads.compress", "uniform_quantize", "workloads.compress.quantizers.uniform", "uniform_quantize"),
]
PACKAGES = (
    "hwmodel", "workloads", "workloads.calibrate", "workloads.compress", "workloads.compress.pruning",
    "workloads.data", "workloads.export", "workloads.integer", "workloads.models", "workloads.rewrite",
    "workloads.sparse", "workloads.tracing", "workloads.training", "search", "search.executors", "reports",
)  # fmt: skip


@pytest.mark.parametrize(("package", "old", "home", "new"), RENAMED)
def test_an_old_name_is_the_new_one_and_warns(package: str, old: str, home: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{package}\.{old} is now .*{new}"):
        found = getattr(import_module(package), old)
    assert found is getattr(import_module(home), new)
    assert old not in import_module(package).__all__
    assert old not in dir(import_module(package))


def _public() -> list[tuple[str, Any]]:
    found = {}
    for package in PACKAGES:
        module = import_module(package)
        for name in module.__all__:
            found.setdefault(id(getattr(module, name)), (f"{package}.{name}", getattr(module, name)))
    return list(found.values())


def _functions() -> list[tuple[str, inspect.Signature]]:
    return [(name, inspect.signature(value)) for name, value in _public() if inspect.isfunction(value)]


def test_no_name_means_two_things() -> None:
    names = [name.rpartition(".")[2] for name, _ in _public()]
    twice = {name for name in names if names.count(name) > 1}
    # `hwmodel` and `workloads` give the short way to functions that a package below has with its options
    assert twice <= {"load_data", "load_model", "load_model_with_input", "model_names", "data_names", "trace",
                     "trace_onnx", "measure_activation_density", "Observer"} - {"Observer"}  # fmt: skip


def test_a_path_comes_first() -> None:
    late = [
        name for name, signature in _functions()
        if "path" in signature.parameters and next(iter(signature.parameters)) != "path"
    ]  # fmt: skip
    assert late == []


def test_example_inputs_are_one_argument() -> None:
    spread = [
        name for name, signature in _functions()
        for parameter in signature.parameters.values()
        if parameter.name == "example" and parameter.kind is inspect.Parameter.VAR_POSITIONAL
    ]  # fmt: skip
    assert spread == []


def test_sizes_in_bytes_have_one_name() -> None:
    for name, value in _public():
        fields = getattr(value, "__dataclass_fields__", {})
        assert not {"num_bytes", "nbytes", "bytes"} & set(fields), name


def test_what_is_told_on_the_way_is_called_progress() -> None:
    told = [name for name, signature in _functions() if "observer" in signature.parameters]
    assert told == []


def test_old_sizes_warn() -> None:
    coded: CodedArrays = code_arrays({"a": np.arange(6.0)}, 4)
    with pytest.warns(DeprecationWarning, match="CodedArrays.nbytes is now size_bytes"):
        assert coded.nbytes == coded.size_bytes == 3 + 8  # six codes of four bits, a scale and a low
    _, params = quantize_array(np.arange(6.0), 4)
    with pytest.warns(DeprecationWarning, match="ArrayParams.nbytes is now size_bytes"):
        assert params.nbytes == 8
    sizes = dict.fromkeys(("size_bytes", "code_bytes", "parameter_bytes", "other_bytes", "float_bytes"), 5)
    with pytest.warns(DeprecationWarning, match="PackedSize.num_bytes is now size_bytes"):
        assert PackedSize(path=Path("x"), **sizes).num_bytes == 5


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2, bias=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.fc(x + y)


def test_several_inputs_are_a_tuple_and_were_spread() -> None:
    x = torch.zeros(3, 4)
    size = model_size(Pair(), (x, x))
    assert (size.parameters, size.macs) == (8, 3 * 8)
    with pytest.warns(DeprecationWarning, match=r"model_size\(\.\.\., x, y\) is now"):
        assert model_size(Pair(), x, x) == size
    with pytest.warns(DeprecationWarning, match=r"size_table\(\.\.\., x, y\) is now"):
        assert size_table({"one": Pair()}, x, x).macs.tolist() == [24]


def test_export_takes_the_order_that_it_had(tmp_path: Path) -> None:
    x = torch.rand(2, 6)
    model = nn.Sequential(nn.Linear(6, 3))
    qmodel = apply(model, CompressionConfig.from_bits({"0": 4}))
    calibrate(qmodel, x)
    new = export_onnx(tmp_path / "new.onnx", qmodel, x)
    with pytest.warns(DeprecationWarning, match=r"export_onnx\(qmodel, example, path\) is now export_onnx\(path"):
        old = export_onnx(qmodel, x, tmp_path / "old.onnx")  # type: ignore[arg-type]
    assert old.size_bytes == new.size_bytes
    assert (tmp_path / "old.onnx").read_bytes() == (tmp_path / "new.onnx").read_bytes()


def test_ptq_and_qat_answer_alike() -> None:
    x, y = torch.randn(40, 6), torch.arange(40) % 3
    from workloads.data import Dataset, Split

    data = Dataset(
        name="toy", train=Split(x=x, y=y), validation=Split(x=x, y=y), test=Split(x=x, y=y), num_classes=3
    )
    scorer = Scorer(nn.Sequential(nn.Linear(6, 3)), data, TrainSettings(epochs=1), device="cpu")
    config = CompressionConfig.from_bits({"0": 4})
    plain, trained = scorer.ptq(config), scorer.qat(config, seed=1)
    for scored in (plain, trained):
        assert isinstance(scored.accuracy, Accuracy)
        assert isinstance(scored.model, nn.Module)
        assert scorer.validation(scored.model) == scored.accuracy
        assert str(scored) == str(scored.accuracy)
    with pytest.warns(DeprecationWarning, match=r"ptq\(\.\.\.\)\.value is now ptq\(\.\.\.\)\.accuracy\.value"):
        assert plain.value == plain.accuracy.value


def test_the_version_is_that_of_the_package() -> None:
    assert hwmodel.__version__ == version("hwmodel")


def test_decorators_leave_the_new_way_alone(recwarn: pytest.WarningsRecorder) -> None:
    @path_was_not_first("thing", "path")
    def save(path: str, thing: int) -> tuple[str, int]:
        return path, thing

    @old_keywords(was="now")
    def say(*, now: int) -> int:
        return now

    @example_was_spread(1)
    def run(model: str, example: Any = None) -> Any:
        return example

    assert save("a", 1) == ("a", 1)
    assert save(path="a", thing=1) == ("a", 1)
    assert say(now=2) == 2
    assert run("m", 3) == 3
    assert run("m") is None
    assert not recwarn.list
    with pytest.warns(DeprecationWarning, match=r"save\(thing, path\) is now save\(path, ...\)"):
        assert save(1, "a") == ("a", 1)  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match=r"say\(was=...\) is now say\(now=...\)"):
        assert say(was=2) == 2  # type: ignore[call-arg]
