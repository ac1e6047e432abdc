"""Cycles of an array that makes its outputs block by block, in closed form.

The array makes a **unit** of outputs at once (rows x columns x filters), each from `lanes` input channels a cycle.
A **step** adds one granule of products, so many taps of the filter times so many channels, to each unit of a block:

    steps of a unit = ceil(taps / t) * ceil(C / c),  taps * channels / lanes = t * c / lanes cycles each,

for the granule (t, c) of the chip that takes the fewest steps: depth first (1 tap, 32 channels) or by parts of the
filter (4 taps, 8 channels) on Arm's Ethos-U. A depthwise step has t taps of one channel, one a cycle. A step passes
over all units in the plane of the block (rows x columns) before the next one; behind a plane of few units it waits
for the decoder of the weights (`decoder` cycles per filter), and behind a single one for its own sums (`pipeline`).

Beside the array works the **output stage** at so many outputs a cycle, which also reads the parameters of a filter
(scale and bias). Blocks follow each other: the slower of the two sets the pace, the other one's last block follows,
and the first block of inputs and the last of outputs have nothing to hide behind:

    cycles = max(a, q, p) * n + the other's block + first inputs + last outputs

a and q of array and output stage per block, n blocks (the last ones count by their units), p = (|inputs - outputs|
+ a + q) / `issue`: commands of a block wait for those of the block before.

Sources: Arm, ethos-u-vela 5 (Apache-2.0), architecture/ethosu55 and ethosu85 (performance.cpp): the units, granules
and rates are the NPU's, the composition is that of Arm's estimator, which is no cycle-accurate model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from hwmodel.chip.timing.base import Timing
from hwmodel.network.layer import DimName, Layer
from hwmodel.network.numbers import round_up

#: Rows, columns and filters of outputs.
Tile = tuple[int, int, int]


class Granule(NamedTuple):
    """What taps and channels are padded to: the products of a step."""

    taps: int
    channels: int


class Passes(NamedTuple):
    """Passes of the multiplier over operands wider than it."""

    w: int = 1
    i: int = 1


class Ends(NamedTuple):
    """What a layer waits for of memory whatever hides: its first inputs, its last outputs, and the parameters of a
    filter, which come after the latency of their memory [cycles]."""

    first_in: float
    last_out: float
    latency: float


@dataclass(frozen=True, kw_only=True)
class Wide:
    """What changes where inputs are wider than the multiplier, and every granule has half of its products.

    Attributes:
        output: cycles of the output stage for one output.
        acc_bits: of a sum [bit].
        sum_banks: granule of the sums in the buffer [banks].
    """

    output: float
    acc_bits: int
    sum_banks: int


@dataclass(frozen=True, kw_only=True)
class Banks:
    """The buffer in which inputs and sums of a block lie, both twice.

    Attributes:
        bits: of a bank [bit].
        count: banks of the buffer.
        channels: of inputs, and filters of sums, that it takes a multiple of.
        inputs, sums: banks that either takes a multiple of.
        reserved: banks that neither may take.
    """

    bits: float
    count: int
    channels: int
    inputs: int
    sums: int
    reserved: int


@dataclass(frozen=True, kw_only=True)
class Blocks(Timing):
    """Timing of such an array.

    Attributes:
        unit: outputs that it makes at once.
        lanes: input channels of an output in a cycle.
        granules: of a step of a convolution; of equally cheap ones the first.
        depthwise_taps: of a step of a depthwise convolution.
        largest: rows, columns and filters of a block at most.
        multiple: of filters in a block, where the layer has more.
        window: rows and columns of a filter that run at once; larger ones run in parts.
        decoder: cycles in which the weights of a step are decoded, per filter of the unit.
        pipeline: cycles until a step finds the sums of the one before.
        output: cycles of the output stage for one output.
        parameter_bits: of a filter, read with every block [bit].
        parameter_word: those of all filters are stored in whole words [bit].
        parameter_window: of them that are on their way at once [bit].
        issue: blocks over which the commands of one are spread.
        banks: of the buffer.
        wide: inputs wider than the multiplier.
        staged: weights may be copied from their memory to that of the tensors before a layer reads them.
        images: tensors of at most so many channels lie pixel by pixel.
        source: where the numbers come from.
    """

    unit: Tile
    lanes: int
    granules: tuple[Granule, ...]
    depthwise_taps: int
    largest: Tile
    multiple: int
    window: int
    decoder: float
    pipeline: int
    output: float
    parameter_bits: float
    parameter_word: float
    parameter_window: float
    issue: int
    banks: Banks
    wide: Wide
    staged: bool
    images: int
    source: str = ""

    by_blocks: ClassVar[bool] = True

    @property
    def title(self) -> str:
        rows, columns, filters = self.unit
        return f"block by block, {rows}x{columns}x{filters} outputs at once"

    @property
    def fetches_ahead(self) -> bool:
        return self.staged

    def outputs_at_once(self, brick: int, *, multiplied: bool) -> tuple[int, int, int, int]:
        """Whole bricks of channels; of what goes through the multipliers, whole units of rows and columns."""
        rows, columns = self.unit[:2] if multiplied else (1, 1)
        return 1, brick, rows, columns

    def granule(self, layer: Layer, passes: Passes) -> Granule:
        """That of a layer; of inputs that take several passes it has fewer products."""
        if is_depthwise(layer):
            return Granule(self.depthwise_taps, 1)
        taps, channels = layer.dims.FY * layer.dims.FX, layer.dims.C

        def steps(item: Granule) -> int:
            return math.ceil(taps / item.taps) * math.ceil(channels / item.channels)

        return min((_shrunk(item, passes.i) for item in self.granules), key=steps)

    def channels_at_once(self, layer: Layer, passes: Passes) -> int:
        """Input channels of a block of inputs: two granules of parts of the filter, one of whole depth."""
        granule = self.granule(layer, passes)
        most = 2 * granule.channels if granule.taps > 1 else granule.channels
        return 1 if is_depthwise(layer) else min(most, round_up(layer.dims.C, math.ceil(self.lanes / passes.i)))

    def inputs(self, layer: Layer, rows: Any, columns: Any) -> tuple[Any, Any]:
        """Rows and columns of the inputs of a block of outputs, in whole units.

        Args:
            rows, columns: of the outputs, numbers or arrays of them.
        """
        d = layer.dims
        return tuple(
            round_up((size - 1) * stride + min((taps - 1) * dilation + 1, self.window), unit)
            for size, stride, taps, dilation, unit in zip(
                (rows, columns), layer.stride, (d.FY, d.FX), layer.dilation, self.unit[:2], strict=True
            )
        )

    def is_flat(self, layer: Layer) -> bool:
        """A single row of outputs: a block has no second one, whatever the unit."""
        return self.unit[0] > 1 and outputs_of(layer)[0] == 1 and layer.dims.FY == 1

    def unit_of(self, layer: Layer) -> Tile:
        """The unit of a layer: an even row of outputs takes a square unit as one row."""
        rows, columns, filters = self.unit
        even = outputs_of(layer)[1] % 2 == 0 and not is_depthwise(layer)
        return (1, rows * columns, filters) if even and self.is_flat(layer) else self.unit

    def array_cycles(self, layer: Layer, block: Tile, passes: Passes) -> int:
        """Cycles of the array for one block of a group, all of its products.

        Args:
            layer: one of its groups; a depthwise convolution as a whole.
            block: of outputs, clipped to the layer.
            passes: of its operands.
        """
        plane, depth = self._units(layer, block)
        granule, alone = self.granule(layer, passes), is_depthwise(layer)
        chunk = self.channels_at_once(layer, passes)
        per_step = granule.taps * (1 if alone else granule.channels / self.lanes) * passes.i
        repeats = math.ceil(chunk / granule.channels)
        decoded = self.decoder * self.unit[2]
        cycles = 0
        for taps in self.parts(layer):
            steps = math.ceil(taps / granule.taps)
            cycles += math.ceil(max(decoded, per_step * plane)) * steps * depth + self._stalls(plane, depth, steps)
        return cycles * repeats * (1 if alone else math.ceil(layer.dims.C / chunk)) * passes.w

    def parts(self, layer: Layer) -> list[int]:
        """Taps of the parts in which a filter runs: windows of at most so many rows and columns."""
        d, most = layer.dims, self.window
        rows = [min(d.FY - at, most) for at in range(0, d.FY, most)]
        columns = [min(d.FX - at, most) for at in range(0, d.FX, most)]
        return [y * x for y in rows for x in columns]

    def _stalls(self, plane: int, depth: int, steps: int) -> int:
        """Cycles for which steps wait for sums: where no other unit is worked on meanwhile."""
        if plane > 1:
            return 0
        return self.pipeline * (steps if depth == 1 else (steps - 1) * depth)

    def _units(self, layer: Layer, block: Tile) -> tuple[int, int]:
        """Units of a block: in the plane, and over the filters."""
        unit = self.unit_of(layer)
        rows, columns, filters = (math.ceil(size / step) for size, step in zip(block, unit, strict=True))
        return rows * columns, filters

    def num_blocks(self, layer: Layer, block: Tile) -> float:
        """Blocks of a group, those at the edges by their units."""
        units = math.prod(self._units(layer, outputs_of(layer)))
        return units / math.prod(self._units(layer, block))

    def output_cycles(self, block: Tile, passes: Passes, latency: float) -> float:
        """Cycles of the output stage for one block of a group, clipped to the layer.

        Args:
            latency: of the memory that the parameters of the filters come from [cycles].
        """
        outputs = math.ceil(math.prod(block) * (self.output if passes.i == 1 else self.wide.output))
        return max(float(outputs), self.parameter_bits * block[2] * latency / self.parameter_window)

    def cycles(self, layer: Layer, block: Tile, passes: Passes, ends: Ends) -> int:
        """Cycles of one group, when it waits for memory at its ends only. Blocks may be larger than the layer."""
        block = clip(block, layer)
        array, count = float(self.array_cycles(layer, block, passes)), self.num_blocks(layer, block)
        out = self.output_cycles(block, passes, ends.latency)
        apart = abs(ends.last_out - ends.first_in) if count > 1 else 0.0
        issued = (apart + array + out) / self.issue
        array, out = max(array, issued), max(out, issued)
        steady = int(array * count) + out if array > out else out * count + array
        return int(steady) + int(ends.first_in) + int(ends.last_out)


def is_depthwise(layer: Layer) -> bool:
    """One filter of one channel per group: groups lie side by side as filters do."""
    d = layer.dims
    return layer.kind == "conv" and d.C == d.K == 1 and d.G > 1


def rows_of(layer: Layer) -> DimName:
    """The loop of a product that is its rows: the first of OX, OY and B that has several."""
    names: tuple[DimName, ...] = ("OX", "OY", "B")
    return next((name for name in names if layer.dims[name] > 1), "OX")


def outputs_of(layer: Layer) -> Tile:
    """Rows, columns and filters of the outputs that blocks divide: of one image and group, of a depthwise
    convolution of all groups, of a product its rows as columns."""
    d = layer.dims
    if layer.kind != "conv":
        return 1, d[rows_of(layer)], d.K
    return d.OY, d.OX, d.G if is_depthwise(layer) else d.K


def repeats_of(layer: Layer) -> int:
    """How often a layer repeats what blocks divide: images and groups."""
    return layer.elements("O") // math.prod(outputs_of(layer))


def clip(block: Tile, layer: Layer) -> Tile:
    """The block without what the layer does not have."""
    rows, columns, filters = (min(pair) for pair in zip(block, outputs_of(layer), strict=True))
    return rows, columns, filters


def _shrunk(item: Granule, passes: int) -> Granule:
    """The granule of inputs that take so many passes: fewer taps, or fewer channels of one tap."""
    if item.taps > 1:
        return Granule(math.ceil(item.taps / passes), item.channels)
    return Granule(1, math.ceil(item.channels / passes))
