"""Mappings with a tile per operand and memory: rules, drawing, files, and what else reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodel import Layer, LevelMapping, Loop, Mapping, evaluate, find_mapping, load_accelerator
from hwmodel.chip.writing import accelerator_yaml
from hwmodel.errors import MappingError
from hwmodel.explain import explain_mapping
from hwmodel.interop.timeloop_export import timeloop_spec
from hwmodel.mapper.cache import load_mapping, store_mapping
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.uneven.find import uneven_mapping
from hwmodel.nest.access import count_accesses
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS as EVEN_CHIPS
from tests.hwmodel.mapper.deep.brute import HEAD
from tests.hwmodel.mapper.deep.test_deep import LAYERS
from tests.hwmodel.mapper.uneven.brute import built
from tests.hwmodel.mapper.uneven.test_uneven import CHIPS, energy
from workloads import trace
from workloads.models.registry import load_model_with_input

#: One PE below three memories.
EVEN_TOWER = EVEN_CHIPS["tower"].replace("size: 12 B", "size: 24 B").replace("size: 16 B", "size: 24 B")
TOWER = EVEN_TOWER + "tiles: uneven\n"
LAYER = Layer(name="x", dims={"K": 4, "C": 2, "OX": 4})
ALL = ("W", "I", "O")
#: W lies around all loops of l1, I within the one over K, O in l0 within two.
MAPPING = Mapping(
    levels=(
        LevelMapping(name="l0", temporal=(Loop("OX", 2),), keeps=ALL, inward=(("O", 1),)),
        LevelMapping(name="l1", temporal=(Loop("K", 2), Loop("C", 2)), keeps=("W", "I"), inward=(("I", 1),)),
        LevelMapping(name="l2", temporal=(Loop("K", 2),), keeps=("I", "O")),
        LevelMapping(name="dram", temporal=(Loop("OX", 2),), keeps=ALL),
    )
)


def test_the_drawing_has_a_line_where_a_tile_lies_further_inside():
    assert MAPPING.loop_nest().splitlines() == [
        "dram [ W I O ]",
        "| for OX in [0:2)",
        "l2 [ I O ]",
        "|   for K in [0:2)",
        "l1 [ W ]",
        "|     for K in [0:2)",
        "|       l1 [ I ]",
        "|       for C in [0:2)",
        "l0 [ W I ]",
        "|         for OX in [0:2)",
        "|           l0 [ O ]",
    ]


def test_counts_by_hand(tmp_path):
    """Of I in l1: 2 columns of 2 channels, for the 2 iterations of OX; loops over K around them spare them.

    Of O in l0: a word in each of 32 iterations, as OX is right around it; 16 of them are first visits.
    """
    counts = count_accesses(LAYER, chip(tmp_path, TOWER), MAPPING)
    assert (counts["l1", "I"].tile, counts["l1", "I"].fills) == (4, 8)
    assert (counts["l1", "W"].tile, counts["l1", "W"].fills) == (4, 16)
    assert (counts["l0", "O"].tile, counts["l2", "O"].updates, counts["l0", "O"].fills) == (1, 32, 16)


def test_of_two_tiles_at_a_place_the_outer_one_is_drawn_first():
    levels = list(MAPPING.levels)
    levels[2] = replace(levels[2], inward=(("I", 2), ("O", 1)))
    drawn = Mapping(levels=tuple(levels)).loop_nest()
    assert "|       l2 [ I ]\n|       l1 [ I ]\n" in drawn
    assert "\nl2 [ I O inside ]\n" in drawn  # it has loops
    moved = replace(levels[2], temporal=(), inward=(("I", 1), ("O", 1)))
    assert "l2 [ I O inside ]" not in Mapping(levels=(*levels[:2], moved, levels[3])).loop_nest()


@pytest.mark.parametrize(
    ("level", "inward", "message"),
    [
        (0, (("O", 2),), r"`loops around O in 'l0' <= 5` must hold \(all loops\), but got 6"),
        (1, (("W", 3),), r"`loops around W in 'l1' <= 4` must hold \(those around its tile inside\), but got 5"),
        (1, (("O", 1),), r"`inward` of level 'l1' must be among what it keeps, each operand once, but got .*'O'"),
        (1, (("I", 1), ("I", 1)), r"each operand once"),
        (1, (("I", -1),), r"`inward >= 0` of level 'l1' must hold \(integers\), but got"),
        (1, (("I", True),), r"`inward >= 0`"),
        (3, (("I", 1),), r"the outermost level holds whole tensors: leave out"),
    ],
)
def test_rules(tmp_path, level, inward, message):
    levels = list(MAPPING.levels)
    levels[level] = replace(levels[level], inward=inward)
    with pytest.raises(MappingError, match=message):
        count_accesses(LAYER, chip(tmp_path, TOWER), Mapping(levels=tuple(levels)))


def test_a_chip_of_even_tiles_refuses_others(tmp_path):
    with pytest.raises(MappingError, match="`tiles: uneven` of the chip must hold where a level has `inward`"):
        count_accesses(LAYER, chip(tmp_path, EVEN_TOWER), MAPPING)


def test_loops_that_a_level_may_run_are_those_right_inside_of_each_tile(tmp_path):
    accelerator = chip(tmp_path, TOWER + "temporal: {l0: [K], l1: [K, C, OX]}\n")
    inside = LevelMapping(name="l0", temporal=(Loop("OX", 2),), keeps=ALL, inward=(("I", 1), ("O", 1)))
    count_accesses(LAYER, accelerator, Mapping(levels=(inside, *MAPPING.levels[1:-1], MAPPING.levels[-1])))
    with pytest.raises(
        MappingError, match=r"`temporal: \[K\]` of level 'l0' must hold, but its tile of I loops over OX"
    ):
        count_accesses(LAYER, accelerator, MAPPING)


def test_loops_inside_of_the_next_tile_are_that_tiles(tmp_path):
    accelerator = chip(tmp_path, TOWER + "temporal: {l1: [K]}\n")
    with pytest.raises(MappingError, match=r"temporal: \[K\]` of level 'l1' must hold, but its tile of W .* C"):
        count_accesses(LAYER, accelerator, MAPPING)


@pytest.mark.parametrize(
    "name", ["tower", "clusters", "shared", "far", "nested", "beside", "slow", "staying", "gap"]
)
def test_one_tile_per_level_costs_the_same_however_it_is_written(tmp_path, name):
    """All loops at the innermost level, with tiles among them where those of the levels were."""
    for layer in ("conv", "padded", "plane", "reduced", "linear"):
        task = Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name]))
        for optimize in ("energy", "latency"):
            even = deep_mapping(task, optimize)
            loops = [loop for level in reversed(even.levels) for loop in level.temporal]
            across, keeps = ([getattr(level, key) for level in even.levels] for key in ("spatial", "keeps"))
            places = {o: {n: even.begins(n) for n in even.holders(o)[:-1]} for o in "WIO"}
            own, same = price(task, built(task, across, keeps, loops, places)), price(task, even)
            assert (own.energy_pj, own.cycles) == (same.energy_pj, same.cycles)


def test_mappings_are_found_again_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("HWMODEL_CACHE", str(tmp_path / "cache"))
    task = Task.of(LAYER, chip(tmp_path, TOWER))
    store_mapping(task, "energy", MAPPING)
    assert load_mapping(task, "energy") == MAPPING
    assert load_mapping(Task.of(LAYER, chip(tmp_path, EVEN_TOWER)), "energy") is None


def test_timeloop_has_no_words_for_them(tmp_path):
    with pytest.raises(
        MappingError, match="one tile per level, but I, O lie further inside: map it with `tiles: even`"
    ):
        timeloop_spec(LAYER, chip(tmp_path, TOWER), MAPPING)


def test_an_explanation_has_the_tiles_of_each(tmp_path):
    told = explain_mapping(LAYER, chip(tmp_path, TOWER), MAPPING)
    tiles = {memory.name: dict(memory.tiles) for memory in told.memories}
    assert tiles["l1"] == {"W": 4, "I": 4}
    assert tiles["l0"] == {"W": 1, "I": 2, "O": 1}


@pytest.mark.parametrize(
    ("shared", "registers", "wanted"),
    [
        ("holds: [W]", ("W", "O"), {"wreg": (2, {"W": 1}), "oreg": (4, {"O": 1})}),
        ("holds: [W, I], bypass: [W]", ("I", "O"), {"wreg": (2, {"I": 2}), "oreg": (4, {"O": 1})}),
    ],
)
def test_an_explanation_counts_what_places_share_once(tmp_path, shared, registers, wanted):
    """A register that two places share holds what both need, and there is half as many of them."""
    text = EVEN_CHIPS["shared"].replace("per: X, holds: [W]", f"per: X, {shared}")
    across = (Loop("K", 2, "X"), Loop("OY", 2, "Y"))
    mapping = Mapping(
        levels=(
            LevelMapping(name="regs", keeps=registers),
            LevelMapping(name="l1", spatial=across, keeps=("W", "I")),
            LevelMapping(name="l2", keeps=ALL),
            LevelMapping(name="dram", keeps=ALL),
        )
    )
    told = explain_mapping(Layer(name="x", dims={"K": 2, "OY": 2}), chip(tmp_path, text), mapping)
    found = {memory.name: (memory.instances, dict(memory.tiles)) for memory in told.memories}
    assert {name: found[name] for name in wanted} == wanted


def test_a_chip_says_so_in_its_file_and_is_another_one(tmp_path):
    even, uneven = (chip(tmp_path, text) for text in (EVEN_TOWER, TOWER))
    assert (even.tiles, uneven.tiles) == ("even", "uneven")
    assert even.fingerprint != uneven.fingerprint == replace(even, tiles="uneven").fingerprint
    assert "tiles: uneven" in accelerator_yaml(uneven)
    assert "tiles" not in accelerator_yaml(even)


def test_networks_cost_no_more_with_tiles_of_their_own():
    model, example = load_model_with_input("resnet8")
    graph, accelerator = trace(model, *example), load_accelerator("simba")
    even, uneven = (evaluate(graph, replace(accelerator, tiles=tiles)) for tiles in ("even", "uneven"))
    assert uneven.energy_pj < even.energy_pj
    cost = {layer.name: layer.energy_pj for layer in even.layers}
    assert all(layer.energy_pj <= cost[layer.name] * (1 + 1e-12) for layer in uneven.layers)


def test_the_public_function_finds_them(tmp_path):
    layer, accelerator = LAYERS["conv"], chip(tmp_path, CHIPS["tower"])
    mapping, cost = find_mapping(layer, accelerator)
    task = Task.of(layer, accelerator)
    assert not mapping.is_even
    assert cost.energy_pj == pytest.approx(energy(task, uneven_mapping(task)), rel=1e-12)


def test_the_last_words_from_outside_are_those_of_the_tile_that_changes_most(tmp_path):
    """4 weights and 4 inputs at a bit a cycle; then the array works on what came last, a quarter of it or all."""
    text = HEAD + (
        "memories:\n"
        "  - {name: buffer, holds: [W, I, O], size: 1 KiB, double_buffered: true, read_energy: 1 pJ/bit,\n"
        "     source: test}\n"
        "  - {name: dram, holds: [W, I, O], size: unbounded, read_energy: 2 pJ/bit, read_bandwidth: 1 bit/cycle,\n"
        "     write_bandwidth: 64 bit/cycle, source: test}\n"
    )
    task = Task.of(Layer(name="x", dims={"K": 4, "OX": 4}), chip(tmp_path, text + "tiles: uneven\n"))
    cycles = {}
    for moved in ((), (("W", 1),)):
        buffer = LevelMapping(name="buffer", temporal=(Loop("K", 4), Loop("OX", 4)), keeps=ALL, inward=moved)
        priced = price(task, Mapping(levels=(buffer, LevelMapping(name="dram", keeps=ALL))))
        cycles[bool(moved)] = priced.cycles
    drain = 16 * 8 / 64
    assert cycles == {False: 64 + 16 + drain, True: 64 + 4 + drain}
