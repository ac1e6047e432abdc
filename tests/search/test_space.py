"""Groups, frozen layers, points and configurations."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import CostTable, evaluate, load_accelerator
from hwmodel.errors import ConfigError, HwModelError
from hwmodel.network.choice import Choice
from search.propose.pricing import Pricer
from search.space import Space
from tests.search.helpers import INNER, SHAPES, make_graph
from workloads.compress.config import LayerChoice
from workloads.compress.precision import average_precision

GRAPH = make_graph()


def test_first_and_last_are_frozen_at_8_by_default() -> None:
    space = Space.from_graph(GRAPH)
    assert space.size == 3 ** len(INNER)
    assert dict(space.frozen) == dict.fromkeys(("conv1", "fc"), LayerChoice(w_bits=8, a_bits=8))
    assert [group.name for group in space.groups] == list(INNER)


def test_frozen_float_and_none() -> None:
    assert Space.from_graph(GRAPH, frozen="first_last_float").frozen["fc"] == LayerChoice()
    assert Space.from_graph(GRAPH, frozen=None).size == 3 ** len(SHAPES)


def test_frozen_by_glob_name_and_fields() -> None:
    space = Space.from_graph(
        GRAPH,
        a_bits=(4,),
        frozen={"layer1.0.conv1": 2, "layer1.*": "float", "fc": {"w_bits": 4, "a_bits": 6}},
    )
    assert space.frozen["layer1.0.conv1"] == LayerChoice(w_bits=2, a_bits=8)  # the exact name wins
    assert space.frozen["layer1.0.conv2"] == LayerChoice()
    assert space.frozen["fc"] == LayerChoice(w_bits=4, a_bits=6)


def test_groups_share_decisions_and_the_rest_decides_alone() -> None:
    space = Space.from_graph(GRAPH, groups={"stage1": ["layer1.*"]})
    assert [group.name for group in space.groups] == ["stage1", "layer2.0.conv1", "layer2.0.conv2"]
    config = space.config({**space.most_precise, "stage1.w_bits": 2})
    assert {config.layers[f"layer1.0.conv{n}"].w_bits for n in (1, 2)} == {2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": {"conv_1": 8}}, r"^frozen: 'conv_1' matched 0 of 6 layers\. Did you mean 'conv1'\?$"),
        ({"groups": {"s": ["layr1.*"]}}, r"groups\.s: 'layr1\.\*' matched 0 of 6 layers"),
        ({"groups": {"a": "layer1.*", "b": "layer1.0.conv2"}}, "must not overlap, but 'layer1.0.conv2'"),
        ({"groups": {"a": "fc"}}, "all 1 layers of 'a' are frozen"),
        ({"groups": {"a": []}}, "'a' is empty"),
        ({"groups": "per layer"}, "per-layer"),
        ({"groups": {"layer2.0.conv1": "layer1.*"}}, "names a group and a layer"),
        ({"frozen": {"layer1.*": 8, "*.conv1": 4}}, "disagree on 'layer1.0.conv1'"),
        ({"frozen": "firstlast"}, "Did you mean 'first_last'"),
        ({"frozen": {"fc": "wide"}}, "must be weight bits"),
        ({"frozen": {"fc": {"wbits": 4}}}, "'fc': unknown key 'wbits'. Did you mean 'w_bits'"),
        ({"w_bits": ()}, "w_bits: must hold at least one value"),
        ({"w_bits": 8}, r"Write \[8\]"),
        ({"w_bits": (0, 8)}, "w_bits must be"),
        ({"density": (0.0, 1.0)}, "density"),
        ({"density": (0.3,), "pattern": "2:4"}, "pattern '2:4' allows 0.5 and 1"),
        ({"pattern": "blocks"}, "pattern"),
        ({"quantizer": "lqs"}, "quantizer"),
        ({"granularity": "row"}, "granularity"),
    ],
)
def test_bad_spaces(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HwModelError, match=message):
        Space.from_graph(GRAPH, **options)


def test_space_of_one_point() -> None:
    space = Space.from_graph(GRAPH, w_bits=(4,))
    assert (space.size, space.parameters, list(space.points())) == (1, (), [{}])
    assert space.config({}).layers["layer1.0.conv1"].w_bits == 4
    assert space.uniform_points() == [{}]


def test_uniform_points_cover_every_width() -> None:
    space = Space.from_graph(GRAPH, w_bits=(8, 2, 4), density=(0.5, 1.0))
    points = space.uniform_points()
    widths = [{value for name, value in point.items() if name.endswith("w_bits")} for point in points]
    densities = [{value for name, value in point.items() if name.endswith("density")} for point in points]
    assert widths == [{8}, {4}, {2}, {8}]
    assert densities == [{1.0}, {1.0}, {1.0}, {0.5}]


def test_a_uniform_point_takes_what_a_group_has() -> None:
    layers = {"layer1.0.conv2": {"w_bits": [4, 8]}}
    space = Space.from_graph(GRAPH, w_bits=(2, 8), a_bits=(4, 8), density=(0.5, 1.0), layers=layers)
    own = space.uniform_point(w_bits=2, a_bits=4)
    assert {value for name, value in own.items() if name.endswith("a_bits")} == {4}
    assert {value for name, value in own.items() if name.endswith("density")} == {1.0}, "the most precise"
    widths = {name: value for name, value in own.items() if name.endswith("w_bits")}
    assert widths.pop("layer1.0.conv2.w_bits") == 4, "the nearest above"
    assert set(widths.values()) == {2}


def test_nm_pattern_leaves_layers_dense_whose_channels_it_does_not_divide() -> None:
    space = Space.from_graph(GRAPH, frozen=None, density=(1.0, 0.5), pattern="2:4")
    by_name = {group.name: group.density for group in space.groups}
    assert by_name["conv1"] == (1.0,)  # one input channel
    assert by_name["fc"] == (0.5, 1.0)
    assert "conv1" in space.notes[0]
    pruned = space.config({**space.most_precise, "fc.density": 0.5}).layers["fc"]
    assert (pruned.pattern, pruned.density) == ("2:4", 0.5)
    assert space.config(space.most_precise).layers["fc"].pattern == "unstructured"


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_point_index_config_and_encoding_agree(data: st.DataObject) -> None:
    space = Space.from_graph(
        GRAPH,
        w_bits=data.draw(st.sampled_from([(4,), (2, 8), (2, 3, 4)])),
        a_bits=data.draw(st.sampled_from([(8,), (4, 8)])),
        density=data.draw(st.sampled_from([(1.0,), (0.25, 0.5, 1.0)])),
        groups=data.draw(st.sampled_from([None, {"stage1": "layer1.*"}])),
        frozen=data.draw(st.sampled_from([None, "first_last", "first_last_float"])),
    )
    indices = tuple(data.draw(st.integers(0, len(p.values) - 1)) for p in space.parameters)
    point = space.point(indices)
    config = space.config(point)
    assert space.indices(point) == indices
    assert space.point_of(config) == point
    row = space.encode([point])[0]
    priced = {module: space.choices()[module][index] for module, index in zip(space.modules, row, strict=True)}
    assert priced == {module: choice.choice for module, choice in config.layers.items()}


def test_choices_of_a_group() -> None:
    space = Space.from_graph(GRAPH, w_bits=(2, 4), a_bits=(8, 4))
    expected = tuple(Choice(w_bits=w, a_bits=a) for w, a in itertools.product((2, 4), (4, 8)))
    assert space.choices()["layer1.0.conv1"] == expected
    assert space.choices()["fc"] == (Choice(w_bits=8, a_bits=8),)


def test_points_are_checked() -> None:
    space = Space.from_graph(GRAPH)
    with pytest.raises(ConfigError, match="is missing"):
        space.config({})
    with pytest.raises(ConfigError, match="unknown parameter"):
        space.config({**space.most_precise, "fc.w_bits": 4})
    with pytest.raises(ConfigError, match=r"must be among \[2, 4, 8\], but got 3"):
        space.config({**space.most_precise, "layer1.0.conv1.w_bits": 3})
    outside = Space.from_graph(GRAPH, frozen=None).config(Space.from_graph(GRAPH, frozen=None).most_precise)
    with pytest.raises(ConfigError, match="not in this space"):
        Space.from_graph(GRAPH, frozen={"fc": 4}).point_of(outside)


def test_fingerprint_follows_content() -> None:
    assert Space.from_graph(GRAPH).fingerprint == Space.from_graph(GRAPH, w_bits=(8, 4, 2)).fingerprint
    others = [
        {"w_bits": (2, 4)}, {"a_bits": (4,)}, {"frozen": None}, {"quantizer": "minmax"}, {"granularity": "channel"},
    ]  # fmt: skip
    assert len({Space.from_graph(GRAPH, **o).fingerprint for o in [{}, *others]}) == 6  # type: ignore[arg-type]


def test_describe() -> None:
    text = Space.from_graph(GRAPH).describe()
    assert "81 configurations" in text and "conv1, fc" in text


@pytest.mark.parametrize("chip", ["loop_nest", "edge_npu"])
def test_the_cost_table_prices_points_as_evaluate_does(chip: str) -> None:
    """Frozen float layers, densities and widths in between; average bits by the one definition."""
    space = Space.from_graph(GRAPH, w_bits=(3, 8), density=(0.5, 1.0), frozen="first_last_float")
    accelerator = load_accelerator(chip)
    table = CostTable.build(GRAPH, accelerator, space.choices())
    points = [space.most_precise, space.point([0] * len(space.parameters)), space.point([1, 0] * len(INNER))]
    totals = table.totals(space.encode(points))
    for row, point in enumerate(points):
        config = space.config(point)
        costs = Pricer(GRAPH, table).costs(config)
        expected = evaluate(GRAPH, accelerator, config)
        assert costs["energy_pj"] == expected.energy_pj == totals["energy_pj"][row]
        assert (costs["memory_bits"], costs["latency_s"]) == (expected.memory_bits, expected.latency_s)
        assert costs["avg_w_bits"] == pytest.approx(average_precision(GRAPH, config))


def test_modules_that_cannot_be_compressed_stay_float() -> None:
    graph = make_graph()
    free = Space.from_graph(graph).groups[0].modules[0]
    space = Space.from_graph(graph, floating=[free, graph.modules[0]])
    config = space.config(space.most_precise)
    assert config.layers[free].is_float
    assert config.layers[graph.modules[0]].is_float, "even where the first layer is frozen at 8 bits"
    assert [note for note in space.notes if "stays float" in note and free in note]


def test_granularity_reaches_every_quantized_layer_and_leaves_old_spaces_as_they_were() -> None:
    graph = make_graph()
    space = Space.from_graph(graph, granularity="channel", frozen={graph.modules[0]: 8, graph.modules[-1]: "float"})
    choices = [space.config(space.point(tuple(0 for _ in space.parameters))).layers[name] for name in graph.modules]
    assert [choice.granularity for choice in choices[:-1]] == ["channel"] * (len(choices) - 1)
    assert choices[-1].is_float and choices[-1].granularity == "tensor"
    assert "granularity" not in Space.from_graph(graph).to_dict()


# ---- values of single layers ---------------------------------------------------------------------


def test_single_layers_have_values_of_their_own() -> None:
    space = Space.from_graph(
        make_graph(), w_bits=(2, 4, 8), density=(0.5, 1.0), frozen=None, groups={"stage1": ["layer1.*"]},
        layers={"layer2.*": {"w_bits": [3, 5]}, "layer2.0.conv2": {"density": [1.0]}, "stage1": {"w_bits": [8]}},
    )  # fmt: skip
    found = {group.name: (group.w_bits, group.density) for group in space.groups}
    assert found == {
        "conv1": ((2, 4, 8), (0.5, 1.0)), "stage1": ((8,), (0.5, 1.0)), "layer2.0.conv1": ((3, 5), (0.5, 1.0)),
        "layer2.0.conv2": ((2, 4, 8), (1.0,)), "fc": ((2, 4, 8), (0.5, 1.0)),
    }  # fmt: skip
    assert Space.from_dict(space.to_dict()).to_dict() == space.to_dict()
    by_member = Space.from_graph(
        make_graph(), groups={"stage1": ["layer1.*"]}, layers={"layer1.0.conv1": {"w_bits": [6]}}
    )
    assert by_member.groups[0].w_bits == (6,), "a layer speaks for its group"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"layer9": {"w_bits": [4]}}, "layers.*layer9"),
        (
            {"layer1.*": {"bits": [4]}},
            r"layers: 'layer1\.\*': must be among w_bits, a_bits, density, but got 'bits'",
        ),
        ({"layer1.*": [4]}, r"layers: 'layer1\.\*' must be values by axis"),
        ({"layer1.*": {"w_bits": [4]}, "*.conv1": {"w_bits": [8]}}, "disagree on 'layer1.0.conv1'. Name it alone"),
        ({"layer1.*": {"w_bits": [99]}}, "w_bits must be an integer"),
    ],
)
def test_what_is_no_value_of_a_layer_is_said(layers: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Space.from_graph(make_graph(), layers=layers)
