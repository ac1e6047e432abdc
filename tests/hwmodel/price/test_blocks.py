"""Arrays that work block by block: cycles, traffic and energy derived by hand from the shapes of layers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import (
    Bits,
    Choice,
    CostTable,
    Layer,
    LayerGraph,
    Port,
    Tensor,
    VectorOp,
    evaluate,
    find_mapping,
    load_accelerator,
)
from hwmodel.chip.timing.blocks import Granule, Passes, outputs_of
from hwmodel.errors import MappingError
from hwmodel.explain import explain_mapping
from hwmodel.mapper.blocks import chosen_block
from hwmodel.nest.blocks import block_mapping, block_of, blocks_of, passes_of, stored_plane
from hwmodel.nest.task import Stay, Task
from hwmodel.price.blocks import price_blocks

ONE = Passes()
ETHOS = ("ethos_u55_32", "ethos_u55_64", "ethos_u55_128", "ethos_u55_256", "ethos_u65_256")


def conv(k=32, c=32, o=16, f=3, **more):
    """A convolution of o x o outputs, padded so that its input has as many rows."""
    pad = ((f - 1) // 2, f - 1 - (f - 1) // 2)
    return Layer(name="x", module="x", dims={"K": k, "C": c, "OY": o, "OX": o, "FY": f, "FX": f},
                 padding=(pad, pad), **more)  # fmt: skip


def depthwise(g=32, o=16, f=3):
    pad = ((f - 1) // 2, f - 1 - (f - 1) // 2)
    return Layer(name="x", module="x", dims={"G": g, "OY": o, "OX": o, "FY": f, "FX": f}, padding=(pad, pad))


def priced(layer, block, name="ethos_u55_128", ahead=0, **more):
    task = Task.of(layer, load_accelerator(name), Stay(ahead_cycles=ahead))
    return price_blocks(task, block_mapping(task, block), **more)


def test_a_convolution_by_hand():
    """ResNet-8's sixth layer on ethos_u55_128, whose estimator says 19,796 cycles under blocks of 8 x 8 x 16."""
    blocks, plane, depth = 2 * 2 * 2, 8 * (8 // 2), 16 // 8
    array = 4 * plane * depth * 9  # 9 taps of 32 channels, 4 cycles each: 1 x 2 x 8 outputs of 8 channels at once
    output = 8 * 8 * 16 * 0.5
    first_in = 32 + 10 * 10 * 32 // 8
    last_out = 32 + 8 * 8 * 16 // 8
    issued = (first_in - last_out + array + output) / 4  # commands of a block are given over four: more than output
    assert array * blocks + issued + first_in + last_out == 19796
    found = priced(conv(), (8, 8, 16), ahead=10_000)
    assert (found.compute_cycles, found.cycles, found.bound) == (19796, 19796, "compute")
    assert found.utilization == pytest.approx(conv().macs / (128 * 19796))


def test_the_cheaper_granule_pads_taps_or_channels():
    machine = blocks_of(load_accelerator("ethos_u55_128"))
    # 9 taps: 12 x 8 channels padded by parts, 9 x 32 depth first
    assert machine.granule(conv(c=8), ONE) == Granule(4, 8)  # 3 steps against 9
    assert machine.granule(conv(c=16), ONE) == Granule(4, 8)  # 6 against 9
    assert machine.granule(conv(c=24), ONE) == Granule(4, 8)  # 9 against 9: the first
    assert machine.granule(conv(c=32), ONE) == Granule(1, 32)  # 12 against 9
    assert machine.granule(conv(c=32, f=1), ONE) == Granule(1, 32)  # 4 against 1
    assert machine.granule(depthwise(), ONE) == Granule(4, 1)
    assert machine.granule(conv(c=32), Passes(1, 2)) == Granule(1, 16)
    assert machine.granule(conv(c=8), Passes(1, 2)) == Granule(2, 8)


def test_small_planes_wait_for_the_decoder_and_for_their_sums():
    machine = blocks_of(load_accelerator("ethos_u55_128"))
    linear = Layer(name="x", kind="linear", dims={"K": 16, "C": 64})
    # one unit in the plane: 2 groups of 8 filters of 32 decoding cycles each for 2 x 32 channels, not 4 cycles each
    assert machine.array_cycles(linear, (1, 1, 16), ONE) == 2 * 32 * 2
    # 9 steps of 3 x 3: all but the first of either group of filters wait 2 cycles for the sums of the one before
    assert machine.array_cycles(conv(k=16, c=32, o=1), (1, 1, 16), ONE) == 9 * 2 * 32 + 2 * (9 - 1) * 2
    # a single group waits at every step
    assert machine.array_cycles(conv(k=8, c=32, o=1), (1, 1, 8), ONE) == 9 * 32 + 2 * 9
    # 8 units of 2 pixels hide the decoder: 4 cycles each
    assert machine.array_cycles(conv(k=8, c=32, o=4), (4, 4, 8), ONE) == 9 * 4 * 8


def test_large_filters_run_in_windows():
    machine = blocks_of(load_accelerator("ethos_u55_128"))
    layer = Layer(name="x", dims={"K": 8, "C": 8, "OY": 8, "OX": 8, "FY": 10, "FX": 4})
    assert machine.parts(layer) == [8 * 4, 2 * 4]
    plane, steps = 8 * 8 // 2, 8 * 4 // 4 + 2 * 4 // 4
    assert machine.array_cycles(layer, (8, 8, 8), ONE) == 4 * plane * steps
    assert machine.inputs(layer, 8, 8) == (8 - 1 + 8, 12)  # of 10 rows 8 at once; 11 columns in units of 2


def test_an_even_row_of_outputs_takes_a_square_unit_as_one_row():
    machine = blocks_of(load_accelerator("ethos_u55_256"))
    row, odd, plane = (
        Layer(name="x", dims={"K": 8, "C": 32, "OY": y, "OX": x}) for y, x in ((1, 8), (1, 7), (2, 8))
    )
    assert [machine.unit_of(layer) for layer in (row, odd, plane)] == [(1, 4, 8), (2, 2, 8), (2, 2, 8)]


def test_outputs_may_set_the_pace():
    """A pointwise layer of few channels makes outputs faster than the output stage takes them: 0.5 cycles each."""
    layer = conv(k=16, c=8, o=16, f=1)
    block = (8, 16, 16)
    out, array = 8 * 16 * 16 * 0.5, 4 * (8 * 8) * 2  # one step of 8 channels for 64 x 2 units
    first, last = 32 + 8 * 16 * 8 // 8, 32 + 8 * 16 * 16 // 8
    assert out > array
    assert priced(layer, block).compute_cycles == out * 2 + array + first + last


def test_inputs_with_halo_bricks_and_bursts():
    """16 x 16 x 32 -> 3x3 -> 32 in blocks of 8 x 8 x 16: 4 planes of 10 x 10, for 2 blocks of filters."""
    traffic = priced(conv(), (8, 8, 16)).traffic
    assert traffic["sram", "I"].reads_bits == 8 * 10 * 10 * 32 * 4 * 2
    assert traffic["sram", "O"].writes_bits == 8 * 16 * 16 * 32
    # 8 channels lie in bricks of 16
    assert priced(conv(c=8, k=8), (8, 8, 8)).traffic["sram", "I"].reads_bits == 8 * 10 * 10 * 16 * 4
    # an image lies pixel by pixel: 8 B are fetched at a time, and paid for as 32 B
    assert priced(conv(c=3), (8, 8, 16)).traffic["sram", "I"].reads_bits == 4 * 8 * 10 * 10 * 3 * 4 * 2
    # a block of one column reads runs of 16 B in bursts of 32
    alone = Layer(name="x", kind="linear", dims={"K": 16, "C": 64})
    assert priced(alone, (1, 1, 16), "ethos_u55_64").traffic["sram", "I"].reads_bits == 8 * 64 * 2


def test_weights_come_once_per_plane_or_are_staged():
    """9 * 32 * 32 weights and 10 B for each of 32 filters, read by 4 blocks in the plane."""
    weights, parameters = 9 * 32 * 32 * 8, 10 * 32 * 8
    staged = priced(conv(), (8, 8, 16)).traffic
    assert staged["flash", "W"].reads_bits == weights + 4 * parameters
    assert (staged["sram", "W"].writes_bits, staged["sram", "W"].reads_bits) == (weights, 4 * weights)
    task = Task.of(conv(), no_staging("ethos_u55_128"))
    direct = price_blocks(task, block_mapping(task, (8, 8, 16)))
    assert direct.traffic["flash", "W"].reads_bits == 4 * (weights + parameters)
    assert ("sram", "W") not in direct.traffic
    assert (direct.bound, direct.cycles) == ("flash", 4 * (weights + parameters) // 8)


def no_staging(name):
    chip = load_accelerator(name)
    return replace(chip, timing=replace(blocks_of(chip), staged=False))


def test_weights_are_fetched_under_the_layer_before():
    """The first of 2 slices of 16 filters is waited for, less what the layer before hides of it."""
    copied = 64 + 9 * 32 * 32 + 10 * 32  # latency, weights and parameters at a byte a cycle
    alone, some, all_of_it = (priced(conv(), (8, 8, 16), ahead=ahead) for ahead in (0, 1000, 10_000))
    assert alone.cycles == 19796 + math.ceil(copied / 2)
    assert some.cycles == 19796 + math.ceil(copied / 2 - 1000)
    assert all_of_it.cycles == 19796
    assert alone.parts.waiting == copied / 2 + all_of_it.parts.waiting  # the output stage of the last block
    assert alone.compute_cycles == some.compute_cycles == all_of_it.compute_cycles


def test_weights_read_once_are_not_copied_where_that_takes_longer():
    layer = conv(k=16, c=64, o=8)  # one block: 9,216 weights, 9,456 cycles of flash, 9 * 2 * 32 * 4 of the array
    assert ("sram", "W") not in priced(layer, (8, 8, 16)).traffic
    assert priced(layer, (8, 8, 16), ahead=100_000).bound == "flash"


def test_images_groups_and_rows_repeat_what_blocks_divide():
    """Two images of 3 rows and 5 columns; 3 groups; a batch of 4 times 5 rows."""
    image = Layer(name="x", dims={"K": 16, "C": 32, "OY": 3, "OX": 5})
    one, two = (priced(replace(image, dims=replace(image.dims, B=b)), (3, 6, 16), ahead=10**6) for b in (1, 2))
    assert two.compute_cycles == 2 * one.compute_cycles
    assert two.traffic["flash", "W"].reads_bits == 16 * 32 * 8 + 2 * 16 * 80  # staged: the parameters alone twice
    grouped = priced(replace(image, dims=replace(image.dims, G=3)), (3, 6, 16), ahead=10**6)
    assert grouped.traffic["flash", "W"].reads_bits == 3 * one.traffic["flash", "W"].reads_bits
    rows = Layer(name="x", kind="linear", dims={"K": 16, "C": 32, "B": 4, "OX": 5})
    assert priced(rows, (1, 6, 16)).traffic["sram", "W"].reads_bits == 4 * 16 * 32 * 8
    product = Layer(name="x", kind="matmul", dims={"G": 4, "K": 16, "C": 32, "OX": 5})
    assert priced(product, (1, 6, 16)).traffic["sram", "W"].reads_bits == 4 * 16 * 32 * 8


def test_encoded_weights_may_be_known():
    half = priced(conv(), (8, 8, 16), stored_w_bits=9 * 32 * 32 * 4.0)
    assert half.traffic["sram", "W"].writes_bits == 9 * 32 * 32 * 4
    assert half.energy_pj["flash", "W"] < priced(conv(), (8, 8, 16)).energy_pj["flash", "W"]


def test_energy_of_the_buffer():
    """A step of 1 x 2 x 8 outputs reads 2 pixels of 32 channels, and reads and writes 16 sums."""
    steps = (16 * 16 * 32 // 16) * 9
    found = priced(conv(), (8, 8, 16)).traffic
    assert found["shram", "I"].reads_bits == steps * 2 * 32 * 8
    assert found["shram", "I"].writes_bits == 8 * 10 * 10 * 32 * 4 * 2
    assert (found["shram", "O"].reads_bits, found["shram", "O"].writes_bits) == (steps * 16 * 32,) * 2
    chip = load_accelerator("ethos_u55_128")
    memory = chip.memories()["shram"]
    assert found["shram", "O"].energy_pj == pytest.approx(2 * steps * 16 * 32 * memory.read_pj_per_bit)


def test_wide_inputs_halve_the_granules():
    """16-bit activations: 16 channels a step, and 0.75 cycles of the output stage (Arm states both)."""
    layer = conv(k=64, c=64, o=8).with_bits(Bits(w=8, i=16))
    block = (4, 8, 16)
    task = Task.of(layer, load_accelerator("ethos_u55_128"), Stay(ahead_cycles=10**6))
    array, blocks = 4 * (4 * 4) * 2 * 9 * (64 // 16), 2 * 4
    output = 4 * 8 * 16 * 0.75
    first, last = 32 + 6 * 8 * 16 * 2 // 8, 32 + 4 * 8 * 16 * 2 // 8  # 8 of 10 columns lie in memory
    issued = max(output, (first - last + array + output) / 4)
    assert price_blocks(task, block_mapping(task, block)).compute_cycles == array * blocks + issued + first + last


def _layer(kind, b, g, k, c, oy, ox, f, stride):
    """A convolution, grouped, depthwise or neither; a product of a batch, or of its rows; or of two activations."""
    dims = {
        "conv": {"B": b, "K": k, "C": c, "OY": oy, "OX": ox, "FY": f, "FX": f},
        "grouped": {"G": g, "K": k, "C": c, "OY": oy, "OX": ox, "FY": f, "FX": f},
        "depthwise": {"B": b, "G": k, "OY": oy, "OX": ox, "FY": f, "FX": f},
        "linear": {"K": k, "C": c, "B": oy},
        "rows": {"K": k, "C": c, "B": b, "OX": ox},
        "matmul": {"G": g, "K": k, "C": c, "OX": ox},
    }[kind]
    own = {"linear": "linear", "rows": "linear", "matmul": "matmul"}.get(kind, "conv")
    return Layer(name="x", module="x", kind=own, dims=dims, stride=stride if own == "conv" else 1)


LAYERS = st.builds(
    _layer, st.sampled_from(["conv", "grouped", "depthwise", "linear", "rows", "matmul"]), st.integers(1, 3),
    st.integers(1, 4), st.integers(1, 150), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40),
    st.integers(1, 5), st.integers(1, 2),
)  # fmt: skip


def searched(task):
    """The block by the compiler's own loops, one after the other (ethos_u55.cpp, FindBlockConfig)."""
    machine, layer, single = blocks_of(task.accelerator), task.layer, np.float32
    alone = layer.kind == "conv" and layer.dims.C == layer.dims.K == 1 and layer.dims.G > 1
    rows, columns, filters = outputs_of(layer)
    unit, chunk = machine.unit, machine.channels_at_once(layer, passes_of(task))
    channels = layer.dims.G if alone else layer.dims.C
    taps, (height, width) = layer.dims.FY * layer.dims.FX, stored_plane(layer)
    best, most, chosen = math.inf, 0, None

    def up(value, step):
        return -(-value // step) * step

    depth = max(unit[2], min(up(min(filters, machine.largest[2]), unit[2]), machine.multiple))
    depth = up(depth, machine.multiple) if depth < filters else depth
    while depth <= up(min(filters, machine.largest[2]), unit[2]):
        for h in range(unit[0], up(min(rows, machine.largest[0]), unit[0]) + 1, unit[0]):
            for w in range(unit[1], up(min(columns, machine.largest[1]), unit[1]) + 1, unit[1]):
                y, x = machine.inputs(layer, h, w)
                flat = unit[0] > 1 and rows == 1 and layer.dims.FY == 1
                kept, held, bank = 1 if flat else h, depth if alone else chunk, machine.banks
                banks = up(2 * math.ceil(y * x * up(held, 8) * 8 / bank.bits), bank.inputs)
                banks += up(2 * math.ceil(kept * w * up(depth, 8) * 32 / bank.bits), bank.sums)
                if banks > bank.count - bank.reserved:
                    continue
                planes = math.ceil(rows / kept) * math.ceil(columns / w)
                inputs = single(y * x * channels) * (single(columns) / single(w)) * (single(rows) / single(kept))
                weights = single(taps * channels * planes)
                if not alone:
                    inputs *= single(math.ceil(filters / depth))
                    weights *= single(filters) / single(depth) * single(depth)
                cost = (inputs + weights) / single(rows * columns * filters)
                if height * width * channels < y * x * held * 2:
                    cost /= single(2)
                covers = min(height, y) * min(width, x)
                if cost < best or (cost == best and covers >= most and h <= 4 and w <= 4):
                    most = covers if cost == best else 0
                    best, chosen = cost, (kept, w, depth)
        depth += unit[2]
        depth = up(depth, machine.multiple) if depth < filters else depth
    return chosen


@settings(max_examples=40, deadline=None)
@given(layer=LAYERS, name=st.sampled_from(ETHOS))
def test_the_block_is_that_of_the_compilers_loops(layer, name):
    task = Task.of(layer, load_accelerator(name))
    assert chosen_block(task) == searched(task)


@settings(max_examples=60, deadline=None)
@given(layer=LAYERS, name=st.sampled_from(ETHOS), bits=st.sampled_from([(8, 8), (4, 8), (8, 16), (32, 32)]))
def test_a_mapping_is_its_block_and_its_parts_add_up(layer, name, bits):
    chip = load_accelerator(name)
    layer = layer.with_bits(Bits(w=bits[0], i=bits[1]))
    task = Task.of(layer, chip)
    mapping, cost = find_mapping(layer, chip)
    assert block_of(layer, mapping) == chosen_block(task)
    told = explain_mapping(layer, chip, mapping)
    parts = told.busy_cycles + told.waiting_cycles + told.first_fill_cycles + told.last_drain_cycles
    assert told.cycles == cost.cycles == pytest.approx(parts, abs=1)
    assert min(told.busy_cycles, told.waiting_cycles) >= 0
    assert cost.cycles >= layer.macs / (chip.num_pes * chip.precision.macs_per_cycle(*bits))
    assert sum(cost.energy_breakdown.values()) == pytest.approx(cost.energy_pj)


@settings(max_examples=25, deadline=None)
@given(layer=LAYERS, name=st.sampled_from(ETHOS), factor=st.floats(1.0, 8.0))
def test_faster_memories_never_cost_cycles(layer, name, factor):
    chip = load_accelerator(name)
    faster = replace(chip.levels[-1], memories=tuple(
        replace(memory, read_bits_per_cycle=memory.read_bits_per_cycle * factor,
                write_bits_per_cycle=memory.write_bits_per_cycle * factor)
        for memory in chip.levels[-1].memories
    ))  # fmt: skip
    # a cycle: times of transfers are whole cycles
    assert (
        evaluate(layer, replace(chip, levels=(*chip.levels[:-1], faster))).cycles
        <= evaluate(layer, chip).cycles + 1
    )


def test_a_block_must_be_whole_units_that_fit():
    task = Task.of(conv(), load_accelerator("ethos_u55_128"))
    with pytest.raises(
        MappingError, match=r"whole units of \(1, 2, 8\) rows, columns and filters, but got \(8, 7, 16\)"
    ):
        block_mapping(task, (8, 7, 16))
    with pytest.raises(MappingError, match="`tiles <= 196608 bits` must hold in 'shram'"):
        large = Task.of(conv(128, 32, 64), load_accelerator("ethos_u55_128"))
        price_blocks(large, block_mapping(large, (32, 64, 128)))
    chip = load_accelerator("ethos_u55_128")
    small = replace(chip, timing=replace(blocks_of(chip), banks=replace(blocks_of(chip).banks, count=15)))
    with pytest.raises(
        MappingError, match=r"a unit of \(1, 2, 8\) outputs and the inputs that it needs do not fit"
    ):
        find_mapping(conv(), small)
    with pytest.raises(MappingError, match=r"'edge_npu' has no `timing: \{kind: blocks\}`"):
        blocks_of(load_accelerator("edge_npu"))


def residual(channels=24, o=8):
    """Two convolutions and the sum of their outputs, ReLU behind it."""
    first, second = conv(channels, channels, o), conv(channels, channels, o)
    first, second = replace(first, name="a", module="a"), replace(second, name="b", module="b")
    elements = channels * o * o
    add = VectorOp(name="add", kind="add", elements_in=2 * elements, elements_out=elements, fused=True)
    relu = VectorOp(name="relu", kind="activation", elements_in=elements, elements_out=elements, fused=True)
    shape = (1, channels, o, o)
    edges = [("in", "a"), ("a", "b"), ("a", "add"), ("b", "add"), ("add", "relu"), ("relu", "out")]
    return LayerGraph(
        "net",
        [Port(name="in", kind="input"), first, second, add, relu, Port(name="out", kind="output")],
        [(source, target, Tensor(name=source, shape=shape)) for source, target in edges],
    )


def test_sums_are_passes_of_their_own_in_whole_bricks():
    """24 channels lie in two bricks: 1.5 cycles for each of 32 channels of 64 pixels; ReLU leaves with them."""
    chip, graph = load_accelerator("ethos_u55_128"), residual()
    cost = evaluate(graph, chip)
    before = evaluate(graph.layers[0], chip).layers[0].compute_cycles
    task = Task.of(graph.layers[1], chip, Stay(ahead_cycles=before))
    alone = price_blocks(task, block_mapping(task, chosen_block(task)))
    assert cost.layers[1].cycles == alone.cycles + 1.5 * 32 * 64
    # two operands are read and one is written, 8 bit each
    assert cost.layers[1].traffic_bits["sram", "vector"] == 8 * 3 * 24 * 64


def test_what_goes_before_a_layer_is_its_neighbours_at_any_bits():
    """The layer before, and the sum between: 1.5 cycles for each element of two bricks."""
    chip, graph = load_accelerator("ethos_u55_128"), residual()
    third = replace(conv(24, 24, 8), name="c", module="c")
    last = Tensor(name="relu", shape=(1, 24, 8, 8))
    nodes = [node for node in graph.nodes if node.name != "out"]
    edges = [(a, b, data["tensor"]) for a, b, data in graph.digraph.edges(data=True) if b != "out"]
    out = Port(name="out", kind="output")
    graph = LayerGraph("net", [*nodes, third, out], [*edges, ("relu", "c", last), ("c", "out", last)])
    alone = evaluate(third, chip).layers[0].compute_cycles
    for bits in (8, 16):
        cost = evaluate(graph, chip, {name: Choice(w_bits=8, a_bits=bits) for name in "abc"})
        assert [item.stay.ahead_cycles for item in cost.layers] == [0, alone, alone + int(1.5 * 32 * 64)]
    assert evaluate(graph, no_staging("ethos_u55_128")).layers[2].stay.ahead_cycles == 0


def test_pools_fill_units():
    """One pixel of 64 channels of an average over 8 x 8 takes a unit of 1 x 2 pixels: 4 cycles per tap and unit."""
    chip, layer = load_accelerator("ethos_u55_128"), conv(64, 64, 8)
    pool = VectorOp(name="pool", kind="pool", elements_in=4096, elements_out=64, ops_per_element=64, fused=True)
    graph = LayerGraph(
        "net",
        [Port(name="in", kind="input"), layer, pool, Port(name="out", kind="output")],
        [("in", "x", Tensor(name="in", shape=(1, 64, 8, 8))), ("x", "pool", Tensor(name="x", shape=(1, 64, 8, 8))),
         ("pool", "out", Tensor(name="pool", shape=(1, 64, 1, 1)))],
    )  # fmt: skip
    assert evaluate(graph, chip).cycles == evaluate(layer, chip).cycles + 4 * 64 * (64 // 8)


def test_tensors_and_weights_have_homes_of_their_own():
    cost = evaluate(residual(24, 32), load_accelerator("ethos_u55_128"))
    assert {tensor.memory for tensor in cost.tensors} == {"sram"}
    assert {place for place, operand in cost.layers[0].traffic_bits if operand == "W"} == {"sram", "flash"}
    assert ("flash", "I") not in cost.layers[0].traffic_bits
    product = Layer(name="x", kind="matmul", dims={"OX": 64, "K": 64, "C": 32})
    alone = evaluate(product, load_accelerator("ethos_u55_128")).layers[0]
    assert ("flash", "W") not in alone.traffic_bits  # an activation


def test_what_does_not_fit_in_a_finite_memory_is_said():
    chip = load_accelerator("ethos_u55_128")
    tensors = 2 * 24 * 64  # of 8 bit, alive at once: an output beside the one that the skip keeps

    def note(size):
        memories = tuple(
            replace(memory, size_bits=8.0 * size) if memory.name == "sram" else memory
            for memory in chip.levels[-1].memories
        )
        small = replace(chip, levels=(*chip.levels[:-1], replace(chip.levels[-1], memories=memories)))
        cost = evaluate(residual(), small)
        return [text for text in cost.price_notes if "does not run" in text], cost.activation_bits

    enough, bits = note(3 * tensors)
    assert enough == []
    assert bits >= 8 * tensors
    (text,), _ = note(1024)
    assert "sram has 1 KiB, and the network needs" in text


@settings(max_examples=8, deadline=None)
@given(data=st.data(), name=st.sampled_from(ETHOS))
def test_tables_and_evaluate_agree(data, name):
    chip, graph = load_accelerator(name), residual()
    choices = [Choice(w_bits=8, a_bits=8), Choice(w_bits=8, a_bits=16), Choice(w_bits=8, a_bits=8, density=0.3),
               Choice(w_bits=8, a_bits=8, density=0.5, pattern="filter")]  # fmt: skip
    table = CostTable.build(graph, chip, choices)
    picks = {module: data.draw(st.sampled_from(choices)) for module in table.modules}
    totals, cost = table.price(picks), evaluate(graph, chip, picks)
    assert (totals.energy_pj, totals.cycles) == (cost.energy_pj, cost.cycles)
