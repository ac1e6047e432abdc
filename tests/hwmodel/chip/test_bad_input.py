"""What breaks a rule is refused with the rule and the place; nothing is priced at NaN, infinity or below zero."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hwmodel import Bits, Density, Layer, count_accesses, evaluate, find_mapping, load_accelerator
from hwmodel.chip.loader import chip_path
from hwmodel.errors import AcceleratorError, LayerError, MappingError
from hwmodel.nest.mapping import Loop
from hwmodel.network.layer import Dims
from tests.hwmodel.chips import TINY, chip


@pytest.mark.parametrize(
    "dims", [{"K": 0}, {"K": -1}, {"K": 2.5}, {"K": "3"}, {"K": True}, Dims(K=0), Dims(OX=-4), Dims(C=1.5)]
)
def test_dims(dims):
    with pytest.raises(LayerError, match=r"layer 'x': dims: `(K|C|OX) >= 1` must hold \(an integer\), but got"):
        Layer(name="x", dims=dims)


def test_dims_beyond_exact_counts():
    with pytest.raises(LayerError, match=r"layer 'x': dims: `product <= 2\^53` must hold \(MACs\), but got 1e\+20"):
        Layer(name="x", dims={"K": 10**10, "C": 10**10})
    with pytest.raises(LayerError, match=r"but got 1e\+400"):  # nor does a float hold it
        Layer(name="x", dims={"K": 10**400})


@pytest.mark.parametrize("value", [0, -1, 1.5, (1, 0), (1, 2, 3), None, "2"])
@pytest.mark.parametrize("name", ["stride", "dilation"])
def test_strides(name, value):
    with pytest.raises(LayerError, match=f"layer 'x': {name}: must be one or two integers >= 1"):
        Layer(name="x", dims={"K": 2}, **{name: value})


@pytest.mark.parametrize("value", [0, -1, 33, 2.5, "8", True, math.nan])
@pytest.mark.parametrize("name", ["w", "i", "o"])
def test_bits(name, value):
    with pytest.raises(LayerError, match=f"`1 <= {name} <= 32` must hold"):
        Bits(**{"w": 8, "i": 8, name: value})


@pytest.mark.parametrize("value", [0, -0.1, 1.1, math.nan, math.inf, "0.5", None, True])
@pytest.mark.parametrize("name", ["w", "i", "o"])
def test_densities(name, value):
    with pytest.raises(LayerError, match=f"`0 < {name} <= 1` must hold"):
        Density(**{name: value})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size: 8 B", "size: 0 B", r"chip.yaml:10 buffer 'regs' \(0 B\) cannot hold one 8-bit word"),
        ("size: 8 B", "size: 7 bit", "cannot hold one 8-bit word"),
        ("size: 8 B", "size: -8 B", "must be at least 0, but got -8 B"),
        ("size: 64 B", "size: 1 B", r"cannot hold one 8-bit word twice \(double buffered\)"),
        ("size: 2,", "size: 0,", "chip.yaml:7:15 array.*greater than or equal to 1, but got 0"),
        ("clock: 100 MHz", "clock: 0 MHz", "clock: must be above 0"),
        ("clock: 100 MHz", "clock: nan MHz", "clock: .nan MHz. is not a number with a unit"),
        ("w: 8 bit", "w: 33 bit", "chip.yaml:5:7 mac.w: must be 1 to 32 bit, but got 33 bit"),
        ("w: 8 bit", "w: 0 bit", "mac.w: must be a whole number of bits >= 1"),
        ("energy: 0.5 pJ", "energy: -0.5 pJ", "mac.energy: must be at least 0"),
        ("read_bandwidth: 32 bit/cycle", "read_bandwidth: 0 bit/cycle", "bandwidth: must be above 0"),
        ("holds: [W, O]", "holds: []", "at least 1 item"),
    ],
)
def test_chips(tmp_path, old, new, message):
    assert old in TINY
    with pytest.raises(AcceleratorError, match=message):
        chip(tmp_path, TINY.replace(old, new, 1))


def test_a_level_that_no_operand_can_use(tmp_path):
    """Registers of 8 bits hold a weight, but not beside a 16-bit sum."""
    with pytest.raises(AcceleratorError, match="'regs'"):
        chip(tmp_path, TINY.replace("size: 8 B", "size: 8 bit", 1))


@pytest.mark.parametrize("bound", [0, -2, 1.5, True])
def test_loops(bound):
    with pytest.raises(MappingError, match=r"loop over K: `bound >= 1` must hold \(an integer\)"):
        Loop("K", bound)
    with pytest.raises(MappingError, match="the dim must be among B G K"):
        Loop("Z", 2)


def test_mappings():
    accelerator, layer = load_accelerator("edge_npu"), Layer(name="x", dims={"K": 4, "C": 4})
    mapping, _ = find_mapping(layer, accelerator)
    with pytest.raises(MappingError, match="the loops over K must multiply to 8, but give 4"):
        count_accesses(Layer(name="x", dims={"K": 8, "C": 4}), accelerator, mapping)
    twice = replace(mapping, levels=(*mapping.levels[:2], replace(mapping.levels[2], keeps=("W", "I", "O", "O"))))
    with pytest.raises(MappingError, match="level 'dram' keeps each operand once"):
        count_accesses(layer, accelerator, twice)


@pytest.mark.parametrize("optimize", ["energy", "latency", "edp"])
def test_the_largest_widths_cost_a_finite_amount(optimize):
    layer = Layer(name="x", dims={"K": 7, "C": 5, "OX": 3}, bits=Bits(w=32, i=32), density=Density(w=1e-9, i=1e-9))
    cost = evaluate(layer, load_accelerator("edge_npu"), optimize=optimize)
    assert all(math.isfinite(value) and value >= 0 for value in cost.layers[0].energy_breakdown.values())
    assert cost.cycles >= 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: buffer",
            "name: adc",
            r"memories\[1\]\.name: 'adc' is the name of another part in every cost",
        ),
        ("axis: X, ", "axis: pe, ", r":7:6 array\[0\]\.axis: `per: pe` of a memory means another thing"),
        (
            "axis: X, ",
            "axis: X, fused: true, ",
            r"array\[0\]\.fused: `fused: true` needs `precision: fusion`, but got",
        ),
        ("size: 2, dims: [K", "size: true, dims: [K", r"array\[0\]\.size: must be a whole number, but got true"),
        ("size: 64 B", "size: -3 B", r"memories\[1\]\.size: must be at least 0, but got -3 B, or 'unbounded'\.$"),
        ("size: unbounded", "size: endless", r"memories\[2\]\.size: 'endless' is not a .*, or 'unbounded'\.$"),
    ],
)
def test_each_fault_of_a_chip_has_one_sentence(tmp_path, old, new, message):
    """At the value, in the words of a file: of what may be one of several things the rule that says most."""
    with pytest.raises(AcceleratorError, match=message) as refused:
        chip(tmp_path, TINY.replace(old, new))
    assert "\n" not in str(refused.value) and "function" not in str(refused.value)


@pytest.mark.parametrize("key", ["fused: true", "weight_cells: 7"])
def test_a_systolic_array_folds_over_its_pes_as_they_are(tmp_path, key):
    text = chip_path("tpu_v1").read_text()
    text = text.replace("precision: fixed", "precision: fusion") if "fused" in key else text
    with pytest.raises(AcceleratorError, match=r"timing systolic folds over the PEs .*: leave it out"):
        chip(tmp_path, text.replace("axis: X,", f"axis: X, {key},", 1))
