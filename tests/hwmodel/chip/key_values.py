"""Other values of every key of a chip file, chips of every kind that have them, and layers that tell them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.replays import haq
from hwmodel import Bits, Density, Layer, LayerGraph, Port, Tensor, VectorOp
from hwmodel.chip.loader import FOLDER
from tests.hwmodel.chips import TINY
from tests.hwmodel.mapper.deep.brute import CHIPS
from tests.hwmodel.price.test_analog import ANALOG

COMPONENTS = (Path(__file__).parents[3] / "examples" / "npu_components.yaml").read_text(encoding="utf-8")


def preset(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


#: A chip of every kind, precision, dataflow and timing.
HOSTS = {
    "free": TINY.replace("size: 64 B", "size: 1 KiB").replace("[K, OX]", "[K, OY, OX]"),
    "clusters": CHIPS["clusters"].replace("size: 40 B", "size: 1 KiB"),
    "components": COMPONENTS[: COMPONENTS.index("sweep:")],
    "fusion": TINY.replace("size: 64 B", "size: 1 KiB").replace(
        "energy: 0.5 pJ",
        "energy: 0.5 pJ, precision: fusion, brick: 2 bit, "
        "energies: [{w: 8 bit, i: 8 bit, energy: 0.5 pJ}, {w: 4 bit, i: 4 bit, energy: 0.1 pJ}]",
    ),
    "serial": preset("stripes"),
    "table": TINY.replace("size: 64 B", "size: 1 KiB").replace(
        "accumulator: 16 bit",
        "accumulator: 16 bit, precision: table, "
        "rates: [{w: 8 bit, i: 8 bit, rate: 2}, {w: 4 bit, i: 4 bit, rate: 3.2}]",
    ),
    "analog": ANALOG.replace("size: 8 B", "size: 8 B\n    area: 1 um^2/bit").replace("size: 64 B", "size: 1 KiB"),
    "row_stationary": preset("eyeriss").replace("network_energy: 0.2419 pJ/bit", "network_length: 500 um"),
    "sparse": preset("eyeriss_v2"),
    "systolic": preset("tpu_v1"),
    "streamed": haq.ENGINE.read_text(encoding="utf-8"),
    "blocks": preset("ethos_u55_128")
    .replace("size: 24 KiB", "size: 4 KiB")
    .replace("banks: {size: 1 KiB", "banks: {size: 128 B")
    .replace("size: unbounded  # the system's", "size: 1 MiB  # the system's")
    .replace("bandwidth: 8 bit/cycle", "bandwidth: 64 bit/cycle"),
    "commands": preset("gemmini")
    .replace("size: 64 KiB", "size: 2 KiB")
    .replace("size: 256 KiB", "size: 2 KiB")
    .replace("size: 512 KiB", "size: 2 KiB")
    .replace("size: 4 MiB", "size: 4 KiB"),
    "loop_nest": preset("loop_nest"),
    "gpu": preset("a100"),
    "cpu": preset("cpu_avx512"),
}
SRC = ["another source"]
ENERGY, PER_BIT, POWER = ["0.7 pJ", "0 pJ"], ["0.7 pJ/bit", "0 pJ/bit"], ["3 mW"]
WIDTH = ["8 bit", "4 bit", "2 bit", "6 bit", "16 bit"]
COUNT = [1, 2, 3, 16, 40]
CYCLES = [0, 1, 7.5, 900]
SIZE = ["4 B", "6 B", "64 B", "1 KiB", "24 KiB", "2 MiB"]
OPERANDS = [["W"], ["I"], ["O"], ["W", "I"], ["I", "O"], ["W", "I", "O"], ["W", "O"]]
BANDWIDTH = ["1 bit/cycle"]
RATES = [[{"w": "8 bit", "i": "8 bit", "rate": 2}, {"w": "4 bit", "i": "4 bit", "rate": 5}]]

#: Key -> other values; each is valid on some chip, and is that nowhere without an effect.
OTHERS: dict[str, list[Any]] = {
    "name": ["another"], "kind": ["spatial", "loop_nest"], "description": ["another"], "source": SRC,
    "clock": ["123 MHz"], "technology": ["16 nm"], "host_unfolds": [4], "diagonal": [False, True],
    "gating": [["W"], ["I"], ["W", "I"]], "skipping": [["W"], ["I"], ["W", "I"]], "nm": [["2:4"], ["1:4"]],
    "dataflow": ["free", "row_stationary"], "tiles": ["even", "uneven"],
    "clock_power": POWER, "notes": [["another"]], "sweep": [{}],
    "temporal": [], "order": [],  # made for each chip
    "mac": [],
    "mac.component": ["mac", "float_mac"], "mac.technology": ["16 nm"], "mac.registered": [False, True],
    "mac.w": WIDTH, "mac.i": WIDTH, "mac.accumulator": ["16 bit", "32 bit", "48 bit"],
    "mac.precision": ["fixed", "fusion", "bit_serial", "table", "analog"], "mac.brick": ["1 bit", "2 bit", "4 bit"],
    "mac.serial": [["W"], ["I"], ["W", "I"]], "mac.energy": ENERGY,
    "mac.energies.w": WIDTH, "mac.energies.i": WIDTH,
    "mac.energies.energy": ENERGY, "mac.energies": [[{"w": "8 bit", "i": "8 bit", "energy": "0.9 pJ"}]],
    "mac.rates": RATES, "mac.rates.w": WIDTH, "mac.rates.i": WIDTH, "mac.rates.rate": [0.7, 5],
    "mac.area": ["700 um^2"], "mac.leakage": POWER, "mac.source": SRC,
    "mac.analog": [{"cell": "1 bit", "dac": {"bits": "1 bit", "energy": "1 pJ"},
                    "adc": {"bits": "8 bit", "energy": "1 pJ"}}],
    "mac.analog.cell": WIDTH, "mac.analog.cycles": COUNT, "mac.analog.dac": [], "mac.analog.adc": [],
    "mac.analog.dac.bits": WIDTH, "mac.analog.dac.energy": ENERGY, "mac.analog.adc.bits": ["1 bit", "3 bit"],
    "mac.analog.adc.energy": ENERGY,
    "array": [[{"axis": "X", "size": 3, "dims": ["K"]}]], "array.axis": ["Q"], "array.size": [1, 3, 16],
    "array.dims": [["B"], ["K"], ["OX", "OY"], ["C", "FX", "FY", "K"]], "array.fused": [True, False],
    "array.weight_cells": [0, 7], "array.full": [["FX"], ["C"]], "array.multicast": [False],
    "memories": [], "memories.name": ["another"], "memories.level": ["together"],
    "memories.per": ["pe", "array", "X"],
    "memories.holds": OPERANDS, "memories.bypass": OPERANDS, "memories.resident": OPERANDS, "memories.size": SIZE,
    "memories.component": ["sram", "regfile", "dram"], "memories.technology": ["16 nm"], "memories.width": WIDTH,
    "memories.banks": COUNT, "memories.ports": COUNT, "memories.devices": ["high_performance"],
    "memories.kind": ["hbm2", "lpddr4"], "memories.network_length": ["3 mm"],
    "memories.read_energy": PER_BIT, "memories.write_energy": PER_BIT, "memories.bandwidth": BANDWIDTH,
    "memories.read_bandwidth": BANDWIDTH, "memories.write_bandwidth": BANDWIDTH,
    "memories.double_buffered": [True, False], "memories.compressed": OPERANDS, "memories.area": ["2 um^2/bit"],
    "memories.formats": [["bitmask"], ["coordinate"], ["run_length"]], "memories.bank": ["16 B", "64 B"],
    "memories.network": BANDWIDTH, "memories.network_energy": ["0.7 pJ/bit"], "memories.exclusive": OPERANDS,
    "memories.leakage": POWER, "memories.burst": ["64 B", "4 B"], "memories.latency": [3, 500],
    "memories.brick": [1, 8, 16], "memories.source": SRC,
    "vector": [{"lanes": 3}], "vector.lanes": [1, 3, 64], "vector.energy": ENERGY,
    "vector.cycles": [{"softmax": 99.0}, {"pool": 20.0}, {"add": 30.0}, {"activation": 30.0}],
    "vector.fuses": [[], ["pool"], ["activation", "add"]], "vector.source": SRC,
    "loop_nest": [], "loop_nest.conv": [], "loop_nest.linear": [],
    "loop_nest.bias_additions": ["none", "last", "all"], "loop_nest.multiply_energy_per_bit2": ENERGY,
    "loop_nest.add_energy_per_bit": ENERGY, "loop_nest.source": SRC,
    **{f"loop_nest.{kind}.{what}": [3] for kind in ("conv", "linear") for what in ("multiplications", "additions")},
    "timing": [{"kind": "systolic", "dataflow": "ws"}, {"kind": "streamed"}], "timing.kind": ["systolic", "blocks"],
    "timing.dataflow": ["ws", "os", "is"], "timing.blocks": [], "timing.commands": [],
    "timing.blocks.granules": [[{"taps": 1, "channels": 8}]], "timing.blocks.granules.taps": COUNT,
    "timing.blocks.granules.channels": [8, 16, 40], "timing.blocks.depthwise_taps": COUNT,
    "timing.blocks.largest": [[2, 2, 8]], "timing.blocks.filters": [1, 64], "timing.blocks.window": [2, 3],
    "timing.blocks.decoder": CYCLES, "timing.blocks.pipeline": [0, 30], "timing.blocks.output": CYCLES,
    "timing.blocks.issue": [1, 2], "timing.blocks.staged": [False, True], "timing.blocks.images": [0, 100],
    "timing.blocks.source": SRC, "timing.blocks.parameters": [], "timing.blocks.parameters.size": ["100 B"],
    "timing.blocks.parameters.word": ["1 KiB"], "timing.blocks.parameters.window": ["4 B"],
    "timing.blocks.banks": [], "timing.blocks.banks.size": ["4 KiB"], "timing.blocks.banks.channels": [64],
    "timing.blocks.banks.inputs": [20], "timing.blocks.banks.sums": [20], "timing.blocks.banks.reserved": [22, 20],
    "timing.blocks.wide": [], "timing.blocks.wide.output": CYCLES, "timing.blocks.wide.accumulator": ["64 bit"],
    "timing.blocks.wide.sums": [20],
    "timing.commands.in_flight": [1, 5], "timing.commands.source": SRC,
    "timing.commands.passes": [], "timing.commands.loads": [], "timing.commands.stores": [],
    "timing.commands.caches": [[]], "timing.commands.passes.rows": [4, 64], "timing.commands.passes.least": [30],
    "timing.commands.passes.entries": [4, 64], "timing.commands.passes.latency": [0, 500],
    "timing.commands.passes.dispatch": [0, 500], "timing.commands.loads.rows": [2],
    "timing.commands.loads.size": ["8 B"], "timing.commands.loads.word": ["1 B"],
    "timing.commands.loads.at_once": [1, 8], "timing.commands.loads.latency": [1, 999],
    "timing.commands.stores.size": ["4 B"], "timing.commands.stores.cycles": CYCLES,
    "timing.commands.stores.same_word": [0, 99], "timing.commands.caches.size": ["1 KiB"],
    "timing.commands.caches.ways": [1, 2, 4], "timing.commands.caches.line": ["16 B"],
    "timing.commands.caches.banks": [1, 4], "timing.commands.caches.load": [900],
    "timing.commands.caches.store": [900],
    "roofline": [], "roofline.cores": [1, 7], "roofline.native": ["fp32", "tf32"], "roofline.formats": [],
    "roofline.tiles": [[[16, 16]]], "roofline.granule": ["512 B"], "roofline.channel_block": [64],
    "roofline.cache": ["1 KiB"], "roofline.cache_bandwidth": ["1 GB/s"], "roofline.fill": ["1 s"],
    "roofline.launch": ["1 s"], "roofline.wait": ["1 s"], "roofline.overlap": [False, True],
    "roofline.board_power": ["999 W"], "roofline.idle_power": ["11 W"], "roofline.source": SRC,
    "roofline.formats.name": ["another"], "roofline.formats.bits": ["16 bit", "12 bit"],
    "roofline.formats.peak": ["1 TFLOP/s"], "roofline.formats.efficiency": [0.3],
    "roofline.formats.direct": ["1 TFLOP/s"], "roofline.formats.overhead": ["1 s"],
    "roofline.formats.conv_overhead": ["1 s"], "roofline.formats.direct_overhead": ["1 s"],
    "roofline.formats.bandwidth": ["1 MB/s"], "roofline.formats.packing_bandwidth": ["1 MB/s"],
    "roofline.formats.reorder_bandwidth": ["1 MB/s"], "roofline.formats.lowers": [True, False],
    "roofline.formats.sparse": [3], "roofline.formats.storage": ["64 bit"],
    "roofline.formats.conv_efficiency": [0.1], "roofline.formats.pointwise_efficiency": [0.1],
}  # fmt: skip
#: Keys, and keys of a host, whose effect hangs on layers that are not priced here: other tests have them.
DEPENDS = {
    "memories.bypass", "diagonal", "array.full",
    ("row_stationary", "memories.0.bank"), ("row_stationary", "memories.1.double_buffered"),
    ("sparse", "memories.1.double_buffered"), ("commands", "memories.2.double_buffered"), ("fusion", "mac.brick"),
    ("gpu", "roofline.formats.0.conv_efficiency"), ("gpu", "roofline.formats.0.pointwise_efficiency"),
    ("gpu", "roofline.formats.0.conv_overhead"),
    ("commands", "timing.commands.caches.0.ways"), ("commands", "timing.commands.caches.1.ways"),
}  # fmt: skip
#: Keys that are shown as they are.
TEXTS = {"name", "description", "source", "notes", "axis", "level"}

HALF = Density(w=0.5, pattern="2:4")
CONV = Layer(
    name="conv", module="conv", dims={"K": 8, "C": 4, "OY": 6, "OX": 6, "FY": 3, "FX": 3}, padding=((1, 1), (1, 1))
)
POINT = Layer(name="point", module="point", dims={"K": 24, "C": 8, "OY": 3, "OX": 3})
LAYERS = (
    CONV.with_bits(Bits(w=4, i=4)).with_density(Density(w=0.5, i=0.4, o=0.5)),
    CONV.with_bits(Bits(w=16, i=16)).with_density(HALF),
    POINT.with_bits(Bits(w=8, i=8)),
    Layer(name="depthwise", dims={"G": 12, "OX": 2, "FY": 3, "FX": 3}, stride=2),
    Layer(name="linear", kind="linear", dims={"B": 2, "K": 40, "C": 70}, bits=Bits(w=3, i=5)),
)
#: For what has no mappings: kernels that are not bound by their launch, and do not fit into a cache.
LARGE = tuple(
    layer.with_bits(Bits(w=bits, i=bits))
    for bits in (4, 8, 16, 19, 32)
    for layer in (
        Layer(name="product", kind="linear", dims={"B": 4096, "K": 2048, "C": 4096}),
        Layer(name="sparse", kind="linear", dims={"B": 4096, "K": 2048, "C": 4096}, density=HALF),
        Layer(name="window", dims={"K": 256, "C": 256, "OY": 128, "OX": 128, "FY": 3, "FX": 3}),
        Layer(name="pixels", dims={"K": 512, "C": 512, "OY": 128, "OX": 128}),
        Layer(name="channels", dims={"G": 512, "OY": 128, "OX": 128, "FY": 3, "FX": 3}),
        Layer(name="small", dims={"K": 8, "C": 8, "OY": 8, "OX": 8, "FY": 3, "FX": 3}),
    )
)


def network() -> LayerGraph:
    """A convolution, an activation, a pool and a sum behind it, and a product of what they leave."""
    shapes = {"in": (1, 4, 6, 6), "conv": (1, 8, 6, 6), "relu": (1, 8, 6, 6), "pool": (1, 8, 3, 3),
              "sum": (1, 8, 3, 3), "soft": (1, 8, 3, 3), "point": (1, 24, 3, 3)}  # fmt: skip
    nodes = [
        Port(name="in", kind="input"),
        CONV,
        VectorOp(name="relu", kind="activation", elements_in=288, elements_out=288, fused=True),
        VectorOp(name="pool", kind="pool", elements_in=288, elements_out=72, ops_per_element=4, fused=True),
        VectorOp(name="sum", kind="add", elements_in=144, elements_out=72, fused=True),
        VectorOp(name="soft", kind="softmax", elements_in=72, elements_out=72, ops_per_element=5),
        POINT,
        Port(name="out", kind="output"),
    ]
    edges = [
        ("in", "conv"),
        ("conv", "relu"),
        ("relu", "pool"),
        ("pool", "sum"),
        ("sum", "soft"),
        ("soft", "point"),
        ("point", "out"),
    ]
    return LayerGraph("net", nodes, [(u, v, Tensor(name=u, shape=shapes[u])) for u, v in edges])
