"""More of a chip, or less of a layer, never costs more of what is optimised: random pairs."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hwmodel import Bits, Density, Layer, find_mapping, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from tests.hwmodel.chips import TINY, chip

ROOMY = TINY.replace("size: 8 B", "size: 24 B").replace("size: 64 B", "size: 512 B")
TEXTS = [
    ROOMY.replace("[W, O]", "[W, I, O]") + "skipping: [W, I]\n",
    ROOMY + "skipping: [W]\ngating: [I]\n",
    ROOMY + "nm: ['2:4']\n",
    ROOMY.replace("    bandwidth:", "    compressed: [W, I, O]\n    bandwidth:").replace("d: true", "d: false"),
]
PRESETS = ["edge_npu", "nvdla_large", "eyeriss_v2", "eyeriss", "tpu_like", "bitfusion", "stripes"]
KINDS = ["density", "bits", "batch", "memory", "port", "array"]


def changed(accelerator: Accelerator, kind: str, rng: random.Random) -> Accelerator:
    """The accelerator with a larger memory, faster ports of one memory, or a longer axis."""
    if kind == "array":
        grown = rng.randrange(len(accelerator.axes))
        more = rng.choice([1, 2, accelerator.axes[grown].size])
        axes = (replace(a, size=a.size + more) if n == grown else a for n, a in enumerate(accelerator.axes))
        return replace(accelerator, axes=tuple(axes))
    name, factor = rng.choice(list(accelerator.memories())), rng.choice([1.1, 1.5, 2, 10])
    fields = ["size_bits"] if kind == "memory" else ["read_bits_per_cycle", "write_bits_per_cycle"]
    return replace(
        accelerator,
        levels=tuple(
            replace(
                level,
                memories=tuple(
                    replace(m, **{f: value and value * factor for f in fields for value in [getattr(m, f)]})
                    if m.name == name
                    else m
                    for m in level.memories
                ),
            )
            for level in accelerator.levels
        ),
    )


def random_layer(rng: random.Random) -> Layer:
    side, taps = rng.randint(1, 12), rng.choice([1, 1, 3])
    dims = dict(B=rng.choice([1, 2, 4, 6]), OY=side, OX=rng.choice([side, 1]), FY=taps, FX=taps)
    if rng.random() < 0.2:
        dims["G"] = rng.randint(2, 8)
    else:
        dims |= dict(K=rng.choice([1, 3, 4, 8, 12, 16, 30]), C=rng.choice([1, 2, 5, 8, 16, 24]))
    zeros = Density(
        w=rng.choice([1.0, 0.9, 0.5, 0.2]),
        i=rng.choice([1.0, 0.7, 0.4]),
        pattern=rng.choice(["unstructured", "2:4"]),
    )
    bits = Bits(w=rng.choice([3, 4, 6, 8]), i=rng.choice([3, 4, 6, 8]))
    return Layer(name="x", dims=dims, stride=rng.choice([1, 1, 2]), density=zeros, bits=bits)


def smaller(layer: Layer, kind: str, rng: random.Random) -> Layer:
    """The layer with fewer values, fewer bits or a smaller batch."""
    if kind == "density":
        d = layer.density
        return replace(layer, density=replace(d, w=d.w * rng.uniform(0.2, 1), i=d.i * rng.uniform(0.2, 1)))
    if kind == "bits":
        assert layer.bits is not None
        return replace(layer, bits=Bits(w=rng.randint(2, layer.bits.w), i=rng.randint(2, layer.bits.i)))
    if kind == "batch":
        return replace(layer, dims=replace(layer.dims, B=rng.randint(1, layer.dims.B)))
    return layer


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_optimised_never_rises(kind, tmp_path):
    chips = [load_accelerator(name) for name in PRESETS]
    for n, text in enumerate(TEXTS):
        (tmp_path / str(n)).mkdir()
        chips.append(chip(tmp_path / str(n), text))
    rng, pairs = random.Random(KINDS.index(kind)), 0
    while pairs < 20:
        accelerator, layer = rng.choice(chips), random_layer(rng)
        optimize = rng.choice(["energy", "latency", "edp"])

        def score(one: Layer, on: Accelerator) -> float:
            cost = find_mapping(one, on, optimize)[1]  # noqa: B023
            assert 0 < cost.utilization <= 1
            return {"energy": cost.energy_pj, "latency": cost.cycles, "edp": cost.energy_pj * cost.cycles}[optimize]  # noqa: B023

        try:
            before = score(layer, accelerator)
        except MappingError:
            continue
        grows = kind in ("memory", "port", "array")
        after = score(smaller(layer, kind, rng), changed(accelerator, kind, rng) if grows else accelerator)
        assert after <= before * (1 + 1e-6), (accelerator.name, layer, optimize)
        pairs += 1
