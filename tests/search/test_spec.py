"""The YAML of a search."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from hwmodel.errors import ConfigError, HwModelError
from search.space import Space
from search.spec import parse_spec, read_spec
from tests.search.helpers import make_graph
from workloads.training.settings import TrainSettings


def test_a_minimal_file(tmp_path: Path) -> None:
    path = tmp_path / "r8.yaml"
    path.write_text("model: resnet8\ndata: digits\naccelerator: eyeriss\n")
    spec = read_spec(path)
    assert (spec.name, spec.objectives, spec.search.test_seeds) == ("r8", ["accuracy", "energy"], 3)
    assert spec.float_settings == TrainSettings.from_scratch()
    assert spec.qat_settings == TrainSettings()
    assert Space.from_graph(make_graph(), **spec.space.model_dump()) == Space.from_graph(make_graph())


def test_a_search_without_objectives_optimises_for_its_accelerator(tmp_path: Path) -> None:
    assert parse_spec("model: resnet8").objectives == ["accuracy", "avg_w_bits"]
    assert parse_spec("model: resnet8\ndata: digits\naccelerator: bitfusion").objectives == ["accuracy", "energy"]
    own = parse_spec("model: resnet8\naccelerator: bitfusion\nobjectives: [accuracy, memory]")
    assert own.objectives == ["accuracy", "memory"]
    chip = (files("hwmodel") / "accelerators" / "cpu_avx512.yaml").read_text()
    chip = re.sub("  (board|idle)_power: .*\n", "", chip)  # `hw calibrate` measures neither, and writes 0 pJ/bit
    (tmp_path / "measured.yaml").write_text(re.sub("read_energy: .*", "read_energy: 0 pJ/bit", chip))
    measured = parse_spec("model: resnet8\naccelerator: measured.yaml", folder=tmp_path)
    assert measured.objectives == ["accuracy", "latency"]


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    text = """
name: r20
model: lenet5
data: digits
data_options: {size: 32}
accelerator: bitfusion
objectives: [accuracy, energy_pj, memory]
space: {w_bits: [2, 8], density: [0.5, 1.0], frozen: {conv1: float, fc2: {w_bits: 4}}, groups: {a: [conv2, conv3]}}
search: {trials: 5, qat: 0, seed: 3, pick: {accuracy: '>=0.9'}}
training: {float: {epochs: 2}, qat: {lr: 0.5}}
"""
    spec = parse_spec(text)
    assert spec.objectives == ["accuracy", "energy", "memory"]
    assert (spec.float_settings.seed, spec.qat_settings.seed, spec.float_settings.epochs) == (3, 3, 2)
    (tmp_path / "config.yaml").write_text(spec.to_yaml({"versions": {"python": "3"}}))
    again = read_spec(tmp_path / "config.yaml")
    assert again.model_copy(update={"provenance": {}}) == spec


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    for name in ("net.py", "w.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "chip.yaml").write_text((files("hwmodel") / "accelerators" / "eyeriss.yaml").read_text())
    (tmp_path / "s.yaml").write_text("model: net.py:build\naccelerator: chip.yaml\ncheckpoint: w.safetensors\n")
    spec = read_spec(tmp_path / "s.yaml")
    assert spec.model == f"{tmp_path / 'net.py'}:build"
    assert (spec.accelerator, spec.checkpoint) == (str(tmp_path / "chip.yaml"), str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modl: resnet8\n", r":1:1 unknown key 'modl'. Did you mean 'model'"),
        ("model: a\nspace: {wbits: [2]}\n", r":2:9 unknown key 'wbits' in space. Did you mean 'w_bits'"),
        ("model: a\nobjectives: [accuracy, enery]\n", r":2:1 objectives: .*Did you mean 'energy'"),
        ("model: a\nsearch: {trials: 0}\n", r":2:10 search\.trials: .*greater than or equal to 1"),
        ("model: a\ntraining: {qat: {epohcs: 3}}\n", r":2:12 training\.qat: .*'epohcs'. Did you mean 'epochs'"),
        ("model: a\nname: ../up\n", r":2:1 name"),
        ("model: a\nspace: {w_bits: []}\n", r":2:9 space\.w_bits"),
        ("data: digits\n", "'model' is missing"),
        ("model: a\nmodel: b\n", "'model' is already set at line 1"),
        ("model: a\nsearch: {pick: kne}\n", r":2:10 search\.pick: .*Did you mean 'knee'"),
        ("model: a\nsearch: {pick: 'acc>=0.9'}\n", r":2:10 search\.pick: pick: objectives: must be among"),
        ("model: a\nsearch: {pick: 'accuracy>=95'}\n", r":2:10 search\.pick: .*write 0\.95"),
        ("model: a\nsearch: {pick: -2}\n", r":2:10 search\.pick: .*got -2"),
        ("model: a\nsearch: {pick: true}\n", r":2:10 search\.pick: .*got True"),
        ("model: a\nsearch: {pick: {energy: '<=1e6'}}\n", r"search\.pick: energy needs an accelerator"),
        ("model: a\nobjectives: [accuracy, latency]\n", r"objectives: latency needs an accelerator"),
        ("model: a\naccelerator: eyeris\n", "Did you mean eyeriss"),
        ("model: a\nspace: {quantizer: lsqq}\n", r":2:1 space: .*'lsqq'"),
        ("model: a\nspace: {pattern: filters}\n", r":2:1 space: .*'filters'"),
        ("model: a\nspace: {granularity: chanel}\n", r":2:1 space: .*'chanel'"),
        ("model: a\nspace: {w_bits: [2, 40]}\n", r":2:1 space: .*40"),
        ("model: a\nspace: {density: [0.0]}\n", r":2:1 space: .*0"),
        ("model: a\nsearch: {uniform: [W40A]}\n", r"uniform: must be widths such as W4A8, .*got 'W40A'"),
        (
            "model: a\nsearch: {uniform: [W3A8]}\n",
            r"search\.uniform: W3A8 must have w_bits .*\[2, 4, 8\]",
        ),
        (
            "model: a\nsearch: {uniform: [W4A4]}\n",
            r"search\.uniform: W4A4 must have a_bits .*, but has 4",
        ),
        ("model: a\nsearch: {uniform: [W4A8, W4A8]}\n", r"search\.uniform: must be different widths"),
        ("model: a\nsearch: {uniform: [W4A8, W8A8], qat: 1}\n", r"search\.uniform: .*at most as many as qat=1"),
        ("model: a\ncheckpoint: none.safetensors\n", "checkpoint: 'none.safetensors' is not a file"),
    ],
)
def test_bad_files(text: str, message: str) -> None:
    with pytest.raises(HwModelError, match=message):
        parse_spec(text)


# ---- several accelerators, limits, samplers ------------------------------------------------------


def test_of_several_accelerators_each_has_a_cost() -> None:
    spec = parse_spec("model: resnet8\naccelerators: [eyeriss, edge_npu]\n")
    assert spec.accelerator == "eyeriss"
    assert spec.objectives == ["accuracy", "energy", "energy@edge_npu"]
    again = parse_spec(spec.to_yaml())
    assert (again.accelerators, again.objectives) == (spec.accelerators, spec.objectives)
    with pytest.raises(ConfigError, match="accelerators: must begin with accelerator 'tpu_v1'"):
        parse_spec("model: resnet8\naccelerator: tpu_v1\naccelerators: [eyeriss, edge_npu]\n")


def test_limits_and_samplers_are_checked_when_the_file_is_read() -> None:
    spec = parse_spec(
        "model: resnet8\naccelerator: eyeriss\nlimits: {latency: <= 2 ms, accuracy: 0.9}\nsearch: {sampler: tpe}\n"
    )
    assert spec.limits == {"latency": "<= 2 ms", "accuracy": 0.9}
    assert spec.search.sampler == "tpe"
    for text, message in (
        ("limits: {latensy: <= 2 ms}", "limits"),
        ("limits: {latency: <= 2 ms}", "limits: latency needs an accelerator"),
        ("search: {sampler: frond}", "sampler.*front"),
        ("objectives: [accuracy, energy@]", "objectives"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_spec(f"model: resnet8\n{text}\n")
