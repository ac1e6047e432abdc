"""GPU and CPU targets: tile and wave quantization, precision, overheads, bad files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replays import gemm
from benchmarks.replays.figures import figures
from hwmodel import Bits, Choice, CostTable, Density, Layer, LayerGraph, Port, VectorOp, evaluate, load_accelerator
from hwmodel.chip.formats import Format
from hwmodel.chip.roofline import MatrixProducts, Roofline, run_kernel
from hwmodel.errors import AcceleratorError, MappingError
from hwmodel.network.graph import Tensor
from hwmodel.price.gpu import products_of
from tests.hwmodel.chips import chip

FMT = Format(name="int8", bits=8, storage_bits=8, macs_per_s=1e12)
WIDE = replace(FMT, name="fp32", bits=32, storage_bits=32, macs_per_s=1e11)
#: Memory and cache that never bound: only tiles and waves are left.
IDEAL = Roofline(
    cores=10, formats=(FMT, WIDE), tiles=((8, 8),), granule_bits=8, cache_bits=1e9, cache_bits_per_s=1e30,
    memory_bits_per_s=1e30, fill_s=0.0, launch_s=0.0, wait_s=0.0, idle_w=0.0,
)  # fmt: skip
GPUS = ("a100", "h100", "h200")

SMALL_GPU = """\
name: small
kind: gpu
description: made up
source: made up for tests
clock: 1 GHz
roofline:
  cores: 4
  native: fp16
  formats:
    - {name: fp32, bits: 32 bit, peak: 1 TFLOP/s}
    - {name: fp16, bits: 16 bit, peak: 4 TFLOP/s, sparse: 2}
  tiles: [[64, 64]]
  cache: 1 MiB
  cache_bandwidth: 1000 GB/s
  launch: 2 us
  wait: 10 us
  board_power: 100 W
  idle_power: 20 W
  source: test
memories:
  - {name: hbm, holds: [W, I, O], size: 1 GiB, read_energy: 4 pJ/bit, bandwidth: 100 GB/s, source: test}
"""


def product(m, n, k, batch=1):
    return MatrixProducts(
        m=m, n=n, k=k, batch=batch, w=batch * n * k, i=batch * m * k, o=batch * m * n,
        w_bits=8, i_bits=8, o_bits=8,
    )  # fmt: skip


def linear(m, n, k, bits=16):
    return Layer(name="fc", kind="linear", dims={"B": m, "K": n, "C": k}, bits=Bits(w=bits, i=bits))


@given(m=st.integers(1, 200), n=st.integers(1, 200), k=st.integers(1, 100), batch=st.integers(1, 4))
def test_waves_of_whole_tiles(m, n, k, batch):
    tiles = math.ceil(m / 8) * math.ceil(n / 8) * batch
    slices = max(1, 10 // tiles)
    waves = math.ceil(tiles * slices / 10)
    expected = waves * 8 * 8 * math.ceil(k / slices) / (1e12 / 10)
    assert run_kernel(product(m, n, k, batch), IDEAL, FMT).seconds == pytest.approx(expected)


def test_one_tile_more_than_a_wave_costs_a_wave():
    full, more = (run_kernel(product(8 * tiles, 8, 64), IDEAL, FMT).seconds for tiles in (10, 11))
    assert more == pytest.approx(2 * full)


def test_memory_bounds_a_matrix_vector_product():
    machine = replace(IDEAL, memory_bits_per_s=1e9)
    kernel = run_kernel(product(1, 1000, 1000), machine, FMT)
    assert kernel.bound == "memory"
    assert kernel.seconds == pytest.approx((1000 * 1000 + 1000 + 1000) * 8 / 1e9)
    beside = replace(machine, overlap=False)
    compute = run_kernel(product(1, 1000, 1000), IDEAL, FMT).seconds
    assert run_kernel(product(1, 1000, 1000), beside, FMT).seconds == pytest.approx(kernel.seconds + compute)


def test_an_operand_larger_than_the_cache_is_read_again():
    big = replace(IDEAL, cache_bits=8.0, tiles=((8, 8),))
    kernel = run_kernel(product(800, 800, 16), big, FMT)
    block_rows = round(math.sqrt(10))  # ten tiles at a time, near-square
    assert kernel.w_bits == 800 * 16 * 8 * math.ceil(100 / block_rows)
    assert run_kernel(product(800, 800, 16), IDEAL, FMT).w_bits == 800 * 16 * 8


def test_an_operand_that_fits_in_half_of_the_cache_is_read_once():
    """The other half is for what streams by. One bit less, and each row or column of blocks reads it again."""
    m, n, k = 800, 720, 16
    block_rows = round(math.sqrt(10))  # ten tiles at a time, near-square
    block_columns = 10 // block_rows
    w_bits, i_bits = n * k * 8, m * k * 8
    for cache, w_reads, i_reads in [
        (2 * i_bits, 1, 1),
        (2 * i_bits - 1, 1, math.ceil(n / 8 / block_columns)),
        (2 * w_bits, 1, math.ceil(n / 8 / block_columns)),
        (2 * w_bits - 1, math.ceil(m / 8 / block_rows), math.ceil(n / 8 / block_columns)),
    ]:
        kernel = run_kernel(product(m, n, k), replace(IDEAL, cache_bits=float(cache)), FMT)
        assert (kernel.w_bits, kernel.i_bits) == (w_bits * w_reads, i_bits * i_reads)
    twice = run_kernel(product(m, n, k, batch=2), replace(IDEAL, cache_bits=2.0 * i_bits), FMT)
    assert (twice.w_bits, twice.i_bits) == (2 * w_bits, 2 * i_bits)  # one after the other


def test_an_unrolled_convolution_writes_its_patches_and_reads_them_again():
    """im2col: beside I, W and O each patch element goes out and comes back."""
    m, n, k = 100, 20, 90
    machine = replace(IDEAL, memory_bits_per_s=1e9)
    plain, unrolled = product(m, n, k), replace(product(m, n, k), patches=m * k)
    operands = (m * k + n * k + m * n) * 8
    assert run_kernel(plain, machine, FMT).seconds == pytest.approx(operands / 1e9)
    assert run_kernel(unrolled, machine, FMT).seconds == pytest.approx((operands + 2 * m * k * 8) / 1e9)


def test_convolutions_are_implicit_products():
    layer = Layer(
        name="c", dims={"B": 2, "G": 3, "K": 8, "C": 4, "OY": 5, "OX": 6, "FY": 3, "FX": 3}, stride=2,
        bits=Bits(w=8, i=8),
    )  # fmt: skip
    a100 = load_accelerator("a100")
    found = products_of(layer, a100.roofline, a100.resolve_bits(layer.bits, layer.reduction))
    assert (found.m, found.n, found.k, found.batch) == (2 * 5 * 6, 8, 4 * 9, 3)
    assert found.macs == layer.macs
    assert (found.w, found.i, found.o) == tuple(layer.elements(o) for o in ("W", "I", "O"))


def test_zeros_around_an_image_are_not_in_memory():
    """512 x 7 x 7 inputs of 16 bits, whatever lies around them: 9 x 9 of them would be reached."""
    dims = {"K": 8, "C": 512, "OY": 7, "OX": 7, "FY": 3, "FX": 3}
    bits = Bits(w=16, i=16)
    for padding, side in ((((1, 1), (1, 1)), 7), (((0, 0), (0, 0)), 9)):
        layer = Layer(name="c", dims=dims, bits=bits, padding=padding)
        cost = evaluate(layer, load_accelerator("a100")).layers[0]
        assert cost.traffic_bits["hbm2e", "I"] == 512 * side * side * 16


def test_an_input_that_lies_wider_is_read_as_it_lies():
    """a's output is read by b with 8 bits and by c with 16: both move 16-bit words."""
    a, b, c = (Layer(name=n, module=n, kind="linear", dims={"B": 64, "K": 64, "C": 64}) for n in "abc")
    nodes = [Port(name="in", kind="input"), a, b, c, *(Port(name=n, kind="output") for n in ("one", "two"))]
    pairs = [("in", "a"), ("a", "b"), ("a", "c"), ("b", "one"), ("c", "two")]
    graph = LayerGraph("fork", nodes, [(u, v, Tensor(name=u, shape=(64, 64))) for u, v in pairs])
    choices = {name: Choice(w_bits=bits, a_bits=bits) for name, bits in (("a", 16), ("b", 8), ("c", 16))}
    cost = {item.name: item for item in evaluate(graph, load_accelerator("a100"), choices).layers}
    assert cost["a"].traffic_bits["hbm2e", "O"] == 64 * 64 * 16
    assert [cost[n].traffic_bits["hbm2e", "I"] for n in "bc"] == [64 * 64 * 16] * 2
    assert cost["b"].traffic_bits["hbm2e", "W"] == 64 * 64 * 8


@pytest.mark.parametrize("name", GPUS)
def test_fewer_bits_are_never_slower(name):
    gpu = load_accelerator(name)
    costs = [evaluate(linear(4096, 4096, 4096, bits), gpu) for bits in (4, 8, 16, 32)]
    assert [c.cycles for c in costs] == sorted(c.cycles for c in costs)
    assert [c.energy_pj for c in costs] == sorted(c.energy_pj for c in costs)


def test_widths_without_arithmetic_are_the_next_format_and_say_so():
    a100, h100 = load_accelerator("a100"), load_accelerator("h100")
    assert evaluate(linear(512, 512, 512, 3), a100).cycles == evaluate(linear(512, 512, 512, 4), a100).cycles
    cost = evaluate(linear(512, 512, 512, 4), h100)
    assert cost.cycles == evaluate(linear(512, 512, 512, 8), h100).cycles
    assert (
        "'h100' has no 4x4-bit arithmetic: priced as int8, W stored as int8, I as int8. --strict-bits to refuse."
        in cost.notes
    )
    assert not any("arithmetic" in note for note in evaluate(linear(512, 512, 512, 8), h100).notes)
    mixed = replace(linear(64, 4096, 4096), bits=Bits(w=4, i=16))
    traffic = evaluate(mixed, a100).layers[0].traffic_bits
    assert traffic["hbm2e", "W"] == 4096 * 4096 * 4


def test_the_wait_is_paid_once_and_the_launch_by_every_kernel(tmp_path):
    gpu = chip(tmp_path, SMALL_GPU)
    layers = [replace(linear(8, 8, 8), name=name, module=name) for name in ("a", "b", "c")]
    graph = LayerGraph("g", layers, [])
    one, three = evaluate(layers[0], gpu), evaluate(graph, gpu)
    kernel = one.latency_s - 12e-6
    assert three.latency_s == pytest.approx(3 * (kernel + 2e-6) + 10e-6, abs=3e-9)
    assert one.layers[0].bound == "launch"


def test_energy_is_idle_power_times_time_plus_macs_plus_traffic(tmp_path):
    gpu = chip(tmp_path, SMALL_GPU)
    layer = linear(256, 256, 256)
    item = evaluate(layer, gpu).layers[0]
    mac_pj = (100 - 20) / 2e12 * 1e12  # the board draws its power at the peak, 2 TMAC/s
    assert item.energy_breakdown["mac", ""] == pytest.approx(layer.macs * mac_pj)
    assert item.energy_breakdown["hbm", "W"] == pytest.approx(256 * 256 * 16 * 4)
    assert item.energy_breakdown["idle", ""] == pytest.approx(20 * item.cycles / 1e9 * 1e12, rel=1e-3)


def test_vector_operations_are_priced(tmp_path):
    gpu = chip(tmp_path, SMALL_GPU)
    layer = replace(linear(256, 256, 256), module="fc")
    pool = VectorOp(name="pool", kind="pool", elements_in=256 * 256, elements_out=256)
    graph = LayerGraph("g", [layer, pool], [("fc", "pool", Tensor(name="t", shape=(256, 256)))])
    extra = evaluate(graph, gpu).latency_s - evaluate(LayerGraph("g", [layer], []), gpu).latency_s
    traffic_s = (256 * 256 + 256) * 16 / 800e9
    assert extra == pytest.approx(2e-6 + max(traffic_s, 256 / 1e9), abs=3e-9)


def test_structured_zeros_run_faster_where_the_gpu_has_them(tmp_path):
    gpu = chip(tmp_path, SMALL_GPU)
    dense = linear(2048, 2048, 2048)
    half = replace(dense, density=Density(w=0.5, pattern="2:4"))
    scattered = replace(dense, density=Density(w=0.5))
    assert evaluate(half, gpu).cycles < evaluate(dense, gpu).cycles == evaluate(scattered, gpu).cycles
    assert any("zeros among the weights" in note for note in evaluate(scattered, gpu).notes)
    assert not any("zeros among the weights" in note for note in evaluate(half, gpu).notes)


@settings(deadline=None, max_examples=30)
@given(
    dims=st.fixed_dictionaries(
        {d: st.integers(1, 64) for d in ("B", "G", "K", "C", "OY", "OX")} | {"FY": st.integers(1, 5)}
    ),
    kind=st.sampled_from(["conv", "matmul"]),
    bits=st.sampled_from([1, 4, 5, 8, 16, 32]),
    name=st.sampled_from([*GPUS, "cpu_avx512"]),
)
def test_every_cost_is_finite_and_no_faster_than_the_peak(dims, kind, bits, name):
    gpu = load_accelerator(name)
    item = evaluate(Layer(name="l", kind=kind, dims=dims, bits=Bits(w=bits, i=bits)), gpu).layers[0]
    assert 0 < item.utilization <= 1
    assert all(math.isfinite(value) and value >= 0 for value in item.energy_breakdown.values())


@pytest.mark.parametrize("name", [*GPUS, "cpu_avx512"])
def test_the_table_is_evaluate(name):
    gpu = load_accelerator(name)
    layers = [replace(linear(64, 32, 64), name=module, module=module) for module in ("a", "b")]
    graph = LayerGraph("g", layers, [])
    choices = [Choice(w_bits=w, a_bits=a) for w in (3, 8, 32) for a in (4, 16)]
    table = CostTable.build(graph, gpu, choices)
    assignment = {"a": choices[1], "b": choices[4]}
    totals, cost = table.price(assignment), evaluate(graph, gpu, assignment)
    assert (totals.energy_pj, totals.latency_s) == (cost.energy_pj, cost.latency_s)


def test_gpus_have_no_mappings():
    from hwmodel import find_mapping

    with pytest.raises(MappingError, match="kind gpu: it has no mappings"):
        find_mapping(linear(8, 8, 8), load_accelerator("a100"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("native: fp16", "native: fp8", "native must be one of fp32, fp16, but got 'fp8'"),
        ("bits: 32 bit", "bits: 24 bit", "the widest 32 bit"),
        ("peak: 1 TFLOP/s", "peak: 1", "1 has no unit. Write 1 TFLOP/s."),
        ("idle_power: 20 W", "idle_power: 200 W", "idle_power <= board_power must hold"),
        ("tiles: [[64, 64]]", "tiles: [[64, 0]]", "greater than or equal to 1"),
        ("cores: 4", "cores: 0", "greater than or equal to 1"),
        ("launch: 2 us", "launhc: 2 us", "Did you mean 'launch'?"),
        ("kind: gpu", "kind: spatial", "have a `roofline` section, the others none"),
        (", bandwidth: 100 GB/s", "", "exactly one memory, with a `bandwidth`"),
    ],
)
def test_bad_files_say_what_to_change(tmp_path, old, new, message):
    with pytest.raises(AcceleratorError) as caught:
        chip(tmp_path, SMALL_GPU.replace(old, new))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tflops", "gigabytes_per_s"), [("a100", 312, 2039), ("h100", 989.5, 3350), ("h200", 989.5, 4800)]
)
def test_presets_quote_their_data_sheets(name, tflops, gigabytes_per_s):
    """fp16 dense; what memory sustains lies below the data sheet's peak."""
    machine = load_accelerator(name).roofline
    assert 2 * machine.format_for(16).macs_per_s == pytest.approx(tflops * 1e12)
    assert 0.85 < machine.memory_bits_per_s / 8e9 / gigabytes_per_s < 1


def test_a100_products_are_within_the_target():
    cases = gemm.replay(figures("a100_gemm_ms.json"))
    assert sum(abs(case.error) for case in cases) / len(cases) < 0.12
