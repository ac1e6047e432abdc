from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError, GraphError
from hwmodel.network.layer import Dims, Layer
from tests.workloads.compress.compress_models import chain, tiny_graph
from workloads.compress import CompressionConfig, LayerChoice, diff

BITS = st.one_of(st.none(), st.integers(1, 16), st.just(32))
DENSE_OR_PRUNED = st.one_of(
    st.fixed_dictionaries({
        "density": st.floats(0.01, 1.0), "pattern": st.sampled_from(["unstructured", "filter"]),
    }),
    st.fixed_dictionaries({"pattern": st.sampled_from(["1:4", "2:4", "4:8"])}),
    st.fixed_dictionaries({
        "pattern": st.just("filter"), "density": st.just(0.5),
        "keep_channels": st.sets(st.integers(0, 20), min_size=1).map(lambda s: tuple(sorted(s))),
    }),
)  # fmt: skip
CHOICES = st.builds(
    lambda w, a, q, rest: LayerChoice(w_bits=w, a_bits=a, quantizer=q, **rest),
    BITS, BITS, st.sampled_from(["minmax", "lsq"]), DENSE_OR_PRUNED,
)  # fmt: skip
CONFIGS = st.builds(CompressionConfig, st.dictionaries(st.text(min_size=1, max_size=8), CHOICES, max_size=5))


@settings(max_examples=50, deadline=None)
@given(CONFIGS)
def test_dict_pickle_and_copy_give_the_same_configuration(config: CompressionConfig) -> None:
    for other in (
        CompressionConfig.from_dict(config.to_dict()),
        pickle.loads(pickle.dumps(config)),
        copy.deepcopy(config),
        CompressionConfig(dict(reversed(config.layers.items()))),
    ):
        assert other == config
        assert hash(other) == hash(config)
        assert other.key == config.key
        assert diff(config, other) == []


def test_key_tells_configurations_apart() -> None:
    keys = {
        CompressionConfig.from_bits({"a": bits}, a_bits=a_bits, density=density, quantizer=quantizer).key
        for bits in (2, 3, None)
        for a_bits in (4, 8)
        for density in (0.5, 1.0)
        for quantizer in ("minmax", "lsq")
    }
    assert len(keys) == 3 * 2 * 2 * 2
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


def test_equal_meanings_compare_equal() -> None:
    assert LayerChoice(w_bits=None, a_bits=None) == LayerChoice(w_bits=32, a_bits=32)
    assert LayerChoice(pattern="filter") == LayerChoice()
    assert LayerChoice(pattern="2:4") == LayerChoice(pattern="2:4", density=0.5)
    assert LayerChoice().is_float
    assert not LayerChoice(a_bits=8).is_float
    assert not LayerChoice(density=0.5).is_float


def test_choice_speaks_the_cost_models_terms() -> None:
    choice = LayerChoice(w_bits=3, a_bits=None, density=0.25, pattern="filter").choice
    assert (choice.w_bits, choice.a_bits, choice.density, choice.pattern) == (3, 32, 0.25, "filter")


def test_configuration_cannot_be_changed() -> None:
    source = {"a": LayerChoice(w_bits=4)}
    config = CompressionConfig(source)
    source["b"] = LayerChoice()
    assert set(config.layers) == {"a"}
    with pytest.raises(FrozenInstanceError):
        config.layers = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.layers["b"] = LayerChoice()  # type: ignore[index]


@pytest.mark.parametrize("bits", [0, -1, 17, 31, 33, 4.0, "4", True])
def test_bits_outside_the_rule_are_refused(bits: object) -> None:
    with pytest.raises(
        ConfigError, match=r"w_bits must be an integer in 1\.\.16, or 32 or None for float, but got"
    ):
        LayerChoice(w_bits=bits)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'conv1': a_bits must be"):
        CompressionConfig.from_bits({"conv1": 4}, a_bits=bits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"density": 0.0}, r"0 < density <= 1.*density=0\.0"),
        ({"density": 1.5}, r"0 < density <= 1.*density=1\.5"),
        ({"density": float("nan")}, r"0 < density <= 1"),
        ({"density": True}, r"0 < density <= 1"),
        ({"density": "half"}, r"0 < density <= 1"),
        ({"pattern": "block"}, r"pattern must be.*got 'block'"),
        ({"pattern": "4:2"}, r"pattern must be.*got '4:2'"),
        ({"pattern": 3}, r"pattern must be.*got 3"),
        ({"pattern": "2:4", "density": 0.3}, r"'2:4' fixes density=0\.5, but got density=0\.3"),
        ({"quantizer": "lqs"}, r"got 'lqs'\. Did you mean 'lsq'\?"),
        ({"keep_channels": (1,)}, r"keep_channels needs pattern='filter'"),
        ({"keep_channels": (2, 1), "pattern": "filter"}, r"rising output-channel numbers.*\(2, 1\)"),
        ({"keep_channels": (), "pattern": "filter"}, r"at least one"),
        ({"keep_channels": (-1, 0), "pattern": "filter"}, r"each >= 0"),
    ],
)
def test_other_values_outside_their_rules_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LayerChoice(**values)  # type: ignore[arg-type]


def test_malformed_dictionaries_name_the_place() -> None:
    with pytest.raises(ConfigError, match=r"'conv1': unknown key 'wbits'\. Did you mean 'w_bits'\?"):
        CompressionConfig.from_dict({"layers": {"conv1": {"wbits": 3}}})
    with pytest.raises(ConfigError, match=r"must be \{'layers'"):
        CompressionConfig.from_dict({"conv1": {"w_bits": 3}})
    with pytest.raises(ConfigError, match=r"layers\['conv1'\] must be a LayerChoice, but got 4"):
        CompressionConfig({"conv1": 4})  # type: ignore[dict-item]


def test_from_bits_takes_numbers_and_whole_choices() -> None:
    whole = LayerChoice(w_bits=8, a_bits=8, quantizer="minmax")
    config = CompressionConfig.from_bits({"a": 2, "b": None, "c": whole}, a_bits=4, density=0.5)
    assert config.layers["a"] == LayerChoice(w_bits=2, a_bits=4, density=0.5)
    assert config.layers["b"] == LayerChoice(w_bits=32, a_bits=4, density=0.5)
    assert config.layers["c"] is whole


def test_annotate_sets_named_layers_and_leaves_others_float() -> None:
    graph = tiny_graph()
    annotated = CompressionConfig.from_bits({"block.2": 3}, a_bits=5, density=0.25).annotate(graph)
    layer = annotated.layer("block.2")
    assert layer.bits is not None
    assert (layer.bits.w, layer.bits.i, layer.density.w) == (3, 5, 0.25)
    for name in ("conv1", "block.0", "fc"):
        other = annotated.layer(name)
        assert other.bits is not None
        assert (other.bits.w, other.bits.i, other.density.w) == (32, 32, 1.0)
    assert graph.layer("block.2").bits is None, "the argument is not changed"


def test_annotate_leaves_unnamed_matmuls_alone() -> None:
    graph = chain("attention", [
        Layer(name="q", module="q", kind="linear", dims=Dims(B=4, K=8, C=8)),
        Layer(name="scores", module="attend", kind="matmul", dims=Dims(B=4, K=4, C=8)),
    ])  # fmt: skip
    assert CompressionConfig.from_bits({"q": 4}).annotate(graph).layer("scores").bits is None
    named = CompressionConfig({"attend": LayerChoice(a_bits=8)}).annotate(graph).layer("scores")
    assert named.bits is not None
    assert (named.bits.w, named.bits.i) == (8, 8)


def test_annotate_refuses_names_and_patterns_that_do_not_fit() -> None:
    with pytest.raises(GraphError, match=r"'conv_1' matched 0 of 4 layers\. Did you mean 'conv1'\?"):
        CompressionConfig.from_bits({"conv_1": 4}).annotate(tiny_graph())
    with pytest.raises(GraphError, match=r"'conv1': pattern '2:4' needs input channels .* divisible by 4.* has 1"):
        CompressionConfig.from_bits({"conv1": 4}, pattern="2:4").annotate(tiny_graph())
    assert CompressionConfig.from_bits({"fc": 4}, pattern="2:4").annotate(tiny_graph()).layer("fc").density.w == 0.5


def test_diff_lists_every_field_that_changes() -> None:
    first = CompressionConfig.from_bits({"a": 4, "b": 4}, a_bits=8)
    second = CompressionConfig.from_bits({"a": 2, "b": 4, "c": 8}, a_bits=8)
    assert [str(d) for d in diff(first, second)] == ["a.w_bits: 4 -> 2", "c.w_bits: 32 -> 8", "c.a_bits: 32 -> 8"]
    assert diff(first, first) == []


def test_configurations_and_their_files_need_no_torch() -> None:
    code = (
        "import sys; from workloads.compress import CompressionConfig, average_precision, read_config;"
        "from workloads.training import TrainSettings; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
