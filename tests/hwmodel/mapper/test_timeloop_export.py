"""What is exported to Timeloop, read back: the same mapping, and the same counts."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from benchmarks.replays.figures import figures
from benchmarks.replays.timeloop import case_of
from hwmodel import (
    Accelerator,
    Bits,
    Layer,
    LevelMapping,
    Loop,
    Mapping,
    count_accesses,
    find_mapping,
    list_accelerators,
    load_accelerator,
)
from hwmodel.chip.accelerator import Axis
from hwmodel.errors import MappingError
from hwmodel.interop.timeloop_export import timeloop_spec, to_timeloop_yaml
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.mapper.deep.brute import CHIPS

CASES = figures("timeloop_counts.json")
SPATIAL = [name for name in list_accelerators() if load_accelerator(name).kind == "spatial"]
#: Timeloop's arrays have two axes.
FLAT = [name for name in SPATIAL if len(load_accelerator(name).axes) <= 2]


def read(text: str) -> dict:
    """An exported file as the cases of `timeloop_counts.json` are written."""
    data = YAML(typ="safe").load(text)
    return {"arch_spec": data["arch"], "problem": data["problem"], "mapping": {"mapping": data["mapping"]}}


def real_loops(mapping: Mapping) -> list[tuple]:
    """A mapping without its unit loops."""
    return [
        (level.name, set(level.keeps), [n for n in level.temporal if n.bound > 1],
         sorted((n.dim, n.bound, n.axis) for n in level.spatial if n.bound > 1))
        for level in mapping.levels
    ]  # fmt: skip


def per_memory(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> dict:
    """Counts keyed by memory instead of level."""
    levels = {level.name: level for level in accelerator.levels}
    return {
        (levels[level].memory(operand).name, operand): counts
        for (level, operand), counts in count_accesses(layer, accelerator, mapping).items()
    }


def check_round_trip(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Mapping:
    """Counts of the file, read back, equal those of the mapping; returns the mapping read."""
    case = read(to_timeloop_yaml(layer, accelerator, mapping))
    read_layer, read_chip, back = case_of(case)
    counts = count_accesses(read_layer, read_chip, back)
    split = {f"{m}_{o}": m for m, o in itertools.product(accelerator.memories(), "WIO")}
    named = {(name if name in accelerator.memories() else split[name], o): c for (name, o), c in counts.items()}
    for key, expected in per_memory(layer, accelerator, mapping).items():
        got = named.pop(key)
        for field in ("reads", "fills", "updates", "tile", "instances"):
            assert getattr(got, field) == getattr(expected, field), (key, field)
    assert not named
    return back


LAYERS = [
    Layer(name="conv", dims=dict(K=16, C=8, OY=14, OX=14, FY=3, FX=3)),
    Layer(name="strided", dims=dict(K=12, C=6, OY=7, OX=9, FY=5, FX=3), stride=(2, 3), dilation=(1, 2)),
    Layer(name="depthwise", dims=dict(G=24, OY=14, OX=14, FY=3, FX=3)),
    Layer(name="grouped", dims=dict(G=4, K=6, C=5, OY=6, OX=6, FY=3, FX=3)),
    Layer(name="linear", kind="linear", dims=dict(B=4, K=10, C=84)),
    Layer(name="matmul", kind="matmul", dims=dict(G=3, B=16, K=16, C=8)),
]


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_best_mapping_survives(name, layer):
    accelerator = load_accelerator(name)
    mapping, _ = find_mapping(layer, accelerator)
    dims = [{loop.dim for n in mapping.levels for loop in n.spatial if loop.axis == axis} for axis in "XY"]
    apart = replace(accelerator, diagonal=False)
    if dims[0] & dims[1] and count_accesses(layer, apart, mapping) != count_accesses(layer, accelerator, mapping):
        with pytest.raises(MappingError, match="on both axes where PEs on a diagonal share"):
            to_timeloop_yaml(layer, accelerator, mapping)
        return
    check_round_trip(layer, accelerator, mapping)


@pytest.mark.parametrize("name", ["bitfusion", "edge_npu", "tpu_like"])
@pytest.mark.parametrize("widths", [(4, 8, None), (8, 2, None), (2, 2, 8), (8, 8, 4)])
def test_narrow_operands_keep_their_widths(name, widths):
    w, i, o = widths
    layer, accelerator = replace(LAYERS[0], bits=Bits(w=w, i=i, o=o)), load_accelerator(name)
    mapping, _ = find_mapping(layer, accelerator)
    check_round_trip(layer, accelerator, mapping)
    read_layer, _, _ = case_of(read(to_timeloop_yaml(layer, accelerator, mapping)))
    assert (read_layer.bits.w, read_layer.bits.i) == (w, i)


def test_an_array_of_three_axes_is_refused():
    accelerator = load_accelerator("stripes")
    mapping, _ = find_mapping(LAYERS[0], accelerator)
    with pytest.raises(MappingError, match="two axes at most, but this one has 3"):
        timeloop_spec(LAYERS[0], accelerator, mapping)


@pytest.mark.parametrize("case", CASES, ids=[case["layer"] for case in CASES])
def test_timeloops_own_mappings_survive_as_they_are(case):
    layer, accelerator, mapping = case_of(case)
    back = check_round_trip(layer, accelerator, mapping)
    assert real_loops(back) == real_loops(mapping)
    written = read(to_timeloop_yaml(layer, accelerator, mapping))["arch_spec"]
    for ours, theirs in zip(written["storage"], case["arch_spec"]["storage"], strict=True):
        for key in ("name", "instances", "meshX", "word-bits", "vector-access-energy", "technology", "entries"):
            assert key not in theirs or ours[key] == theirs[key]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_mapping_survives(data, tmp_path_factory):
    """Random loops of a layer on a chip with one memory per level: the same mapping comes back."""
    accelerator = chip(tmp_path_factory.mktemp("chip"), TINY.replace("8 B", "8 KiB").replace("64 B", "64 KiB"))
    layer = Layer(name="x", dims=dict(K=12, C=4, OY=6, OX=5, FY=3), stride=data.draw(st.integers(1, 3)))
    left = {dim: bound for dim, bound in layer.dims.items() if bound > 1}
    split = lambda dim: data.draw(st.sampled_from([n for n in range(1, left[dim] + 1) if left[dim] % n == 0]))  # noqa: E731
    spatial = []
    for axis in accelerator.axes:
        dim = data.draw(st.sampled_from(axis.dims))
        if left.get(dim, 1) % axis.size == 0:
            spatial.append(Loop(dim, axis.size, axis.name))
            left[dim] //= axis.size
    temporal = []
    for _ in range(2):
        loops = [Loop(dim, split(dim)) for dim in data.draw(st.permutations(sorted(left)))]
        temporal.append(tuple(loops))
        left = {dim: bound // {n.dim: n.bound for n in loops}[dim] for dim, bound in left.items()}
    temporal.append(tuple(Loop(dim, bound) for dim, bound in left.items()))
    mapping = Mapping(
        levels=tuple(
            LevelMapping(
                name=level.name, keeps=level.holds, temporal=loops, spatial=tuple(spatial) if n == 1 else ()
            )
            for n, (level, loops) in enumerate(zip(accelerator.levels, temporal, strict=True))
        )
    )
    check_round_trip(layer, accelerator, mapping)


def test_the_file_has_the_energy_that_we_say(tmp_path):
    """Where widths and energies are uniform: accesses times energy per word, over all instances, and the MACs."""
    text = TINY.replace("accumulator: 16 bit", "accumulator: 8 bit").replace("    write_energy: 0.13 pJ/bit\n", "")
    accelerator = chip(tmp_path, text)
    layer = Layer(name="x", dims=dict(K=6, C=4, OY=4, OX=5, FY=3), stride=(2, 1))
    mapping, cost = find_mapping(layer, accelerator)
    case = read(to_timeloop_yaml(layer, accelerator, mapping))
    counts = count_accesses(*case_of(case))
    per_word = {item["name"]: item["vector-access-energy"] for item in case["arch_spec"]["storage"]}
    macs = math.prod(case["problem"][letter] for letter in "RSPQCKN") * case["arch_spec"]["arithmetic"]["energy"]
    accesses = sum(
        (c.reads + c.fills + c.updates) * c.instances * per_word[name] for (name, _), c in counts.items()
    )
    padded = math.prod(mapping.dims.values_tuple) / layer.macs
    assert padded == 1
    assert macs + accesses == pytest.approx(cost.energy_pj)


def test_a_dim_along_both_axes_takes_a_level_of_columns():
    accelerator = load_accelerator("eyeriss")
    layer = Layer(name="x", dims=dict(K=24))
    loops = {"glb": (Loop("K", 12, "Y"), Loop("K", 2, "X"))}
    mapping = Mapping(
        levels=tuple(
            LevelMapping(name=level.name, keeps=level.holds, spatial=loops.get(level.name, ()))
            for level in accelerator.levels
        )
    )
    spec = timeloop_spec(layer, accelerator, mapping)
    blocks = {item["target"]: item for item in spec["mapping"] if item["type"] == "spatial"}
    assert blocks["Columns"]["factors"].split()[5] == "K12"
    assert blocks["Columns"]["split"] == 0
    assert blocks["glb"]["factors"].split()[5] == "K2"
    assert blocks["glb"]["split"] == 1
    sizes = {item["name"]: (item["instances"], item["meshX"]) for item in spec["arch"]["storage"]}
    assert (sizes["Columns"], sizes["psum_spad"], sizes["glb"]) == ((14, 14), (168, 14), (1, 1))
    check_round_trip(layer, accelerator, mapping)


def test_the_header_says_what_the_file_cannot():
    accelerator, layer = load_accelerator("bitfusion"), Layer(name="a\nb", dims=dict(K=4, C=4))
    mapping, _ = find_mapping(layer, accelerator)
    lines = to_timeloop_yaml(layer, accelerator, mapping).splitlines()
    assert lines[0] == "# a b on bitfusion, in Timeloop's words: timeloop-model FILE"
    header = " ".join(line for line in lines if line.startswith("#"))
    assert "Outputs (32 bit partial and 8 bit finished" in header


@pytest.mark.parametrize(("along", "copies", "mesh"), [("X", 2, 2), ("Y", 3, 1)])
def test_a_memory_for_each_place_along_an_axis(along, copies, mesh, tmp_path):
    """As many instances as it has copies; the loops along the other axis stand at its level."""
    text = CHIPS["clusters"].replace("axis: Y, size: 2", "axis: Y, size: 3").replace("per: X", f"per: {along}")
    accelerator = chip(tmp_path, text)
    for layer in (
        Layer(name="x", dims=dict(K=4, C=6, OX=3)),
        Layer(name="y", dims=dict(K=2, C=3, FX=2, OX=4, B=2)),
    ):
        mapping, _ = find_mapping(layer, accelerator)
        spec = timeloop_spec(layer, accelerator, mapping)
        sizes = {
            item["name"].partition("_")[0]: (item["instances"], item["meshX"]) for item in spec["arch"]["storage"]
        }
        assert sizes == {"regs": (6, 2), "column": (copies, mesh), "buffer": (1, 1), "dram": (1, 1)}
        check_round_trip(layer, accelerator, mapping)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CHIPS["shared"], r"places that share nothing \(`multicast: false` of Y\)"),
        (
            CHIPS["shared"].replace(", multicast: false", ""),
            "memories of level 'regs' with copies along different axes",
        ),
    ],
)
def test_places_that_timeloop_has_no_words_for(text, message, tmp_path):
    accelerator = chip(tmp_path, text)
    layer = Layer(name="x", dims=dict(K=2))
    with pytest.raises(MappingError, match=message):
        timeloop_spec(layer, accelerator, find_mapping(layer, accelerator)[0])


def test_what_timeloop_has_no_words_for(tmp_path):
    accelerator = chip(tmp_path)
    layer = Layer(name="x", dims=dict(K=8))
    levels = [LevelMapping(name=level.name, keeps=level.holds) for level in accelerator.levels]
    outer = LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=(Loop("K", 4),), spatial=(Loop("K", 2, "X"),))
    with pytest.raises(MappingError, match="'dram' has spatial loops, but does not stand at the array"):
        timeloop_spec(layer, accelerator, Mapping(levels=(*levels[:2], outer)))
    twice = (Loop("K", 2), Loop("C", 2), Loop("K", 4))
    outer = LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=twice)
    with pytest.raises(MappingError, match="two loops over one dim"):
        timeloop_spec(Layer(name="x", dims=dict(K=8, C=2)), accelerator, Mapping(levels=(*levels[:2], outer)))
    third = Accelerator(
        **{f: getattr(accelerator, f) for f in accelerator.__dataclass_fields__ if f != "axes"},
        axes=(*accelerator.axes, Axis(name="Z", size=2, dims=("K",))),
    )
    outer = LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=(Loop("K", 8),))
    with pytest.raises(MappingError, match="two axes at most, but this one has 3"):
        timeloop_spec(layer, third, Mapping(levels=(*levels[:2], outer)))
