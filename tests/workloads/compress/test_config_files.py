from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.chip.yamlfile import Schema, read_yaml
from hwmodel.errors import ConfigError, GraphError
from hwmodel.network.layer import Dims, Layer
from tests.workloads.compress.compress_models import chain, tiny_graph
from tests.workloads.compress.test_config import CHOICES
from workloads.compress import (
    CompressionConfig,
    LayerChoice,
    check_model,
    provenance,
    read_config,
    write_config,
)
from workloads.compress.config_file import MadeWith

NAMES = ["conv1", "block.0", "block.2", "fc"]


@settings(max_examples=25, deadline=None)
@given(
    layers=st.dictionaries(st.sampled_from(["conv1", "block.0", "block.2", "fc"]), CHOICES),
    accuracy=st.floats(0, 1),
    command=st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=20),
)
def test_a_file_returns_what_was_written(layers: dict[str, LayerChoice], accuracy: float, command: str) -> None:
    graph, config = tiny_graph(), CompressionConfig(layers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best.yaml"
        metrics = {"accuracy": accuracy, "bits": [1, 2]}
        write_config(path, config, graph, metrics=metrics, provenance=provenance(seed=3, command=command))
        file = read_config(path)
    assert file.config == config
    assert (file.model, file.fingerprint) == (graph.name, graph.fingerprint)
    assert dict(file.metrics) == metrics
    assert (file.provenance.seed, file.provenance.command) == (3, command)
    assert file.provenance.versions["torch"]
    check_model(file, graph)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(["0", "1.5", "no", "null", "1e3", "a: b", "# x", "[0]", "true", "é…"]))
def test_names_that_look_like_yaml_survive(name: str) -> None:
    graph = chain(name, [Layer(name=name, module=name, dims=Dims(K=2, C=2))])
    with tempfile.TemporaryDirectory() as folder:
        path = write_config(Path(folder) / "best.yaml", CompressionConfig.from_bits({name: 4}), graph)
        file = read_config(path)
    assert list(file.config.layers) == [name]
    assert file.model == name


def written(folder: Path) -> Path:
    return write_config(folder / "best.yaml", CompressionConfig.from_bits(dict.fromkeys(NAMES, 4)), tiny_graph())


def test_numpy_scalars_become_plain_numbers(tmp_path: Path) -> None:
    metrics = {"a": np.float64(0.5), "b": np.int64(3), "c": {"d": (np.float32(0.25), None, True)}}
    path = write_config(tmp_path / "x.yaml", CompressionConfig({}), tiny_graph(), metrics=metrics)
    assert dict(read_config(path).metrics) == {"a": 0.5, "b": 3, "c": {"d": [0.25, None, True]}}
    with pytest.raises(ConfigError, match=r"metrics\.a must be a number, text, a list or a mapping"):
        write_config(path, CompressionConfig({}), tiny_graph(), metrics={"a": object()})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("w_bits: 4", "w_bits: 40", r"best\.yaml:\d+:\d+ .*w_bits must be an integer in 1\.\.16.*40"),
        (
            "w_bits: 4",
            "wbits: 4",
            r"best\.yaml:\d+:\d+ unknown key 'wbits' in layers\.conv1\. Did you mean 'w_bits'",
        ),
        ("w_bits: 4", "w_bits: four", r"best\.yaml:\d+:\d+ layers\.conv1\.w_bits: .*'four'"),
        ("w_bits: 4", "w_bits: true", r"best\.yaml:\d+:\d+ layers\.conv1\.w_bits: .*True"),
        ("schema: 1", "schema: 2", r"best\.yaml:\d+:\d+ schema: "),
        ("model: tiny\n", "", r"best\.yaml:\d+:\d+ 'model' is missing"),
        ("model: tiny\n", "model: tiny\nmodel: tiny\n", r"best\.yaml:4:1 'model' is already set at line 3"),
    ],
)
def test_a_broken_file_names_line_and_fix(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_files_of_weights_are_not_read_as_configurations(tmp_path: Path) -> None:
    for suffix in ("pt", "pth", "pkl", "npz", "safetensors"):
        with pytest.raises(ConfigError, match=rf"^best\.{suffix}: a configuration is YAML, but this is"):
            read_config(tmp_path / f"best.{suffix}")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "absent.yaml")


def test_unknown_names_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"'fcc' matched 0 of 4 layers\. Did you mean 'fc'\?"):
        write_config(tmp_path / "best.yaml", CompressionConfig.from_bits({"fcc": 4}), tiny_graph())
    assert not (tmp_path / "best.yaml").exists()


def test_another_model_is_told_apart(tmp_path: Path) -> None:
    file = read_config(written(tmp_path))
    short = tiny_graph().fingerprint[:4]
    check_model(file, tiny_graph(batch=16))
    other = chain("vgg16", [Layer(name=n, module=n, dims=Dims(K=2, C=2)) for n in ("conv1", "features.0")])
    message = (
        rf"^best\.yaml was made for tiny \(fingerprint {short}…\); this is vgg16: 3 of 4 names do not match\.$"
    )
    with pytest.raises(ConfigError, match=message):
        check_model(file, other)
    with pytest.raises(ConfigError, match=message):
        check_model(file, other, allow_other_shape=True)
    larger = tiny_graph(size=16)
    with pytest.raises(ConfigError, match=r"all 4 names match, but the shapes or connections differ"):
        check_model(file, larger)
    check_model(file, larger, allow_other_shape=True)


def test_the_provenance_of_a_file_is_a_record(tmp_path: Path) -> None:
    """The text that the release before wrote, with keys that it knew and one of a user."""
    lines = [
        "provenance:",
        "  versions: {python: 3.11.9, torch: 2.8.0}",
        "  seed: 3",
        "  accelerator: {name: eyeriss, fingerprint: 0a1b}",
        "  command: hwmodel search my.yaml",
        "  model: {name: resnet20, options: {shortcut: pad}}",
        "  data: {name: digits, options: {}}",
        "  training: {epochs: 8}",
        "  checkpoint: checkpoints/best.safetensors",
        "  note: [1, two]",
    ]
    path = written(tmp_path)
    path.write_text(path.read_text().replace("provenance: {}", "\n".join(lines)))
    record = read_config(path).provenance
    assert (record.seed, record.accelerator.name, record.accelerator.fingerprint) == (3, "eyeriss", "0a1b")
    assert record.versions == {"python": "3.11.9", "torch": "2.8.0"}
    assert record.model == MadeWith(name="resnet20", options={"shortcut": "pad"})
    assert record.data == MadeWith(name="digits")
    assert (record.training, record.checkpoint) == ({"epochs": 8}, "checkpoints/best.safetensors")
    assert record.float_checkpoint is None
    assert record.model_extra == {"note": [1, "two"]}
    again = write_config(tmp_path / "again.yaml", CompressionConfig({}), tiny_graph(), provenance=record)
    assert read_config(again).provenance == record


def test_a_record_is_written_under_the_keys_that_the_release_before_reads(tmp_path: Path) -> None:
    class Plain(Schema, extra="allow"):
        provenance: dict[str, Any]

    made = provenance(seed=3, accelerator="eyeriss", accelerator_fingerprint="0a1b", command="c")
    path = write_config(tmp_path / "best.yaml", CompressionConfig({}), tiny_graph(), provenance=made)
    data = read_yaml(path, Plain).provenance
    assert list(data) == ["versions", "seed", "accelerator", "command"]
    assert data["accelerator"] == {"name": "eyeriss", "fingerprint": "0a1b"}
    assert (data["seed"], data["command"]) == (3, "c")


def test_values_of_users_stay_beside_the_record(tmp_path: Path) -> None:
    given = {"seed": np.int64(3), "who": {"name": "me", "nothing": None}}
    path = write_config(tmp_path / "x.yaml", CompressionConfig({}), tiny_graph(), provenance=given)
    record = read_config(path).provenance
    assert (record.seed, record.model_extra) == (3, {"who": {"name": "me", "nothing": None}})
    with pytest.raises(ConfigError, match=r"^provenance:\d+:\d+ model: .*'resnet20'"):
        write_config(path, CompressionConfig({}), tiny_graph(), provenance={"model": "resnet20"})
    assert read_config(path).provenance == record
