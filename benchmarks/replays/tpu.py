"""TPUv1 in production: the TOPS that its counters show for six applications.

The table names the applications; their sizes are those of Jouppi et al., ISCA 2017, table 1 (layers, weights,
batch). Layer shapes are not public: matrices are taken square, and CNN0 (2888 MACs per weight at batch 8: 19 x 19
pixels) as equal 3x3 convolutions. CNN1 is left out: the paper does not describe its layers. Widths
are the chip's own, 8 bit.

The model prices matrix layers only; activations stay in the unified buffer. The table's `non_matrix_pct` and
`raw_stalls_pct` are cycles that it does not know; see docs/explain/silicon.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel import Layer, evaluate, load_accelerator
from hwmodel.network.graph import LayerGraph, Node, Port, Tensor
from hwmodel.network.layer import Dims

#: Layers with weights, weights, batch (table 1).
FULLY_CONNECTED = {"MLP0": (5, 20e6, 200), "MLP1": (4, 5e6, 168), "LSTM0": (24, 52e6, 64), "LSTM1": (37, 34e6, 96)}
CONVOLUTIONAL = {"CNN0": (16, 8e6, 8, 19)}  # and pixels along a side


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `tpuv1_table3.json`: `NAME TOPS` of every application with known sizes.

    Args:
        data: rows of `metric` and one column per application; the row `tops_of_92` is read.

    Raises:
        ValueError: the row is missing, or names no known application.
    """
    rows = {row["metric"]: row for row in cast(Sequence[Mapping[str, Any]], data)}
    if "tops_of_92" not in rows:
        raise ValueError(f"tpu: the table needs a row `tops_of_92`, but has {', '.join(rows)}")
    networks = applications()
    known = [name for name in rows["tops_of_92"] if name in networks]
    if not known:
        columns = ", ".join(rows["tops_of_92"])
        raise ValueError(f"tpu: the table needs a column of {', '.join(networks)}, but has {columns}")
    return [
        Case(name=f"{name} TOPS", reference=float(rows["tops_of_92"][name]), prediction=tops(networks[name]))
        for name in known
    ]


def applications() -> dict[str, LayerGraph]:
    """The applications as equal layers."""
    shapes: dict[str, tuple[int, Dims]] = {}
    for name, (layers, weights, batch) in FULLY_CONNECTED.items():
        side = round(math.sqrt(weights / layers))
        shapes[name] = (layers, Dims(B=batch, K=side, C=side))
    for name, (layers, weights, batch, pixels) in CONVOLUTIONAL.items():
        side = round(math.sqrt(weights / layers / 9))
        shapes[name] = (layers, Dims(B=batch, K=side, C=side, OY=pixels, OX=pixels, FY=3, FX=3))
    return {name: _chain(name, count, dims) for name, (count, dims) in shapes.items()}


def _chain(name: str, count: int, dims: Dims) -> LayerGraph:
    """Equal layers, each reading what the one before it makes, as large as its input without padding."""
    padding = ((1, 1), (1, 1)) if dims.FY > 1 else ((0, 0), (0, 0))
    layers = [Layer(name=f"{name}.{n}", module=f"{name}.{n}", dims=dims, padding=padding) for n in range(count)]
    nodes: list[Node] = [Port(name="in", kind="input"), *layers, Port(name="out", kind="output")]
    shape = (dims.B, dims.C, dims.OY, dims.OX)
    edges = [(a.name, b.name, Tensor(name=a.name, shape=shape)) for a, b in itertools.pairwise(nodes)]
    return LayerGraph(name, nodes, edges)


def tops(network: LayerGraph) -> float:
    """Operations per second of a network on `tpu_v1` [10^12/s]; a MAC is two."""
    cost = evaluate(network, load_accelerator("tpu_v1"), optimize="latency")
    return 2 * cost.macs / cost.latency_s / 1e12
