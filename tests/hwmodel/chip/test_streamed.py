"""Matrix engines fed by streams: the closed form against a walk over every cycle, and HAQ's own table."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replays import haq
from benchmarks.replays.figures import figures
from hwmodel import Bits, Layer, evaluate, load_accelerator
from hwmodel.chip.timing.streamed import Stream, Streamed, pass_cycles
from hwmodel.errors import AcceleratorError
from hwmodel.explain import explain_mapping
from tests.hwmodel.chips import chip


def arrivals(stream: Stream) -> list[list[float]]:
    """[tile][bit]: the cycle at which the last word of the bit of a tile is there."""
    words, there = 0, []
    for start in range(0, stream.lines, stream.side):
        there.append([])
        for _ in range(stream.bits):
            words += min(stream.side, stream.lines - start)
            there[-1].append(words * stream.pace)
    return there


def walked(stays: Stream, passes_by: Stream) -> float:
    """The cycle at which the last step ends; a step takes one and waits for the words of both operands."""
    held, moving, now = arrivals(stays), arrivals(passes_by), 0.0
    for tile, other in itertools.product(held, moving):
        for there, needed in itertools.product(other, tile):
            now = max(now + 1, there, needed)
    return now


streams = st.builds(
    Stream,
    lines=st.integers(1, 90),
    side=st.sampled_from([1, 3, 16]),
    bits=st.integers(1, 8),
    pace=st.sampled_from([0.25, 1.0, 2.5]),
)


@settings(max_examples=150, deadline=None)
@given(stays=streams, passes_by=streams)
def test_a_pass_is_the_walk_over_its_cycles(stays, passes_by):
    assert pass_cycles(stays, passes_by) == pytest.approx(walked(stays, passes_by))


def test_groups_and_slices_of_the_reduction_are_passes_that_do_not_overlap():
    engine = Streamed(rows=16, columns=16, depth=256, w_port=256.0, i_port=256.0, serial=("W", "I"))
    one = engine.least_cycles(Layer(name="x", dims={"K": 40, "C": 256, "OX": 49}), 4, 2)
    assert engine.least_cycles(Layer(name="x", dims={"K": 40, "C": 3 * 256, "OX": 49, "G": 5}), 4, 2) == 15 * one


def test_the_parts_of_a_cost_add_up():
    """A port or the array is busy most of the time; the engine waits for words for the rest."""
    engine = load_accelerator(haq.ENGINE)
    for bits in itertools.product((2, 4, 8), repeat=2):
        layer = Layer(name="x", dims={"K": 64, "C": 512, "OX": 196}, bits=Bits(w=bits[0], i=bits[1]))
        cost = evaluate(layer, engine, optimize="latency").layers[0]
        assert cost.cycles == engine.timing.least_cycles(layer, *bits)
        assert 2 * 13 * 4 * bits[0] * bits[1] <= cost.compute_cycles <= cost.cycles
        parts = explain_mapping(layer, engine, cost.mapping)
        busiest = max(cost.compute_cycles, 2 * 196 * bits[1], 2 * 64 * bits[0])
        assert parts.waiting_cycles == cost.cycles - busiest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{kind: streamed}", "{kind: streamed, dataflow: ws}", "timing streamed has no `dataflow`"),
        ("{kind: streamed}", "{kind: systolic}", "timing systolic needs `dataflow: ws`"),
        ("dims: [OX]}", "dims: [OX, OY]}", r"three axes, of dims \[OX\], \[K\] and \[C\]"),
        ("    bandwidth: 256 bit/cycle\n", "", "an outermost memory of W and one of I, with a bandwidth each"),
        ("timing:", "skipping: [W]\ntiming:", "knows no `skipping`"),
    ],
)
def test_what_such_an_engine_must_have(tmp_path, old, new, message):
    text = haq.ENGINE.read_text()
    assert old in text
    with pytest.raises(AcceleratorError, match=message):
        chip(tmp_path, text.replace(old, new, 1))


def test_speed_ups_of_mobilenet():
    """HAQ's table: every layer and pair of widths within 15 %, the median within 5 %."""
    errors = sorted(abs(case.error) for case in haq.replay(figures("haq_mobilenetv2_b16_cycles.json")))
    assert errors[len(errors) // 2] <= 0.05
    assert errors[-1] <= 0.15


def test_cycles_of_mobilenet():
    """The cycles themselves, image by image, within 2 %: the chip's description has no free factor."""
    table = figures("haq_mobilenetv2_b16_cycles.json")
    for layer, cycles in zip(haq.layers_of(table), table["cycles"], strict=True):
        images = layer.dims.B if layer.dims.OX > 1 else 1
        for w, a in itertools.product(range(len(table["bits"])), repeat=2):
            ours = images * haq.predict(layer, table["bits"][w], table["bits"][a])
            assert ours == pytest.approx(cycles[w][a], rel=0.02), (layer.name, table["bits"][w], table["bits"][a])


def test_a_table_may_bring_its_layers():
    table = {
        "bits": [4, 8],
        "layers": [{"name": "a", "dims": {"K": 64, "C": 64, "OX": 32}}],
        "cycles": [[[1, 2], [2, 4]]],
    }
    assert [case.name for case in haq.replay(table)] == ["0 a 4/4 bit", "0 a 4/8 bit", "0 a 8/4 bit"]
    with pytest.raises(ValueError, match="each of the 1 layers with cycles, but has 0"):
        haq.replay({**table, "layers": []})


def test_a_table_of_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"28, 53, 54 layers\), but this one has 1"):
        haq.replay({"bits": [8], "cycles": [[[1]]]})
