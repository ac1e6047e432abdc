"""Narrow accumulators against Python integers, and their way into the cost model."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import evaluate, load_accelerator
from hwmodel.errors import ConfigError, GraphError
from hwmodel.network.choice import Choice
from tests.workloads.compress.compress_models import Split, quadrant_data, quadrant_net
from tests.workloads.integer.integer_models import Chain, Everything, batch, quantized, seeded
from workloads import trace
from workloads.compress import CompressionConfig
from workloads.integer import (
    Accumulator,
    IntegerNetwork,
    guaranteed_bits,
    integerize,
    psum_table,
    record_psums,
    smallest_widths,
    sum_range,
    sweep_widths,
    with_accumulators,
    wrap,
)
from workloads.integer.accumulate import accumulate, signed_bits
from workloads.training import TrainSettings, finetune, measure_accuracy

VALUES = st.lists(st.tuples(st.integers(-128, 127), st.integers(0, 255)), min_size=1, max_size=12)


def operands(pairs: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    w, x = (torch.tensor(side, dtype=torch.float64) for side in zip(*pairs, strict=True))
    return w.reshape(1, 1, -1), x.reshape(1, 1, -1, 1)


def in_python(pairs: list[tuple[int, int]], register: Accumulator) -> int:
    """One register, chunk by chunk."""
    total = 0
    for start in range(0, len(pairs), register.chunk):
        total += sum(w * x for w, x in pairs[start : start + register.chunk])
        if register.overflow == "saturate":
            total = min(max(total, register.low), register.high)
        else:
            total = int.from_bytes((total % (1 << register.bits)).to_bytes(8, "little"), "little")
            total -= (1 << register.bits) if total >= 1 << (register.bits - 1) else 0
    return total


@settings(deadline=None, max_examples=80)
@given(VALUES, st.integers(2, 24), st.sampled_from(["saturate", "wrap"]), st.integers(1, 5))
def test_a_register_is_two_s_complement(pairs, bits, overflow, chunk):
    register = Accumulator(bits=bits, overflow=overflow, chunk=chunk)
    assert accumulate(*operands(pairs), register).item() == in_python(pairs, register)


@settings(deadline=None, max_examples=40)
@given(VALUES, st.integers(2, 20))
def test_wrapping_on_the_way_is_wrapping_at_the_end(pairs, bits):
    register = Accumulator(bits=bits, overflow="wrap", chunk=1)
    exact = torch.tensor([sum(w * x for w, x in pairs)])
    assert wrap(exact, bits).item() == in_python(pairs, register)


def test_saturation_by_hand():
    """4 bits hold -8..7: 5 + 5 -> 7, - 6 -> 1; in one chunk 5 + 5 - 6 = 4 fits."""
    pairs = [(5, 1), (5, 1), (-6, 1)]
    one = Accumulator(bits=4, chunk=1)
    assert accumulate(*operands(pairs), one).item() == 1
    assert accumulate(*operands(pairs), Accumulator(bits=4, chunk=3)).item() == 4
    assert accumulate(*operands(pairs), Accumulator(bits=4, overflow="wrap")).item() == 4


@settings(deadline=None, max_examples=40)
@given(VALUES)
def test_a_wider_register_saturates_no_more(pairs):
    """With products of one sign the result only grows in magnitude with the width, up to the exact sum."""
    same_sign = [(abs(w), x) for w, x in pairs]
    results = [accumulate(*operands(same_sign), Accumulator(bits=b)).item() for b in range(2, 24)]
    assert results == sorted(results) and results[-1] == sum(w * x for w, x in same_sign)


@settings(deadline=None, max_examples=60)
@given(VALUES, st.integers(1, 4))
def test_the_guaranteed_width_changes_nothing(pairs, chunk):
    w, x = operands(pairs)
    bits = guaranteed_bits(w[0].to(torch.int64), 0, 255)
    exact = sum(a * b for a, b in pairs)
    for overflow in ("saturate", "wrap"):
        assert accumulate(w, x, Accumulator(bits=bits, overflow=overflow, chunk=chunk)).item() == exact
    low, high = (int(end) for end in sum_range(w[0].to(torch.int64), 0, 255))
    assert low <= exact <= high
    norm = sum(abs(a) for a, _ in pairs) * 255  # A2Q
    assert -norm <= low <= 0 <= high <= norm and bits <= signed_bits(-norm, norm)


@pytest.mark.parametrize(("low", "high"), [(5, 7), (-7, -5)])
def test_the_guaranteed_width_holds_the_sum_before_the_last_product(low, high):
    """4 * 7 - 4 * 5 = 8 fits in 5 bits; the first product alone, 28, needs 6: the register starts at 0."""
    w = torch.tensor([[4, -4]])
    assert guaranteed_bits(w, low, high) == signed_bits(-4 * 7, 4 * 7) == 6
    register = Accumulator(bits=6, chunk=1)
    for first in (low, high):
        for second in (low, high):
            x = torch.tensor([[first, second]])
            assert accumulate(*operands([(4, first), (-4, second)]), register).item() == int((w * x).sum())


@settings(deadline=None, max_examples=60)
@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_signed_bits_are_the_fewest(a, b):
    low, high = min(a, b), max(a, b)
    bits = signed_bits(low, high)
    assert -(2 ** (bits - 1)) <= low and high <= 2 ** (bits - 1) - 1
    narrower = bits - 1
    assert narrower == 0 or low < -(2 ** (narrower - 1)) or high > 2 ** (narrower - 1) - 1


def test_recorded_sums_are_those_of_the_layers():
    x = batch(20)
    network = integerize(quantized(seeded(Everything), x, granularity="channel"), x)
    tensors = network.codes(x)
    for item in record_psums(network, x, chunk=1, batch_size=7):
        step = network.layers[item.layer]
        sums = step.psums(tensors[step.inputs[0]]).double()
        assert (item.sums, item.low, item.high) == (sums.numel(), int(sums.min()), int(sums.max()))
        assert item.mean == pytest.approx(float(sums.mean()), rel=1e-9, abs=1e-9)
        assert item.std == pytest.approx(float(sums.std(correction=0)), rel=1e-9)
        assert item.prefix_low <= item.low and item.high <= item.prefix_high
        assert item.final_bits <= item.prefix_bits <= item.guaranteed_bits <= item.worst_bits + 1
    frame = psum_table(record_psums(network, x))
    assert {"prefix_bits", "final_bits", "guaranteed_bits", "std"} <= set(frame.columns)


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_wide_registers_change_nothing(overflow):
    x = batch()
    for build in (Chain, Everything):
        network = integerize(quantized(seeded(build), x), x)
        for item in record_psums(network, x, chunk=4):
            bits = item.final_bits if overflow == "wrap" else item.prefix_bits
            register = Accumulator(bits=bits, overflow=overflow, chunk=4)
            assert torch.equal(network.with_registers({item.layer: register})(x), network(x))
    narrow = network.with_registers({"stem": Accumulator(bits=6, overflow=overflow)})
    assert not torch.equal(narrow(x), network(x))


def test_only_what_follows_a_change_is_computed_again():
    x = batch()
    network = integerize(quantized(seeded(Everything), x), x)
    tensors = network.codes(x)
    narrow = network.with_registers({"left": Accumulator(bits=8)})
    assert torch.equal(narrow.resume(tensors, "left"), narrow(x))


@cache
def trained() -> tuple[IntegerNetwork, Split]:
    data = quadrant_data()
    model = quadrant_net()
    finetune(model, data.train, TrainSettings.from_scratch(epochs=4), device="cpu")
    x = data.train.x[:64]
    return integerize(quantized(model, x, granularity="channel"), x), data.validation


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_the_smallest_widths_keep_the_accuracy(overflow):
    network, split = trained()
    found = smallest_widths(network, split, tolerance=0.02, overflow=overflow, chunk=3)
    assert found.accuracy.value >= found.baseline.value - 0.02
    assert found.network_accuracy.value >= found.baseline.value - 0.02
    sweep = sweep_widths(network, split, [found.network, found.network - 1], overflow=overflow, chunk=3)
    assert sweep["correct"][0] == found.network_accuracy.correct
    assert sweep["accuracy"][1] < found.baseline.value - 0.02
    assert found.sums == record_psums(network, split.x, chunk=3)
    for item in found.sums:
        assert found.layers[item.layer] <= item.prefix_bits
    assert found.registers == {
        name: Accumulator(bits=bits, overflow=overflow, chunk=3) for name, bits in found.layers.items()
    }
    assert measure_accuracy(network.with_registers(found.registers), split) == found.accuracy


def test_widths_lower_the_energy_of_partial_sums():
    model = quadrant_net()
    config = CompressionConfig.from_bits({"conv": 8, "fc": 8}, a_bits=8)
    graph = config.annotate(trace(model, torch.zeros(1, 1, 8, 8)))
    accelerator = load_accelerator("eyeriss")
    widths = {"conv": 12, "fc": 14}
    annotated = with_accumulators(graph, widths)
    assert {layer.module: layer.bits.acc for layer in annotated.layers} == widths
    choices = with_accumulators(config, widths)
    assert {name: choice.acc_bits for name, choice in choices.items()} == widths
    before = evaluate(with_accumulators(graph, {"conv": 32, "fc": 32}), accelerator)
    after = evaluate(annotated, accelerator)
    assert after.energy_pj < before.energy_pj
    assert evaluate(graph, accelerator, choices).energy_pj == after.energy_pj
    assert with_accumulators({"a": Choice(w_bits=4)}, {})["a"].acc_bits is None


def test_bad_values_are_refused():
    network, split = trained()
    with pytest.raises(ConfigError, match="1 <= bits"):
        Accumulator(bits=0)
    with pytest.raises(ConfigError, match="Did you mean 'wrap'"):
        Accumulator(bits=8, overflow="warp")
    with pytest.raises(ConfigError, match="chunk"):
        Accumulator(bits=8, chunk=0)
    with pytest.raises(ConfigError, match="Did you mean 'conv'"):
        network.with_registers({"conv1": Accumulator(bits=8)})
    with pytest.raises(ConfigError, match="tolerance"):
        smallest_widths(network, split, tolerance=2)
    graph = trace(quadrant_net(), torch.zeros(1, 1, 8, 8))
    with pytest.raises(GraphError, match="no bits yet"):
        with_accumulators(graph, {"conv": 8})
    with pytest.raises(GraphError, match="matched 0 of 2"):
        with_accumulators(graph, {"conw": 8})
