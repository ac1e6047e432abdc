"""The replay of Arm's estimator: runs and operators that the committed files lack."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from benchmarks.replays.figures import VARIABLE, figures
from benchmarks.replays.vela import PRESETS, chip_of, replay
from hwmodel import load_accelerator


@pytest.fixture
def table():
    """ResNet-8 on ethos_u55_128 alone."""
    data = copy.deepcopy(figures("ethos_u_vela.json"))
    network = data["networks"]["resnet8_cifar10"]
    return {**data, "networks": {"net": {**network, "runs": network["runs"][:1]}}}


def run(**changes):
    own = {"acc": "ethos-u55-128", "system": "Ethos_U55_High_End_Embedded", "memory": "Shared_Sram"}
    return own | changes


def test_the_preset_is_the_high_end_system():
    chip, preset = chip_of(run()), load_accelerator("ethos_u55_128")
    assert replace(chip, vector=preset.vector) == preset


def test_a_system_has_ports_of_its_own():
    deep = chip_of(run(system="Ethos_U55_Deep_Embedded")).memories()
    assert (deep["flash"].read_bits_per_cycle, deep["sram"].read_bits_per_cycle) == (4.0, 64.0)
    inside = chip_of(run(memory="Sram_Only")).memories()
    assert (inside["flash"].read_bits_per_cycle, inside["flash"].latency_cycles) == (64.0, 32)
    for changes, said in (({"system": "Pluto"}, "system 'Pluto' must be one of"),
                          ({"memory": "Dedicated_Sram"}, "memory must be Shared_Sram or Sram_Only")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            chip_of(run(**changes))


def test_what_no_preset_describes_is_left_out_with_a_warning(table):
    known = replay(table)
    table["networks"]["net"]["runs"].append({**table["networks"]["net"]["runs"][0], "acc": "ethos-u85-256"})
    with pytest.warns(UserWarning, match="ethos-u85-256 is left out: no preset describes it"):
        assert replay(table) == known


def test_other_operators_take_the_output_stage(table):
    """The first sum as a table look-up: 0.5 cycles for each of 16 x 1,024 outputs instead of 1.5."""
    before = next(case for case in replay(table) if case.name.endswith(": total"))
    table["networks"]["net"]["layers"][3]["op"] = "LookupTable"
    with pytest.warns(UserWarning, match="LookupTable is priced as outputs of the output stage alone"):
        after = next(case for case in replay(table) if case.name.endswith(": total"))
    assert before.prediction - after.prediction == (1.5 - 0.5) * 16 * 1024


def test_the_second_file_has_every_preset(monkeypatch):
    """What the first one lacks: all NPUs, and networks whose blocks and widths nobody chose with it in view."""
    monkeypatch.delenv(VARIABLE, raising=False)
    networks = figures("ethos_u_vela_more.json")["networks"]
    assert {network.get("i_bits", 8) for network in networks.values()} == {8, 16}
    for network in networks.values():
        assert [run["acc"].replace("-", "_") for run in network["runs"]] == list(PRESETS)


def test_cases_are_named_by_run_and_layer(table):
    names = [case.name for case in replay(table)]
    assert len(set(names)) == len(names) == 2 * 10 + 2
    assert names[0] == "net on ethos-u55-128: compute 0 Conv2D"
