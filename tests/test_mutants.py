"""Mutants of every file that people write: each loads and prices to finite numbers, or is refused as what it is.

One value of a valid file is deleted, repeated, moved, or replaced by one that no author foresaw.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hwmodel import Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, list_accelerators, load_accelerator
from hwmodel.chip.loader import FOLDER
from hwmodel.chip.yamlfile import dump_yaml
from hwmodel.errors import HwModelError
from hwmodel.network.layer import Bits, Density
from search.spec import read_spec
from tests.hwmodel.chips import TINY
from workloads.compress import CompressionConfig, read_config, write_config

FOREIGN = st.sampled_from(
    [
        None,
        True,
        False,
        "",
        "x",
        "W",
        "K",
        "2:4",
        "4:2",
        "0:0",
        "1:999999999999",
        "unbounded",
        "1",
        "8 bit",
        "1 pJ",
        "9**9**9 pJ",
        "1 pJ + 2 pJ",
        "1e30 pJ",
        "1e29 pJ/bit",
        "1e-30 pJ",
        "1e30 bit",
        "1e29 Hz",
        "1e-29 Hz",
        "1e-29 s",
        "1e29 bit/cycle",
        "1e-29 bit/cycle",
        "1e29 B",
        "1e-29 mm^2",
        "-1 pJ",
        "nan pJ",
        "inf pJ",
        "nan",
        "\ud800",
        "\x00",
        "a" * 5000,
        "é/../..",
        0,
        1,
        -1,
        2,
        3,
        33,
        117,
        118,
        2**31,
        2**31 - 1,
        2**53,
        2**63 - 1,
        2**63,
        10**400,
        -(2**70),
        0.0,
        -0.0,
        0.5,
        1.5,
        -1.5,
        1e-320,
        1e-300,
        1e300,
        1.8e308,
        math.inf,
        -math.inf,
        math.nan,
        [],
        {},
        [None],
        [0],
        [[]],
        [1, 2, 3],
        ["K", "K"],
        ["W", "I", "O"],
        {"": 1},
        {"a": {"b": 1}},
        [1e308] * 3,
    ]
)


def places(tree: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a tree has values."""
    items: list[tuple[Any, Any]] = []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    return [path for key, value in items for path in ((*where, key), *places(value, (*where, key)))]


@st.composite
def mutants(draw: st.DrawFn, trees: list[Any]) -> Any:
    """One of some trees with one to three values changed."""
    tree = copy.deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 3))):
        found = places(tree)
        if not found:
            break
        *above, key = draw(st.sampled_from(found))
        owner = tree
        for part in above:
            owner = owner[part]
        kind = draw(
            st.sampled_from(["replace", "replace", "replace", "delete", "move", "repeat", "rename", "scale"])
        )
        if kind == "delete":
            del owner[key]
        elif kind == "move":
            other = tree
            for part in draw(st.sampled_from(found)):
                other = other[part]
            owner[key] = copy.deepcopy(other)
        elif kind == "repeat" and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        elif kind == "rename" and isinstance(owner, dict):
            owner[draw(st.sampled_from(["", "x", "name", f"{key}s", "__class__"]))] = owner.pop(key)
        elif kind == "scale" and isinstance(owner[key], (int, float)) and not isinstance(owner[key], bool):
            owner[key] = owner[key] * draw(st.sampled_from([-1, 0, 2, 1000, 10**9, 10**15]))
        else:
            owner[key] = copy.deepcopy(draw(FOREIGN))
    return tree


def small_graph() -> LayerGraph:
    """A convolution and its activation, a linear layer, a product of activations."""
    layers = [
        Layer(name="conv", module="conv", dims=dict(K=4, C=2, OY=3, OX=3, FY=3, FX=3), has_bias=True),
        Layer(name="fc", kind="linear", module="fc", dims=dict(K=3, C=36), bits=Bits(w=4, i=8, o=8)),
        Layer(
            name="mm", kind="matmul", dims=dict(G=2, K=3, C=3, OX=1), density=Density(w=0.5, i=0.5, pattern="1:2")
        ),
    ]
    relu = VectorOp(name="relu", kind="activation", elements_in=36, elements_out=36, module="act", fused=True)
    nodes = [Port(name="x", kind="input"), layers[0], relu, *layers[1:], Port(name="y", kind="output")]
    shapes = {"x": (1, 2, 5, 5), "conv": (1, 4, 3, 3), "relu": (1, 4, 3, 3), "fc": (1, 3), "mm": (2, 3)}
    names = [node.name for node in nodes]
    edges = [(u, v, Tensor(name=f"{u}.out", shape=shapes[u])) for u, v in pairwise(names)]
    return LayerGraph("small", nodes, edges, free_ops={"view": 2}, route="hand")


GRAPH = small_graph()
CHIP = load_accelerator("eyeriss")
SEQUENTIAL = load_accelerator("loop_nest")


def check_finite(value: Any) -> None:
    if isinstance(value, float):
        assert math.isfinite(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        check_finite(item)


def check_prices(graph: LayerGraph, chip: Any = CHIP, config: Any = None) -> None:
    """Every number of the cost is finite, and none is negative."""
    cost = evaluate(graph, chip, config)
    numbers = cost.to_dataframe().select_dtypes("number").to_numpy(dtype=float)
    for value in [
        *numbers.flatten(),
        cost.energy_pj,
        cost.latency_s,
        cost.memory_bits,
        cost.utilization,
        cost.macs,
    ]:
        assert math.isfinite(value)
        assert value >= 0
    check_finite(list(cost.traffic_frame()["energy_pj"]))


def yaml_text(tree: Any) -> str | None:
    """A tree as YAML; None for one that no YAML says."""
    try:
        return dump_yaml(tree) if isinstance(tree, dict) else json.dumps(tree)
    except Exception:
        return None


def written(tree: Any, name: str = "x.yaml") -> Path | None:
    text = yaml_text(tree)
    if text is None:
        return None
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@settings(max_examples=20, deadline=None)
@given(mutants([json.loads(GRAPH.to_json())]))
def test_graphs(tree: Any) -> None:
    try:
        graph = LayerGraph.from_json(json.dumps(tree))
        check_prices(graph)
        check_prices(graph, SEQUENTIAL)
    except HwModelError:
        return
    assert LayerGraph.from_json(graph.to_json()).to_dict() == graph.to_dict()
    graph.to_dataframe()


def chip_trees() -> list[Any]:
    texts = [TINY, *((FOLDER / f"{name}.yaml").read_text() for name in list_accelerators())]
    return [json.loads(json.dumps(YAML(typ="safe", pure=True).load(text))) for text in texts]


@settings(max_examples=20, deadline=None)
@given(mutants(chip_trees()))
def test_chips(tree: Any) -> None:
    path = written(tree)
    if path is None:
        return
    try:
        check_prices(GRAPH, load_accelerator(path))
    except HwModelError:
        return


def config_tree() -> Any:
    config = CompressionConfig.from_bits({"conv": 4, "fc": 2}, a_bits=8)
    with tempfile.TemporaryDirectory() as folder:
        path = write_config(Path(folder) / "best.yaml", config, GRAPH, metrics={"accuracy": 0.5})
        return json.loads(json.dumps(YAML(typ="safe", pure=True).load(path.read_text())))


@settings(max_examples=30, deadline=None)
@given(mutants([config_tree()]))
def test_configurations(tree: Any) -> None:
    path = written(tree)
    if path is None:
        return
    try:
        file = read_config(path)
        check_finite(dict(file.metrics))
        check_prices(GRAPH, CHIP, file.config)
    except HwModelError:
        return


SEARCH = {
    "name": "r", "model": "resnet8", "model_options": {"in_channels": 1}, "data": "digits", "data_options": {},
    "accelerator": "eyeriss", "objectives": ["accuracy", "energy"],
    "space": {"w_bits": [2, 4], "a_bits": [8], "density": [0.5, 1.0], "pattern": "unstructured", "groups": "stage",
              "frozen": {"conv1": 8}, "quantizer": "lsq", "granularity": "tensor"},
    "search": {"trials": 3, "qat": 1, "seed": 0, "test_seeds": 1, "pick": {"accuracy": 0.9}},
    "training": {"float": {"epochs": 1, "lr": 0.1}, "qat": {"epochs": 1, "lr": 0.01}},
    "strict_bits": False, "checkpoint": "x.safetensors", "provenance": {"versions": {"torch": "2"}},
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(mutants([SEARCH, {"model": "resnet8", "data": "digits", "accelerator": "eyeriss"}]))
def test_searches(tree: Any) -> None:
    path = written(tree)
    if path is None:
        return
    try:
        spec = read_spec(path)
    except HwModelError:
        return
    check_finite(spec.model_dump())
    path.write_text(spec.to_yaml())
    assert read_spec(path) == spec


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" + '"a":' * 10, "NaN", '{"schema": 1, "x": Infinity}', "1" * 5000, "[]", ""]
)
def test_texts_that_are_no_graphs(text: str) -> None:
    with pytest.raises(HwModelError, match="graph: "):
        LayerGraph.from_json(text)
