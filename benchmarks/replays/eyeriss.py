"""The measured table of the Eyeriss chip: power, latency and accesses per CONV layer.

The table names no shapes. They are those of a public network with the table's layer names, and its batch is
the number that the MACs say. The zeros of a layer's inputs are measured in the table, and so are those of its
outputs, as the inputs of the next layer; the last layer's outputs are taken as sparse as its inputs. Widths are the
chip's own, 16 bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.replays.case import Case
from hwmodel import Density, Dims, Layer, evaluate, load_accelerator
from hwmodel.price.results import LayerCost

#: (name, filters, channels per group, groups, output size, filter size, stride)
Shape = tuple[str, int, int, int, int, int, int]
#: Krizhevsky et al., NIPS 2012, figure 2.
ALEXNET: tuple[Shape, ...] = (
    ("CONV1", 96, 3, 1, 55, 11, 4), ("CONV2", 256, 48, 2, 27, 5, 1), ("CONV3", 384, 256, 1, 13, 3, 1),
    ("CONV4", 384, 192, 2, 13, 3, 1), ("CONV5", 256, 192, 2, 13, 3, 1),
)  # fmt: skip
#: Simonyan and Zisserman, ICLR 2015, table 1, column D: (filters, channels, output size).
VGG16: tuple[Shape, ...] = tuple(
    (name, k, c, 1, size, 3, 1)
    for name, k, c, size in (
        ("CONV1-1", 64, 3, 224), ("CONV1-2", 64, 64, 224), ("CONV2-1", 128, 64, 112), ("CONV2-2", 128, 128, 112),
        ("CONV3-1", 256, 128, 56), ("CONV3-2", 256, 256, 56), ("CONV3-3", 256, 256, 56), ("CONV4-1", 512, 256, 28),
        ("CONV4-2", 512, 512, 28), ("CONV4-3", 512, 512, 28), ("CONV5-1", 512, 512, 14), ("CONV5-2", 512, 512, 14),
        ("CONV5-3", 512, 512, 14),
    )
)  # fmt: skip
SHAPES: dict[str, Shape] = {shape[0]: shape for shape in ALEXNET + VGG16}


def replay(data: object) -> list[Case]:
    """Cases of a table in the chip's format, per layer and for the sum where the table has one.

    Args:
        data: rows with "Layer", "Num. of MACs (G)", "Zeros in Ifmaps" and the measured columns, as text.

    Raises:
        ValueError: a layer has no known shape, or there are no rows.
    """
    rows = [dict(row) for row in data] if isinstance(data, Sequence) else []
    layers = [row for row in rows if row["Layer"] != "Total"]
    if not layers:
        raise ValueError("the table has no layers")
    unknown = [row["Layer"] for row in layers if row["Layer"] not in SHAPES]
    if unknown:
        raise ValueError(f"no public shape is known for {', '.join(unknown)}. Known: {', '.join(SHAPES)}.")
    single = [_layer(SHAPES[row["Layer"]], 1) for row in layers]
    batch = round(
        _median([_number(row, "Num. of MACs (G)") * 1e9 / x.macs for row, x in zip(layers, single, strict=True)])
    )
    zeros = [_number(row, "Zeros in Ifmaps") / 100 for row in layers]
    chip = load_accelerator("eyeriss")
    costs: list[LayerCost] = []
    for row, share, after in zip(layers, zeros, [*zeros[1:], zeros[-1]], strict=True):
        layer = _layer(SHAPES[row["Layer"]], max(1, batch))
        density = Density(i=1 - share, o=1 - after)
        costs += evaluate(replace(layer, density=density), chip).layers
    cases = [case for row, cost in zip(layers, costs, strict=True) for case in _cases(row, [cost], chip.clock_hz)]
    for row in rows:
        if row["Layer"] == "Total":
            cases += _cases(row, costs, chip.clock_hz)
    return cases


def _cases(row: dict[str, str], costs: list[LayerCost], clock_hz: float) -> list[Case]:
    """One row of the table beside the sum of our layers."""
    dram = load_accelerator("eyeriss").levels[-1].name
    processing = sum(cost.processing_cycles for cost in costs) / clock_hz
    total = sum(cost.cycles for cost in costs) / clock_hz
    chip_pj = sum(pj for cost in costs for (place, _), pj in cost.energy_breakdown.items() if place != dram)
    predictions = {
        "Power (mW)": chip_pj * 1e-9 / total,
        "Total Latency (ms)": total * 1e3,
        "Processing Latency (ms)": processing * 1e3,
        "Num. of MACs (G)": sum(cost.macs for cost in costs) / 1e9,
        "Global Buffer Accesses (MB)": _megabytes(costs, "glb"),
        "DRAM Accesses (MB)": _megabytes(costs, dram),
    }
    return [
        Case(name=f"{row['Layer']}: {name}", reference=_number(row, name), prediction=value)
        for name, value in predictions.items()
        if row.get(name)
    ]


def _megabytes(costs: list[LayerCost], place: str) -> float:
    return sum(bits for cost in costs for (name, _), bits in cost.traffic_bits.items() if name == place) / 8e6


def _layer(shape: Shape, batch: int) -> Layer:
    name, k, c, groups, size, filt, stride = shape
    dims = Dims(B=batch, G=groups, K=k // groups, C=c, OY=size, OX=size, FY=filt, FX=filt)
    return Layer(name=name, dims=dims, stride=(stride, stride))


def _number(row: dict[str, str], name: str) -> float:
    return float(str(row[name]).rstrip("%"))


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
