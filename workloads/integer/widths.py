"""How narrow the accumulators may be: sweeps, the smallest widths that keep the accuracy, and their cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from hwmodel.errors import ConfigError, GraphError, check_names
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from workloads.compress.config import CompressionConfig
from workloads.integer.accumulate import Accumulator
from workloads.integer.network import IntegerNetwork
from workloads.integer.psums import PsumStatistics, record_psums
from workloads.training.accuracy import Accuracy
from workloads.training.inputs import SplitLike, tensors_of

if TYPE_CHECKING:
    import pandas as pd

BATCH = 32
_EPSILON = 1e-12


@dataclass(frozen=True, kw_only=True)
class AccumulatorWidths:
    """The narrowest accumulators that keep the accuracy.

    Attributes:
        layers: width by layer [bit]; all of them at once keep it.
        network: the one width for all layers that keeps it [bit].
        baseline: accuracy with wide accumulators.
        accuracy: with `layers`.
        network_accuracy: with `network`.
        tolerance: accuracy may fall by so much, 0 .. 1.
        overflow, chunk: of `Accumulator`.
        sums: what the partial sums were like on the data.
    """

    layers: Mapping[str, int]
    network: int
    baseline: Accuracy
    accuracy: Accuracy
    network_accuracy: Accuracy
    tolerance: float
    overflow: str
    chunk: int
    sums: tuple[PsumStatistics, ...]

    @property
    def registers(self) -> dict[str, Accumulator]:
        """Accumulators of `layers`, for `IntegerNetwork.with_registers`."""
        return {
            name: Accumulator(bits=bits, overflow=self.overflow, chunk=self.chunk)
            for name, bits in self.layers.items()
        }


class _Scorer:
    """Accuracy of a network whose registers change, on data whose tensors with wide registers are known."""

    def __init__(self, network: IntegerNetwork, split: SplitLike) -> None:
        x, self.y = tensors_of(split, torch.device("cpu"))
        if not len(x):
            raise ConfigError("accuracy needs at least one input, but got none")
        self.network = network
        self.batches = torch.split(x, BATCH)
        self._tensors: list[dict[str, Tensor]] = []

    def full(self, registers: Mapping[str, Accumulator]) -> Accuracy:
        """With all these registers at once."""
        return self._count(map(self.network.with_registers(registers), self.batches))

    def one(self, name: str, register: Accumulator) -> Accuracy:
        """With one register; what lies before it is not computed again."""
        if not self._tensors:
            self._tensors = [self.network.codes(batch) for batch in self.batches]
        narrow = self.network.with_registers({name: register})
        return self._count(narrow.resume(tensors, name) for tensors in self._tensors)

    def _count(self, scores: Iterable[Tensor]) -> Accuracy:
        guesses = torch.cat([item.argmax(-1) for item in scores])
        return Accuracy(correct=int((guesses == self.y).sum()), total=self.y.numel())


def sweep_widths(
    network: IntegerNetwork, split: SplitLike, bits: Iterable[int], *, overflow: str = "saturate", chunk: int = 16
) -> pd.DataFrame:
    """Accuracy with one accumulator width in every layer.

    Args:
        network: of `integerize`.
        split: images and labels.
        bits: widths to try.
        overflow, chunk: of `Accumulator`.

    Returns:
        One row per width: bits, overflow, chunk, correct, total, accuracy.

    Raises:
        ConfigError: an empty split, or a width out of its range.
    """
    import pandas as pd

    scorer, rows = _Scorer(network, split), []
    for width in bits:
        register = Accumulator(bits=width, overflow=overflow, chunk=chunk)
        score = scorer.full(dict.fromkeys(network.layers, register))
        rows.append({
            "bits": width, "overflow": overflow, "chunk": chunk, "correct": score.correct, "total": score.total,
            "accuracy": score.value,
        })  # fmt: skip
    return pd.DataFrame(rows)


def smallest_widths(
    network: IntegerNetwork,
    split: SplitLike,
    *,
    tolerance: float = 0.0,
    overflow: str = "saturate",
    chunk: int = 16,
) -> AccumulatorWidths:
    """The narrowest accumulator of every layer, and the narrowest for all, that keep the accuracy.

    Each layer alone goes down bit by bit from the width that changes nothing on the data, until the accuracy
    falls by more than the tolerance. If all these widths together do not keep it, every layer that was narrowed
    gets a bit more, until they do. Use validation data: the widths are fitted to it.

    Args:
        network: of `integerize`.
        split: images and labels.
        tolerance: of the accuracy, 0 .. 1.
        overflow, chunk: of `Accumulator`.

    Raises:
        ConfigError: an empty split, or a tolerance outside 0 .. 1.
    """
    if not 0 <= tolerance <= 1:
        raise ConfigError(f"`0 <= tolerance <= 1` must hold, but got tolerance={tolerance}")
    scorer = _Scorer(network, split)
    baseline = scorer.full({})
    statistics = record_psums(network, torch.cat(list(scorer.batches)), chunk=chunk, batch_size=BATCH)
    safe = {item.layer: _safe(item, overflow) for item in statistics}

    def register(width: int) -> Accumulator:
        return Accumulator(bits=width, overflow=overflow, chunk=chunk)

    def keeps(score: Accuracy) -> bool:
        return score.value >= baseline.value - tolerance - _EPSILON

    def joint(widths: Mapping[str, int]) -> Accuracy:
        return scorer.full({name: register(width) for name, width in widths.items()})

    def alone(name: str) -> Callable[[int], bool]:
        return lambda bits: keeps(scorer.one(name, register(bits)))

    layers = {name: _descend(width, alone(name)) for name, width in safe.items()}
    while not keeps(accuracy := joint(layers)):
        layers = {name: min(width + 1, safe[name]) for name, width in layers.items()}
    one = _descend(max(safe.values()), lambda bits: keeps(joint(dict.fromkeys(safe, bits))))
    return AccumulatorWidths(
        layers=layers,
        network=one,
        baseline=baseline,
        accuracy=accuracy,
        network_accuracy=joint(dict.fromkeys(safe, one)),
        tolerance=tolerance,
        overflow=overflow,
        chunk=chunk,
        sums=statistics,
    )


def _safe(item: PsumStatistics, overflow: str) -> int:
    return item.final_bits if overflow == "wrap" else item.prefix_bits


def _descend(start: int, holds: Callable[[int], bool]) -> int:
    """The narrowest width such that it and all wider ones up to `start` hold; `start` does."""
    width = start
    while width > 1 and holds(width - 1):
        width -= 1
    return width


@overload
def with_accumulators(target: LayerGraph, widths: Mapping[str, int]) -> LayerGraph: ...
@overload
def with_accumulators(
    target: CompressionConfig | Mapping[str, Choice], widths: Mapping[str, int]
) -> dict[str, Choice]: ...
def with_accumulators(
    target: LayerGraph | CompressionConfig | Mapping[str, Choice], widths: Mapping[str, int]
) -> LayerGraph | dict[str, Choice]:
    """Widths of the partial sums, for the cost model: `evaluate` charges psum traffic at them.

    Args:
        target: an annotated graph, or a configuration for one.
        widths: accumulator bits by module name, such as `AccumulatorWidths.layers`; others stay.

    Returns:
        The graph, or choices by module name for `evaluate(graph, accelerator, config=...)`.

    Raises:
        GraphError: a name matches no layer, or its layer in the graph has no bits yet.
    """
    if isinstance(target, LayerGraph):
        return _annotated(target, widths)
    given = (
        {name: choice.choice for name, choice in target.layers.items()}
        if isinstance(target, CompressionConfig)
        else dict(target)
    )
    check_names(widths, given, error=GraphError)
    return {name: replace(choice, acc_bits=widths.get(name, choice.acc_bits)) for name, choice in given.items()}


def _annotated(graph: LayerGraph, widths: Mapping[str, int]) -> LayerGraph:
    check_names(widths, graph.layer_modules, error=GraphError)
    changed = {}
    for layer in graph.layers:
        if layer.module not in widths:
            continue
        if layer.bits is None:
            raise GraphError(f"{layer.module!r} has no bits yet: annotate the graph with its configuration first.")
        changed[layer.name] = replace(layer, bits=replace(layer.bits, acc=widths[layer.module]))
    return graph.with_layers(changed)
