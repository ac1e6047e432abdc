"""What a chip file says of a machine driven by commands, and what it is refused for."""

from __future__ import annotations

import pytest

from hwmodel import load_accelerator
from hwmodel.chip.loader import FOLDER
from hwmodel.chip.timing.commands import Cache, Commands, Loads, Passes, Stores
from hwmodel.chip.writing import write_accelerator
from hwmodel.errors import AcceleratorError
from tests.hwmodel.chips import TINY, chip

GEMMINI = (FOLDER / "gemmini.yaml").read_text()


def test_the_section_becomes_the_machine():
    """Sizes in bytes, and the rows of the array beside which new weights move in."""
    own = load_accelerator("gemmini").timing
    assert isinstance(own, Commands)
    assert own.passes == Passes(rows=16, weight_rows=16, least=4, entries=16, latency=40, dispatch=32)
    assert own.loads == Loads(rows=16, bytes=64, word=16, at_once=2, latency=108)
    assert own.stores == Stores(bytes=16, cycles=2, same_word=22)
    assert own.caches[0] == Cache(size_bytes=2**19, ways=8, line_bytes=64, banks=2, load_cycles=8, store_cycles=21)
    assert (own.caches[0].lines, own.caches[0].sets) == (8192, 1024)


def test_a_chip_that_was_changed_is_written_and_read_back(tmp_path):
    text = GEMMINI.replace("in_flight: 2", "in_flight: 3").replace("size: 512 KiB", "size: 256 KiB")
    own = chip(tmp_path, text.replace("{axis: Y, size: 16", "{axis: Y, size: 32"))
    assert own.timing.passes.weight_rows == 32
    again = load_accelerator(write_accelerator(tmp_path / "again.yaml", own))
    assert (again.timing, again.fingerprint) == (own.timing, own.fingerprint)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  kind: commands\n", "  kind: systolic\n  dataflow: ws\n", "timing systolic has no `commands`"),
        (
            "size: 16, dims: [C]}",
            "size: 16, dims: [C, FY]}",
            r"two axes, of dims \[C\] \(rows\) and \[K\] \(columns\)",
        ),
        (
            "ways: 8, line: 64 B",
            "ways: 7, line: 64 B",
            r"multiple of line \* ways \* banks = 896 B, but got 524288 B",
        ),
        ("stores: {size: 16 B", "stores: {size: 12 bit", "`size` of stores must be whole bytes, but got 12 bit"),
        ("entries: 16", "entries: 3", "greater than or equal to 4|entries"),
        ("same_word: 22", "same_words: 22", "same_word"),
        ("precision: fixed", "precision: fusion", "timing commands needs `precision: fixed`"),
        (
            "    read_energy: 0.44 pJ/bit\n",
            "    read_energy: 0.44 pJ/bit\n    bandwidth: 9 bit/cycle\n",
            "leave out that of 'scratchpad'",
        ),
        ("temporal:", "skipping: [W]\ntemporal:", "knows no `skipping`"),
        (
            "temporal:",
            "order: {dram: [K, C]}\ntemporal:",
            r"order: timing commands: the order and the sizes of the loops are the software's",
        ),
        (
            "size: 16, dims: [C]}",
            "size: 16, dims: [C], full: [C]}",
            r"array\[1\]\.full: timing commands: the order and the sizes",
        ),
        *(
            (f"    holds: {held}\n", f"    holds: {held}\n    {key}: {named}\n", f"leave out `{key}` of '{name}'")
            for key, named, held, name in (
                ("resident", "[W]", "[W, I]", "scratchpad"),
                ("bypass", "[I]", "[W, I]", "scratchpad"),
                ("compressed", "[O]", "[W, I, O]", "dram"),
            )
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, old, new, message):
    assert old in GEMMINI
    with pytest.raises(AcceleratorError, match=message) as error:
        chip(tmp_path, GEMMINI.replace(old, new, 1))
    assert "chip.yaml" in str(error.value)


def test_a_machine_without_a_memory_for_tiles_is_refused(tmp_path):
    inside, outermost = GEMMINI.index("  - name: weight_register"), GEMMINI.index("  - name: dram")
    with pytest.raises(AcceleratorError, match="needs a memory for the tiles inside of the outermost one"):
        chip(tmp_path, GEMMINI[:inside] + GEMMINI[outermost:])


def test_a_kind_without_its_section_is_refused(tmp_path):
    with pytest.raises(AcceleratorError, match="timing commands needs a section `commands:`"):
        chip(tmp_path, TINY + "timing: {kind: commands}\n")
