"""Layers of AlexNet, VGG-16 and MobileNetV2 beside ZigZag, both mappers in one run on one machine.

ZigZag runs in an interpreter of its own (`zigzag_peer.py`). Both price its `tpu_like`, 32 x 32 MACs with K along
one side and C along the other, and map for energy.
"""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwmodel import Bits, Layer, LayerCost, find_mapping, load_accelerator
from hwmodel.mapper.shared import forget_mappings
from hwmodel.mapper.space.tiles import tile_grid
from hwmodel.mapper.space.unrolling import padded_variants, unrollings
from hwmodel.nest.mapping import Loop, Mapping

Row = dict[str, Any]
PEER = Path(__file__).with_name("zigzag_peer.py")
#: ZigZag's search considers so many loops of prime factors: its default.
LPF_LIMIT = 6
#: `bandwidth_min` of the SRAM's ports in its `tpu_like` [bit]: no access moves less.
LEAST_ACCESS_BITS = 64
CHIP = "tpu_like"
#: Peers that were not run, and why.
NOT_RUN = {
    "accelforge 1.0.467": "does not install on Python 3.11: its hwcomponents ask for 3.12",
    "timeloop": "comes as source code, not as a package",
}
#: Width of all operands [bit].
BITS = 8


def _conv(network: str, k: int, c: int, size: int, taps: int, stride: int = 1) -> Layer:
    dims = {"K": k, "C": c, "OY": size, "OX": size, "FY": taps, "FX": taps}
    name = f"{network} {k}x{c}x{taps}x{taps} {size}x{size}" + ("/2" if stride == 2 else "")
    return Layer(name=name, dims=dims, stride=(stride, stride), bits=Bits(w=BITS, i=BITS))


def _depthwise(groups: int, size: int, stride: int) -> Layer:
    dims = {"G": groups, "OY": size, "OX": size, "FY": 3, "FX": 3}
    name = f"MobileNetV2 depthwise {groups}x3x3 {size}x{size}" + ("/2" if stride == 2 else "")
    return Layer(name=name, dims=dims, stride=(stride, stride), bits=Bits(w=BITS, i=BITS))


#: The convolutions of AlexNet (Krizhevsky, arXiv:1404.5997, one GPU), those of VGG-16 (Simonyan and Zisserman, ICLR
#: 2015, table 1, D) that differ, of MobileNetV2 (Sandler et al., CVPR 2018, table 2) all depthwise and five others.
LAYERS = (
    *(_conv("AlexNet", *row) for row in (
        (64, 3, 55, 11, 4), (192, 64, 27, 5), (384, 192, 13, 3), (256, 384, 13, 3), (256, 256, 13, 3),
    )),
    *(_conv("VGG-16", *row, 3) for row in (
        (64, 3, 224), (64, 64, 224), (128, 64, 112), (128, 128, 112), (256, 128, 56), (256, 256, 56),
        (512, 256, 28), (512, 512, 28), (512, 512, 14),
    )),
    *(_depthwise(*row) for row in (
        (32, 112, 1), (96, 56, 2), (144, 56, 1), (144, 28, 2), (192, 28, 1), (192, 14, 2), (384, 14, 1),
        (576, 14, 1), (576, 7, 2), (960, 7, 1),
    )),
    _conv("MobileNetV2", 32, 3, 112, 3, 2),
    *(_conv("MobileNetV2", *row, 1) for row in ((16, 32, 112), (24, 144, 56), (384, 64, 14), (1280, 320, 7))),
)  # fmt: skip


def run(python: str, layers: Sequence[Layer] = LAYERS) -> Row:
    """Both mappers on all layers.

    Args:
        python: an interpreter that has zigzag-dse.

    Returns:
        `zigzag` (its version) and `layers`: energies [pJ], cycles, processor times [s] and their ratios.
    """
    theirs = ask(python, layers)
    rows = [beside(layer, item) for layer, item in zip(layers, theirs["rows"], strict=True)]
    return {"zigzag": theirs["version"], "lpf_limit": LPF_LIMIT, "not_run": NOT_RUN, "layers": rows}


def ask(python: str, layers: Sequence[Layer]) -> Row:
    """What ZigZag finds, in its own interpreter."""
    asked = []
    for layer in layers:
        left_out = ("K", "C") if layer.dims.G > 1 else ("G",)
        dims = {name: bound for name, bound in layer.dims.items() if name not in left_out}
        asked.append({"name": layer.name, "stride": list(layer.stride), "dims": dims})
    text = json.dumps({"layers": asked, "lpf_limit": LPF_LIMIT})
    done = subprocess.run([python, "-P", str(PEER)], input=text, stdout=subprocess.PIPE, text=True, check=True)
    found: Row = json.loads(done.stdout)
    return found


def beside(layer: Layer, theirs: Row) -> Row:
    chip = load_accelerator(CHIP)
    seconds = ours_seconds(layer)
    mapping, ours = find_mapping(layer, chip)
    whole = whole_accesses(layer, mapping, ours)
    return {
        "name": layer.name, "energy_pj": ours.energy_pj, "zigzag_energy_pj": theirs["energy_pj"],
        "energy_ratio": theirs["energy_pj"] / ours.energy_pj,
        "whole_accesses_pj": whole, "whole_accesses_ratio": theirs["energy_pj"] / whole,
        "cycles": ours.cycles, "zigzag_cycles": theirs["cycles"], "cycles_ratio": theirs["cycles"] / ours.cycles,
        "seconds": seconds, "zigzag_seconds": theirs["seconds"], "times_faster": theirs["seconds"] / seconds,
        "zigzag_energy_by_level": theirs["energy_by_level"],
    }  # fmt: skip


def ours_seconds(layer: Layer, repeats: int = 3) -> float:
    """Least processor time of a search with empty caches, compiled [s]."""
    chip, least = load_accelerator(CHIP), math.inf
    find_mapping(layer, chip)
    for _ in range(repeats):
        forget_mappings()
        for cached in (tile_grid, unrollings, padded_variants):
            cached.cache_clear()
        start = time.process_time()
        find_mapping(layer, chip)
        least = min(least, time.process_time() - start)
    return least


def whole_accesses(layer: Layer, mapping: Mapping, ours: LayerCost) -> float:
    """Our mapping by ZigZag's rule that every access of SRAM and DRAM moves a multiple of 64 bits [pJ].

    In the SRAM that is what the array takes of I, and gives of O, in a cycle; in DRAM the tiles of W of all PEs.
    In a depthwise layer, which has neither K nor C to unroll, it is a word, a word, and the 9 of a filter.
    """
    memories = load_accelerator(CHIP).memories()
    sram, dram = memories["sram_2MB"], memories["dram"]
    registers, *_ = mapping.levels
    side_by_side = [loop for level in mapping.levels for loop in level.spatial]

    def words(dims: str, loops: Sequence[Loop]) -> int:
        return math.prod(loop.bound for loop in loops if loop.dim in dims.split())

    traffic = ours.traffic_bits
    read_pj = traffic["sram_2MB", "I"] * sram.read_pj_per_bit
    if ("dram", "I") in traffic:  # part of it are fills, each a whole tile
        read_pj -= traffic["dram", "I"] * sram.read_pj_per_bit
    parts = (
        (words("C", side_by_side), read_pj),
        (words("K", side_by_side), layer.elements("O") * BITS * sram.write_pj_per_bit),
        (words("G K C FY FX", (*side_by_side, *registers.temporal)), traffic["dram", "W"] * dram.read_pj_per_bit),
    )
    return ours.energy_pj + sum(pj * (rounded_up(count * BITS) - 1) for count, pj in parts)


def rounded_up(bits: int) -> float:
    """What an access of so many bits is charged, over its bits."""
    return math.ceil(bits / LEAST_ACCESS_BITS) * LEAST_ACCESS_BITS / bits


def show(data: Row) -> None:
    """A line per layer, and the geometric means of the ratios."""
    rows = data["layers"]
    print(f"beside ZigZag {data['zigzag']} on {CHIP} (energy; ratios are ZigZag's over ours)")
    heads = (
        f"{'ours pJ':>11s} {'energy':>7s} {'whole':>7s} {'cycles':>7s} {'ours':>9s} {'ZigZag':>8s} {'faster':>8s}"
    )
    print(f"{'layer':44s} {heads}")
    for item in rows:
        print(
            f"{item['name']:44s} {item['energy_pj']:11.5g} {item['energy_ratio']:7.3f} "
            f"{item['whole_accesses_ratio']:7.3f} {item['cycles_ratio']:7.3f} {1e3 * item['seconds']:6.1f} ms "
            f"{item['zigzag_seconds']:6.1f} s {item['times_faster']:8,.0f}"
        )
    for kind, chosen in kinds(rows).items():
        energy, whole, faster = (
            mean([item[key] for item in chosen]) for key in ("energy_ratio", "whole_accesses_ratio", "times_faster")
        )
        print(
            f"{kind}, {len(chosen)} layers, geometric means: energy {energy:.3f}, whole accesses {whole:.3f}, "
            f"{faster:,.0f} times faster"
        )


def kinds(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Depthwise convolutions, and the others."""
    return {
        "depthwise": [item for item in rows if "depthwise" in item["name"]],
        "others": [item for item in rows if "depthwise" not in item["name"]],
    }


def mean(values: Sequence[float]) -> float:
    """The geometric one."""
    return math.exp(sum(map(math.log, values)) / len(values))
