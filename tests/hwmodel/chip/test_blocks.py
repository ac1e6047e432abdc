"""Chip files with `timing: {kind: blocks}`: what they must say, and memories for tensors and for weights apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodel import Layer, evaluate, list_accelerators, load_accelerator
from hwmodel.chip.loader import FOLDER
from hwmodel.chip.timing.blocks import Blocks, Granule
from hwmodel.chip.writing import write_accelerator
from hwmodel.errors import AcceleratorError
from tests.hwmodel.chips import TINY, chip

ETHOS = [name for name in list_accelerators() if name.startswith("ethos_")]
TEXT = (FOLDER / "ethos_u55_128.yaml").read_text(encoding="utf-8")

REFUSED = {
    "an axis too few": (
        "  - {axis: C, size: 8, dims: [C]}\n", "",
        "timing blocks needs an array of four axes, of OY, OX, K and C first in this order",
    ),
    "a buffer of inputs alone": (
        "holds: [I, O]\n    size: 24 KiB", "holds: [I]\n    size: 24 KiB",
        "timing blocks needs a first memory with a `size`, `per: array` and `holds: [I, O]`",
    ),
    "a level too many": ("    level: system\n    holds: [W]", "    holds: [W]", "timing blocks needs two levels"),
    "zeros that it does not skip": (
        "vector:\n", "skipping: [W]\nvector:\n", "`precision: fixed`, no skipping, gating and nm",
    ),
    "tensors that stay": (
        "    size: 24 KiB", "    resident: [I, O]\n    size: 24 KiB", "timing blocks knows no `resident`",
    ),
    "no granule": (
        "granules: [{taps: 4, channels: 8}, {taps: 1, channels: 32}]", "granules: []", "at least 1 item",
    ),
    "a width without a unit": (
        "size: 10 B, word", "size: 10, word", "timing.blocks.parameters.size: 10 has no unit",
    ),
    "a dataflow": ("  kind: blocks\n", "  kind: blocks\n  dataflow: ws\n", "timing blocks has no `dataflow`"),
    "an operation in no time": ("add: 1.5", "add: 0", "greater than 0"),
    "kinds that are fused twice": ("[activation, norm]", "[norm, norm]", "must name each once"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_blocks_cannot_be_is_refused(tmp_path, what):
    old, new, said = REFUSED[what]
    assert old in TEXT
    with pytest.raises(AcceleratorError) as caught:
        chip(tmp_path, TEXT.replace(old, new, 1))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'chip.yaml'}:")


@pytest.mark.parametrize("line", ["burst: 32 B", "latency: 32", "brick: 16"])
def test_bursts_latencies_and_bricks_are_those_of_blocks(tmp_path, line):
    key = line.partition(":")[0]
    with pytest.raises(AcceleratorError, match=rf"memories\[2\]\.{key}: needs `timing: \{{kind: blocks\}}`"):
        chip(tmp_path, TINY.replace("size: unbounded", f"size: unbounded\n    {line}", 1))


def test_a_section_of_blocks_belongs_to_its_kind(tmp_path):
    text = TINY.replace("vector:", "timing: {kind: blocks}\nvector:")
    with pytest.raises(AcceleratorError, match="timing blocks needs a section `blocks:`"):
        chip(tmp_path, text)


def test_the_presets_are_arms_configurations():
    """MACs a cycle, outputs at once, banks and cycles of the output stage as architecture_features.py has them."""
    facts = {
        "ethos_u55_32": ((1, 1, 4), 16, 2.0), "ethos_u55_64": ((1, 1, 8), 16, 1.0),
        "ethos_u55_128": ((1, 2, 8), 24, 0.5), "ethos_u55_256": ((2, 2, 8), 48, 0.25),
        "ethos_u65_256": ((2, 2, 8), 48, 0.25),
    }  # fmt: skip
    assert sorted(facts) == ETHOS
    for name, (unit, banks, output) in facts.items():
        accelerator = load_accelerator(name)
        machine = accelerator.timing
        assert isinstance(machine, Blocks)
        assert accelerator.num_pes == int(name.rpartition("_")[2])
        assert (machine.unit, machine.banks.count, machine.output) == (unit, banks, output)
        assert machine.granules == (Granule(4, 8), Granule(1, 32))
        rates = dict(accelerator.vector.cycles)
        assert (rates["add"], rates["mul"]) == (3 * output, 1.5 * output)


def test_the_banks_follow_from_the_buffer(tmp_path):
    timing = chip(tmp_path, TEXT.replace("size: 24 KiB", "size: 40 KiB", 1)).timing
    assert isinstance(timing, Blocks)
    assert timing.banks.count == 40


def test_outermost_memories_may_be_apart_and_finite(tmp_path):
    """Tensors in 64 KiB of SRAM, weights in 1 MiB of flash: on another chip that would be an outermost buffer."""
    text = TEXT.replace(
        "size: unbounded  # the system's: write yours, and whether the tensors fit is said", "size: 64 KiB"
    )
    text = text.replace("size: unbounded", "size: 1 MiB", 1)
    found = chip(tmp_path, text)
    assert {name: memory.size_bits for name, memory in found.memories().items() if name != "shram"} == {
        "sram": 64 * 8192, "flash": 1024 * 8192
    }  # fmt: skip
    assert found.outermost.name == "sram"
    layer = Layer(name="x", dims={"K": 64, "C": 64, "OY": 32, "OX": 32})
    cost = evaluate(layer, found)
    assert [note for note in cost.price_notes if "does not run" in note] == [
        "ethos_u55_128: sram has 64 KiB, and the network needs 128 KiB there: it does not run on this chip as it "
        "is priced"
    ]
    with pytest.raises(AcceleratorError, match="the outermost memory must hold every tensor"):
        chip(tmp_path, TINY.replace("size: unbounded", "size: 64 KiB", 1))


def test_a_written_chip_is_read_back(tmp_path):
    changed = load_accelerator("ethos_u55_256")
    timing = changed.timing
    assert isinstance(timing, Blocks)
    changed = replace(
        changed, timing=replace(timing, output=0.3, staged=False), vector=replace(changed.vector, fuses=())
    )
    again = load_accelerator(write_accelerator(tmp_path / "x.yaml", changed))
    assert (again.timing, again.vector, again.fingerprint) == (changed.timing, changed.vector, changed.fingerprint)
