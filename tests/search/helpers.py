"""A small network, a cost table and evaluators whose answers are known in closed form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph, Tensor
from hwmodel.network.layer import Dims, Layer
from search.front.results import Result
from workloads.compress.config import CompressionConfig

#: (module, output channels, input channels, filter size, output size)
SHAPES = (
    ("conv1", 8, 1, 3, 8),
    ("layer1.0.conv1", 8, 8, 3, 8),
    ("layer1.0.conv2", 8, 8, 3, 8),
    ("layer2.0.conv1", 16, 8, 3, 4),
    ("layer2.0.conv2", 16, 16, 3, 4),
    ("fc", 10, 16, 1, 1),
)
INNER = tuple(name for name, *_ in SHAPES[1:-1])
WEIGHTS = {name: k * c * f * f for name, k, c, f, _ in SHAPES}
MACS = {name: k * c * f * f * o * o for name, k, c, f, o in SHAPES}


def make_graph(name: str = "toy") -> LayerGraph:
    """Six layers in a row."""
    layers = [
        Layer(
            name=module,
            kind="linear" if module == "fc" else "conv",
            dims=Dims(K=k, C=c, FY=f, FX=f, OY=o, OX=o),
            module=module,
        )
        for module, k, c, f, o in SHAPES
    ]
    names = [layer.name for layer in layers]
    edges = [(a, b, Tensor(name=a, shape=(1,))) for a, b in itertools.pairwise(names)]
    return LayerGraph(name, layers, edges)


@dataclass(frozen=True)
class ToyTotals:
    """What a table gives."""

    energy_pj: float
    cycles: float
    latency_s: float
    weight_bits: float
    memory_bits: float
    bops: float
    avg_w_bits: float


class ToyTable:
    """energy = sum MACs * w_bits * a_bits; cycles = sum MACs * w_bits; memory = weight bits."""

    def price(self, choices: Mapping[str, Choice]) -> ToyTotals:
        bits = sum(WEIGHTS[m] * c.w_bits for m, c in choices.items())
        bops = sum(MACS[m] * c.w_bits * c.a_bits * c.density for m, c in choices.items())
        cycles = sum(MACS[m] * c.w_bits for m, c in choices.items())
        return ToyTotals(
            energy_pj=bops,
            cycles=cycles,
            latency_s=cycles / 1e6,
            weight_bits=bits,
            memory_bits=bits,
            bops=bops,
            avg_w_bits=bits / sum(WEIGHTS.values()),
        )


@dataclass(frozen=True)
class Count:
    """An accuracy as a count."""

    correct: int
    total: int = 1000


def drop_of(module: str, w_bits: int) -> float:
    """Later layers are more sensitive; each bit fewer than 8 costs more than the one before."""
    return (1 + INNER.index(module)) * 0.01 * (2.0 ** (8 - w_bits) - 1) / 64 if module in INNER else 0.0


def total_drop(config: CompressionConfig) -> float:
    return sum(drop_of(m, c.w_bits or 32) + 0.05 * (1 - c.density) for m, c in config.layers.items())


class ToyScorer:
    """Two fidelities: PTQ loses eight times what QAT loses, which also depends a little on the seed."""

    def __init__(self) -> None:
        self.ptq_calls: list[str] = []
        self.qat_calls: list[tuple[str, int]] = []

    def ptq(self, config: CompressionConfig) -> Count:
        self.ptq_calls.append(config.key)
        return Count(round(1000 * 0.98 * math.exp(-8 * total_drop(config))))

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, None]:
        self.qat_calls.append((config.key, seed))
        return Count(round(1000 * 0.98 * math.exp(-total_drop(config))) - seed % 3), None


def make_result(
    number: int = 0, *, stage: str = "ptq", correct: int = 900, total: int = 1000, **costs: float
) -> Result:
    """A result with these costs; avg_w_bits is 4 unless given."""
    return Result(
        number=number,
        stage=stage,  # type: ignore[arg-type]
        key=f"{number:016x}",
        correct=correct,
        total=total,
        costs={"avg_w_bits": 4.0, **costs},
    )
