"""What the partial sums of every layer are like: their range decides the accumulator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.integer.accumulate import chunk_sums, guaranteed_bits, signed_bits
from workloads.integer.exact import columns
from workloads.integer.network import IntegerNetwork
from workloads.integer.steps import LayerStep

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PsumStatistics:
    """The integer sums of one layer over a batch, bias left out.

    Attributes:
        layer: its name.
        sums: counted, one for each output element.
        low, high, mean, std: of the finished sums.
        prefix_low, prefix_high: extremes of the running sums too, after every `chunk` products.
        chunk: products summed between two looks.
        guaranteed_bits: of an accumulator that cannot overflow with these weights, whatever the input.
        worst_bits: w + i + ceil(log2(products)), safe for any weights: what the cost model takes by itself.
    """

    layer: str
    sums: int
    low: int
    high: int
    mean: float
    std: float
    prefix_low: int
    prefix_high: int
    chunk: int
    guaranteed_bits: int
    worst_bits: int

    @property
    def final_bits(self) -> int:
        """Holds every finished sum: no wrap-around changes a result on this batch."""
        return signed_bits(self.low, self.high)

    @property
    def prefix_bits(self) -> int:
        """Holds every running sum: nothing saturates on this batch."""
        return signed_bits(self.prefix_low, self.prefix_high)


def record_psums(
    network: IntegerNetwork, x: Tensor, *, chunk: int = 16, batch_size: int = 32
) -> tuple[PsumStatistics, ...]:
    """Statistics of every layer's partial sums.

    Args:
        network: of `integerize`.
        x: (N, ...) inputs.
        chunk: products between two looks at the running sum; 1 looks after every MAC and is the slowest.
        batch_size: inputs at a time.

    Raises:
        ConfigError: no inputs, or `chunk < 1`.
    """
    if chunk < 1 or not len(x):
        raise ConfigError(f"`chunk >= 1` and at least one input must hold, but got chunk={chunk}, {len(x)} inputs")
    tallies = {name: _Tally() for name in network.layers}
    for batch in torch.split(x, batch_size):
        tensors = network.codes(batch)
        for name, step in network.layers.items():
            tallies[name].add(step, tensors[step.inputs[0]], chunk)
    return tuple(_statistics(network.layers[name], tally, chunk) for name, tally in tallies.items())


def psum_table(statistics: Sequence[PsumStatistics]) -> pd.DataFrame:
    """One row per layer: the fields of `PsumStatistics`, `final_bits` and `prefix_bits`."""
    import pandas as pd

    return pd.DataFrame(
        [asdict(item) | {"final_bits": item.final_bits, "prefix_bits": item.prefix_bits} for item in statistics]
    )


@dataclass
class _Tally:
    """Sums over batches, in Python integers: exact."""

    count: int = 0
    total: int = 0
    squares: float = 0.0
    low: int = 0
    high: int = 0
    prefix_low: int = 0
    prefix_high: int = 0

    def add(self, step: LayerStep, codes: Tensor, chunk: int) -> None:
        w, x = columns(step.layer, step.in_grid.centred(codes), step.w_int)
        last: Tensor | None = None
        for running in _running(w, x, chunk):
            ends = torch.aminmax(running)
            self.prefix_low = min(self.prefix_low, int(ends.min))
            self.prefix_high = max(self.prefix_high, int(ends.max))
            last = running
        assert last is not None
        low, high = int(last.min()), int(last.max())
        self.low = min(self.low, low) if self.count else low
        self.high = max(self.high, high) if self.count else high
        final = last.double()
        self.count += final.numel()
        self.total += int(final.sum())
        self.squares += float(final.square().sum())


def _running(w: Tensor, x: Tensor, chunk: int) -> Iterator[Tensor]:
    """The running sum after every chunk; one tensor, changed in place."""
    room = int(w.abs().sum(-1).amax()) * int(x.abs().amax())
    sums: Tensor | None = None
    for product in chunk_sums(w, x, chunk, room):
        sums = product if sums is None else sums.add_(product)
        yield sums


def _statistics(step: LayerStep, tally: _Tally, chunk: int) -> PsumStatistics:
    mean = tally.total / tally.count
    grid = step.in_grid
    products = step.w_int[0].numel()
    w_bits = signed_bits(int(step.w_int.min()), int(step.w_int.max()))
    return PsumStatistics(
        layer=step.name,
        sums=tally.count,
        low=tally.low,
        high=tally.high,
        mean=mean,
        std=math.sqrt(max(0.0, tally.squares / tally.count - mean * mean)),
        prefix_low=tally.prefix_low,
        prefix_high=tally.prefix_high,
        chunk=chunk,
        guaranteed_bits=guaranteed_bits(step.w_int, grid.qmin - grid.zero, grid.qmax - grid.zero),
        worst_bits=w_bits + grid.bits + math.ceil(math.log2(products)),
    )
