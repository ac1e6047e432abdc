"""Memories for each place along axes: how many there are, where loops may run, what a file may say."""

from __future__ import annotations

import pytest

from hwmodel.chip.area import chip_area
from hwmodel.chip.loader import FOLDER
from hwmodel.chip.writing import accelerator_yaml
from hwmodel.errors import AcceleratorError, MappingError
from hwmodel.nest.access import count_accesses
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping, room_needed
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import Bits, Layer
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS, CLUSTERS, DRAM, HEAD, ORDERED, SHARED


def test_copies_are_counted_along_the_axes_that_have_them(tmp_path):
    loaded = chip(tmp_path, CLUSTERS.replace("size: 12 B,", "size: 12 B, area: 2 um^2/bit, leakage: 1 mW,"))
    assert [loaded.num_copies(memory) for memory in loaded.memories().values()] == [4, 2, 1, 1]
    assert loaded.leakage_w == {"column": pytest.approx(2e-3)}
    column = next(part for part in chip_area(loaded).components if part.name == "column")
    assert (column.copies, column.mm2) == (2, pytest.approx(2 * 12 * 8 * 2e-6))
    assert dict(loaded.split_levels) == {"X": 2, "Y": 1}


@pytest.mark.parametrize("name", CHIPS)
def test_a_chip_is_written_as_it_was_read(tmp_path, name):
    loaded = chip(tmp_path, CHIPS[name])
    assert chip(tmp_path, accelerator_yaml(loaded)).fingerprint == loaded.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per: X", "per: Z", "`per` must be an axis \\(X, Y\\), `pe` or `array`, but got 'Z'"),
        ("per: pe", "per: Y", "level 'column' has a copy for each place along X, but 'regs'"),
        ("per: X", "per: []", r"memories\[1\]\.per.*at least 1 item"),
    ],
)
def test_places_that_cannot_be_are_refused(tmp_path, old, new, message):
    with pytest.raises(AcceleratorError, match=message):
        chip(tmp_path, CLUSTERS.replace(old, new))


@pytest.mark.parametrize("named", ["[X, Y]", "[Y, X]"])
def test_a_memory_for_each_place_along_all_axes_is_one_in_every_pe(tmp_path, named):
    """The same chip, to the last bit, and on a row-stationary one with a network, too."""
    for text in (CLUSTERS, (FOLDER / "eyeriss.yaml").read_text()):
        plain, both = chip(tmp_path, text), chip(tmp_path, text.replace("per: pe", f"per: {named}"))
        assert both.fingerprint == plain.fingerprint
        assert both.has_clusters == plain.has_clusters


def test_a_network_fills_a_memory_of_every_pe(tmp_path):
    text = (FOLDER / "eyeriss.yaml").read_text()
    glb = text.replace("    bank: 4 KiB", "    bank: 4 KiB\n    network: 16 bit/cycle")
    with pytest.raises(
        AcceleratorError, match=r"memories\[3\]\.network: fills a memory of every PE: write `per: pe`"
    ):
        chip(tmp_path, glb)


def test_rows_of_pes_are_not_pes(tmp_path):
    """Row stationary needs registers in every PE, and one buffer for all."""
    text = (FOLDER / "eyeriss.yaml").read_text().replace("per: pe", "per: Y")
    for key in ("network", "network_energy"):
        text = "\n".join(line for line in text.splitlines() if not line.strip().startswith(f"{key}:"))
    with pytest.raises(AcceleratorError, match="needs one level per PE that holds W, I and O"):
        chip(tmp_path, text)


def test_what_is_shared_inside_of_copies_is_refused(tmp_path):
    lane = "  - {name: lane, per: Y, holds: [I], size: 4 B, read_energy: 0.1 pJ/bit, source: test}\n"
    inside = SHARED.replace("  - {name: l1,", lane + "  - {name: l1,")
    with pytest.raises(AcceleratorError, match="'wreg' is shared along Y, but the level outside of it, 'lane'"):
        chip(tmp_path, inside)


def mapping(**spatial):
    """K over X, C over Y; what is left in the outermost memory."""
    names = ("regs", "column", "buffer", "dram")
    keeps = dict(regs=("W", "O"), column=("I", "O"), buffer=("W", "I", "O"), dram=("W", "I", "O"))
    return Mapping(levels=tuple(LevelMapping(name=n, spatial=spatial.get(n, ()), keeps=keeps[n]) for n in names))


def test_loops_across_copies_run_right_outside_of_them(tmp_path):
    layer, loaded = Layer(name="l", dims={"K": 2, "C": 2}), chip(tmp_path, CLUSTERS)
    x, y = Loop("K", 2, "X"), Loop("C", 2, "Y")
    count_accesses(layer, loaded, mapping(column=(y,), buffer=(x,)))
    with pytest.raises(MappingError, match="`loops on axis X at 'buffer'` must hold"):
        count_accesses(layer, loaded, mapping(column=(x, y)))
    with pytest.raises(MappingError, match="`loops on axis Y at 'column'` must hold"):
        count_accesses(layer, loaded, mapping(buffer=(x, y)))
    with pytest.raises(MappingError, match="`loops on axis X <= 2` must hold, but got 3"):
        count_accesses(Layer(name="l", dims={"K": 3}), loaded, mapping(buffer=(Loop("K", 3, "X"),)))


def test_reads_are_shared_between_the_copies_below(tmp_path):
    """Both columns need the same inputs: the buffer reads them once. The rows of a column need different ones."""
    layer, loaded = Layer(name="l", dims={"K": 2, "C": 2}), chip(tmp_path, CLUSTERS)
    counts = count_accesses(layer, loaded, mapping(column=(Loop("C", 2, "Y"),), buffer=(Loop("K", 2, "X"),)))
    assert (counts["column", "I"].fills, counts["column", "I"].reads, counts["column", "I"].instances) == (2, 2, 2)
    assert (counts["buffer", "I"].reads, counts["buffer", "W"].reads) == (2, 4)
    assert (counts["column", "O"].updates, counts["buffer", "O"].updates) == (1, 2)


def test_sums_that_meet_outside_leave_a_cluster_unfinished(tmp_path):
    """Two clusters work on the same two outputs: what leaves them is 24 bit wide, what is added up 8."""
    layer, loaded = Layer(name="l", dims={"K": 2, "C": 2}, bits=Bits(w=8, i=8)), chip(tmp_path, CHIPS["meeting"])
    own = Mapping(levels=(
        LevelMapping(name="regs", keeps=("W",)),
        LevelMapping(name="sums", spatial=(Loop("K", 2, "Y"),), keeps=("O",)),
        LevelMapping(name="l1", spatial=(Loop("C", 2, "X"),), keeps=("W", "O")),
        LevelMapping(name="dram", keeps=("W", "I", "O")),
    ))  # fmt: skip
    counts = count_accesses(layer, loaded, own)
    assert (counts["sums", "O"].updates, counts["sums", "O"].final_updates) == (2, 0)
    assert (counts["l1", "O"].updates, counts["l1", "O"].final_updates) == (2, 2)  # both clusters add in one update
    priced = price(Task.of(layer, loaded), own)
    assert (priced.tile_bits["sums", "O"], priced.tile_bits["l1", "O"]) == (2 * 24, 2 * 8)
    assert priced.traffic["l1", "O"].final_bits == 2 * 8


def test_places_that_are_served_alone_share_nothing(tmp_path):
    text = (
        HEAD
        + """\
array:
  - {axis: X, size: 2, dims: [K], multicast: false}
memories:
  - {name: regs, per: pe, holds: [I], size: 2 B, read_energy: 0.01 pJ/bit, source: test}
"""
        + DRAM
    )
    layer = Layer(name="l", dims={"K": 2, "C": 2})
    loops = (Loop("C", 2),)
    for shares, reads in ((True, 2), (False, 4)):
        loaded = chip(tmp_path, text if not shares else text.replace(", multicast: false", ""))
        own = Mapping(levels=(
            LevelMapping(name="regs", keeps=("I",)),
            LevelMapping(name="dram", temporal=loops, spatial=(Loop("K", 2, "X"),), keeps=("W", "I", "O")),
        ))  # fmt: skip
        assert count_accesses(layer, loaded, own)["dram", "I"].reads == reads


def test_a_register_that_an_axis_shares_is_read_once_for_it(tmp_path):
    """A weight for each X, shared along Y: it is read once for both places there, and there are two of them."""
    loaded = chip(tmp_path, SHARED)
    layer = Layer(name="l", dims={"K": 2, "OY": 2})
    own = Mapping(levels=(
        LevelMapping(name="regs", keeps=("W", "O")),
        LevelMapping(name="l1", spatial=(Loop("K", 2, "X"), Loop("OY", 2, "Y")), keeps=("W", "I")),
        LevelMapping(name="l2", keeps=("W", "I", "O")),
        LevelMapping(name="dram", keeps=("W", "I", "O")),
    ))  # fmt: skip
    counts = count_accesses(layer, loaded, own)
    assert (counts["regs", "W"].instances, counts["regs", "O"].instances) == (2, 4)
    assert counts["regs", "W"].fills == 1


def test_sums_of_registers_that_meet_outside_of_their_cluster(tmp_path):
    """As above, with registers of sums: two words of each cluster are 24 bit wide, and none of them is finished."""
    text = CHIPS["meeting"].replace("holds: [W], size: 2 B", "holds: [W, O], size: 6 B")
    layer, loaded = Layer(name="l", dims={"K": 2, "C": 2}, bits=Bits(w=8, i=8)), chip(tmp_path, text)
    own = Mapping(levels=(
        LevelMapping(name="regs", keeps=("W", "O")),
        LevelMapping(name="sums", spatial=(Loop("K", 2, "Y"),), keeps=("O",)),
        LevelMapping(name="l1", spatial=(Loop("C", 2, "X"),), keeps=("W", "O")),
        LevelMapping(name="dram", keeps=("W", "I", "O")),
    ))  # fmt: skip
    counts = count_accesses(layer, loaded, own)
    assert (counts["sums", "O"].updates, counts["sums", "O"].final_updates) == (2, 0)
    assert (counts["l1", "O"].updates, counts["l1", "O"].final_updates) == (2, 2)
    priced = price(Task.of(layer, loaded), own)
    assert (priced.tile_bits["sums", "O"], priced.tile_bits["l1", "O"]) == (2 * 24, 2 * 8)
    assert (priced.traffic["sums", "O"].writes_bits, priced.traffic["sums", "O"].final_bits) == (2 * 2 * 24, 0)


def test_windows_of_loops_at_two_levels_are_not_shared(tmp_path):
    """Two outputs over two taps start at 0, 1 and 2; on wires of its own each cluster is served two."""
    text = CHIPS["meeting"].replace("size: 2, dims: [C]}", "size: 2, dims: [OX]}").replace("[K, C]", "[FX]")
    layer = Layer(name="l", dims={"OX": 2, "FX": 2})
    own = Mapping(levels=(
        LevelMapping(name="regs", keeps=("W",)),
        LevelMapping(name="sums", spatial=(Loop("FX", 2, "Y"),), keeps=("O",)),
        LevelMapping(name="l1", spatial=(Loop("OX", 2, "X"),), keeps=("W", "O")),
        LevelMapping(name="dram", keeps=("W", "I", "O")),
    ))  # fmt: skip
    assert count_accesses(layer, chip(tmp_path, text), own)["dram", "I"].reads == 2 * 2
    axes = "array:\n  - {axis: X, size: 2, dims: [OX]}\n  - {axis: Y, size: 2, dims: [FX]}\nmemories:\n"
    flat = HEAD + axes + DRAM
    beside = Mapping(levels=(
        LevelMapping(name="dram", spatial=(Loop("OX", 2, "X"), Loop("FX", 2, "Y")), keeps=("W", "I", "O")),
    ))  # fmt: skip
    assert count_accesses(layer, chip(tmp_path, flat), beside)["dram", "I"].reads == 3


def test_unfinished_sums_take_room_of_outputs_that_lie_in_a_memory_whole(tmp_path):
    """4 outputs of 4 bit, 12 more while sums go on: where channels are left outside of what is held before."""
    layer, loaded = Layer(name="l", dims={"K": 2, "C": 2, "OX": 2}, bits=Bits(w=2, i=4)), chip(tmp_path, ORDERED)
    task = Task.of(layer, loaded, Stay(resident=("O",)))
    need = []
    for inside, outside in (((), (Loop("C", 2),)), ((Loop("C", 2),), ())):
        own = Mapping(levels=(
            LevelMapping(name="regs", temporal=(Loop("K", 2),), keeps=("W", "O")),
            LevelMapping(name="column", temporal=inside, keeps=("I", "O")),
            LevelMapping(name="buffer", temporal=(*outside, Loop("OX", 2)), keeps=("W", "I")),
            LevelMapping(name="dram", keeps=("W", "I", "O")),
        ))  # fmt: skip
        need.append(room_needed(task, own, 2, loaded.memories()["buffer"]))
    tiles = 2 * 2 * 2 + 2 * 2 * 4  # all weights and inputs
    assert need == [tiles + 4 * 12, tiles]
    whole = mapping(buffer=())
    with pytest.raises(MappingError, match="O lies whole in 'buffer': it keeps no tile of it"):
        check_mapping(Task.of(Layer(name="l", dims={}), loaded, Stay(resident=("O",))), whole)


def test_a_rule_of_a_memory_is_said_where_it_stands(tmp_path):
    """Not at the first line that has its letters."""
    text = CLUSTERS.replace("name: column", "name: e").replace("per: X", "per: Z")
    line = next(n for n, words in enumerate(text.splitlines(), 1) if "name: e" in words)
    assert any("e" in words for words in text.splitlines()[: line - 1])
    with pytest.raises(AcceleratorError, match=rf":{line} memory 'e': `per` must be an axis"):
        chip(tmp_path, text)
