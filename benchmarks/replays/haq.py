"""HAQ's latency table: the speed-up of every layer from the widest pair of widths to every other pair.

The table gives cycles by layer and widths; the order of the layers is that of the network. Its engine is described
in `haq_edge.yaml`, beside this file. The engine multiplies matrices, so every layer is one here: the windows of an
image are rows, image by image, and a row is padded to words of 256 operands. Depthwise convolutions put 16 channels
of 16 taps into a word and multiply them by a block-diagonal matrix of 16 filters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from benchmarks.replays.case import Case
from benchmarks.replays.haq_networks import networks
from hwmodel import Bits, Layer, evaluate, load_accelerator
from hwmodel.network.layer import Dims

ENGINE = Path(__file__).with_name("haq_edge.yaml")
BATCH = 16


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `haq_mobilenetv2_b16_cycles.json`.

    One case per layer and pair of widths below the widest: `layer name w/a bit`, its speed-up over the widest pair.

    Args:
        data: `bits` [bit] and `cycles` [layer][w_bits][a_bits]; where it has them, `batch` (default: 16) and
            `layers`, a list of {"name", "kind", "dims": {"K": ..., "C": ...}}. Without these the number of layers
            names the network.

    Raises:
        ValueError: the number of layers is that of no known network, or not that of `layers`.
    """
    table = cast(Mapping[str, Any], data)
    layers = layers_of(table)
    widths = list(table["bits"])
    pairs = [(w, a) for w in range(len(widths)) for a in range(len(widths))]
    top = (widths.index(max(widths)),) * 2
    cases: list[Case] = []
    for index, (shape, cycles) in enumerate(zip(layers, table["cycles"], strict=True)):
        ours = {(w, a): predict(shape, widths[w], widths[a]) for w, a in pairs}
        cases += [
            Case(
                name=f"{index} {shape.name} {widths[w]}/{widths[a]} bit",
                reference=cycles[top[0]][top[1]] / cycles[w][a],
                prediction=ours[top] / ours[w, a],
            )
            for w, a in pairs
            if (w, a) != top
        ]
    return cases


def layers_of(table: Mapping[str, Any]) -> list[Layer]:
    """The layers of a table, from its own list or by their number."""
    count, batch = len(table["cycles"]), int(table.get("batch", BATCH))
    if "layers" in table:
        layers = [
            Layer(name=str(row["name"]), kind=row.get("kind", "conv"), dims=row["dims"]) for row in table["layers"]
        ]
        if len(layers) != count:
            raise ValueError(
                f"haq: `layers` must name each of the {count} layers with cycles, but has {len(layers)}"
            )
        return layers
    known = networks(batch)
    if count not in known:
        numbers = ", ".join(map(str, sorted(known)))
        raise ValueError(
            f"haq: a table without `layers` is that of a known network ({numbers} layers), but this one has {count}"
        )
    return known[count]


def predict(layer: Layer, w_bits: int, i_bits: int) -> int:
    """Cycles of a layer on the engine."""
    product = matrix_product(layer).with_bits(Bits(w=w_bits, i=i_bits))
    return evaluate(product, load_accelerator(ENGINE), optimize="latency").cycles


def matrix_product(layer: Layer) -> Layer:
    """One run of the layer: OX rows of whole words, the pixels of an image or, where it has one, the batch."""
    accelerator = load_accelerator(ENGINE)
    sizes = {axis.name: axis.size for axis in accelerator.axes}
    d = layer.dims
    packed = min(d.G, max(1, sizes["D"] // 2 ** math.ceil(math.log2(layer.reduction))))
    words = math.ceil(packed * layer.reduction / sizes["D"])
    rows = d.OY * d.OX if d.OY * d.OX > 1 else d.B
    dims = Dims(G=math.ceil(d.G / packed), K=packed * d.K, C=words * sizes["D"], OX=rows)
    return Layer(name=layer.name, dims=dims)
