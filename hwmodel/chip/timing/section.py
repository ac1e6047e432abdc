"""The section `timing:` of an accelerator file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from hwmodel.chip.fields import AccumulatorWidth, Count, quantity
from hwmodel.chip.timing.blocks import Banks, Blocks, Granule, Tile, Wide
from hwmodel.chip.timing.commands_section import CommandsSection
from hwmodel.chip.yamlfile import Field, Schema, misplaced, model_validator

if TYPE_CHECKING:
    from hwmodel.chip.chipfile import ChipFile

Size = Annotated[float, quantity("size", positive=True)]
Cycles = Annotated[float, Field(ge=0, le=2**31)]


class _Granule(Schema):
    """Products of one step.

    Attributes:
        taps, channels: that a filter and its channels are padded to.
    """

    taps: Count
    channels: Count = 8


class _Parameters(Schema):
    """What a filter has beside its weights: scale and bias.

    Attributes:
        size: of those of one filter.
        word: those of all filters are stored in whole words; 128 bit where it is not stated.
        window: read at once; each takes the latency of the memory that holds the weights.
    """

    size: Size
    word: Size = 128.0
    window: Size


class _Banks(Schema):
    """How inputs and sums of a block share the buffer.

    Attributes:
        size: of a bank.
        channels: of inputs, and filters of sums, that lie side by side: a multiple is taken; 8 where it is not
            stated.
        inputs, sums: banks of which either takes a multiple.
        reserved: banks for outputs and tables.
    """

    size: Size
    channels: Count = 8
    inputs: Count
    sums: Count
    reserved: Annotated[int, Field(ge=0, le=2**31)] = 0


class _Wide(Schema):
    """Inputs wider than the multiplier, whose granules have half of the products.

    Attributes:
        output: cycles of the output stage for one output.
        accumulator: width of a sum.
        sums: banks of which sums take a multiple.
    """

    output: Cycles
    accumulator: AccumulatorWidth
    sums: Count


class BlocksSection(Schema):
    """`blocks:` of `timing: {kind: blocks}`.

    Attributes:
        granules: of a step of a convolution; the one that takes the fewest steps, of equal ones the first.
        depthwise_taps: of a step of a depthwise convolution, a tap each cycle.
        largest: rows, columns and filters of a block at most.
        filters: of a block, a multiple where the layer has more.
        window: rows and columns of a filter that run at once.
        decoder: cycles to decode the weights of a step, for each filter that is made at once.
        pipeline: cycles until a step finds the sums of the one before it.
        output: cycles of the output stage for one output.
        issue: blocks over which the commands of one are spread.
        parameters: scale and bias of a filter.
        banks: of the buffer, the memory of I and O inside of the array's own level.
        wide: inputs wider than the multiplier.
        staged: weights may be copied to the memory of the tensors before they are read.
        images: tensors of at most so many channels lie pixel by pixel, the others in bricks.
        source: where the numbers come from.
    """

    granules: tuple[_Granule, ...] = Field(min_length=1)
    depthwise_taps: Count
    largest: tuple[Count, Count, Count]
    filters: Count
    window: Count
    decoder: Cycles
    pipeline: Annotated[int, Field(ge=0, le=2**31)]
    output: Cycles
    issue: Count
    parameters: _Parameters
    banks: _Banks
    wide: _Wide
    staged: bool = False
    images: Annotated[int, Field(ge=0, le=2**31)] = 0
    source: str

    def blocks(self, unit: Tile, lanes: int, buffer_bits: float) -> Blocks:
        """The section as the model uses it, with the lengths of the axes and the size of the buffer [bit]."""
        return Blocks(
            unit=unit,
            lanes=lanes,
            granules=tuple(Granule(item.taps, item.channels) for item in self.granules),
            depthwise_taps=self.depthwise_taps,
            largest=self.largest,
            multiple=self.filters,
            window=self.window,
            decoder=self.decoder,
            pipeline=self.pipeline,
            output=self.output,
            parameter_bits=self.parameters.size,
            parameter_word=self.parameters.word,
            parameter_window=self.parameters.window,
            issue=self.issue,
            banks=Banks(
                bits=self.banks.size, count=int(buffer_bits // self.banks.size), channels=self.banks.channels,
                inputs=self.banks.inputs, sums=self.banks.sums, reserved=self.banks.reserved,
            ),
            wide=Wide(output=self.wide.output, acc_bits=self.wide.accumulator, sum_banks=self.wide.sums),
            staged=self.staged,
            images=self.images,
            source=self.source,
        )  # fmt: skip


class TimingSection(Schema):
    """`timing:`: cycles in closed form.

    `{kind: systolic, dataflow: ws}`: of the array alone; Y are its rows, X its columns. `{kind: streamed}`: of a
    matrix engine with an axis each for OX, K and C, whose passes do not overlap. `{kind: blocks, blocks: ...}`: of
    an array that makes its outputs block by block, with an axis each for OY, OX, K and C.

    `{kind: commands, commands: ...}`: of an array with an axis each for K and C that is driven by commands, tile by
    tile.

    Attributes:
        kind: of array.
        dataflow: of `systolic`: which operand stays.
        blocks: of `blocks`: steps, output stage and buffer.
        commands: of `commands`: what each costs.
    """

    kind: Literal["systolic", "streamed", "blocks", "commands"]
    dataflow: Literal["ws", "os", "is"] | None = None
    blocks: BlocksSection | None = None
    commands: CommandsSection | None = None

    @model_validator(mode="after")
    def _check(self) -> TimingSection:
        if (self.kind == "systolic") != (self.dataflow is not None):
            rule = "needs `dataflow: ws`, `os` or `is`" if self.kind == "systolic" else "has no `dataflow`"
            raise ValueError(f"timing {self.kind} {rule}")
        if (self.kind == "commands") != (self.commands is not None):
            rule = "needs a section `commands:`" if self.kind == "commands" else "has no `commands`"
            raise ValueError(f"timing {self.kind} {rule}")
        if (self.kind == "blocks") != (self.blocks is not None):
            rule = "needs a section `blocks:`" if self.kind == "blocks" else "has no `blocks`"
            raise ValueError(f"timing {self.kind} {rule}")
        return self


def check_timing(chip: ChipFile) -> None:
    """Raises ValueError where the other sections of a file are not those of its kind of timing."""
    kind = None if chip.timing is None else chip.timing.kind
    if kind == "systolic" and {axis.axis for axis in chip.array} != {"X", "Y"}:
        raise misplaced("timing systolic needs an array of the axes X (columns) and Y (rows)", "array")
    for index, axis in enumerate(chip.array if kind == "systolic" else ()):
        for key in ("fused", "weight_cells"):
            if getattr(axis, key):
                raise misplaced(
                    "timing systolic folds over the PEs of the axes as they are, whatever the widths: leave it out",
                    "array", index, key,
                )  # fmt: skip
    if kind == "streamed" and [axis.dims for axis in chip.array] != [("OX",), ("K",), ("C",)]:
        text = "timing streamed needs an array of three axes, of dims [OX], [K] and [C] in this order"
        raise misplaced(text, "array")
    if kind == "blocks":
        _check_blocks(chip)
    if kind == "streamed" and (chip.skipping or chip.nm):
        raise ValueError("timing streamed knows no `skipping` and no `nm`: every word arrives")
    if kind == "commands":
        _check_commands(chip)


def _check_commands(chip: ChipFile) -> None:
    """An array driven by commands: its software tiles, orders and moves as `hwmodel.price.commands` counts."""
    if sorted(axis.dims for axis in chip.array) != [("C",), ("K",)]:
        text = "timing commands needs an array of two axes, of dims [C] (rows) and [K] (columns)"
        raise misplaced(text, "array")
    if chip.skipping or chip.nm or chip.unit.precision != "fixed":
        raise ValueError("timing commands needs `precision: fixed` and knows no `skipping` and no `nm`")
    outer = chip.memories[-1].level or chip.memories[-1].name
    inside = [n for n, memory in enumerate(chip.memories) if (memory.level or memory.name) != outer]
    if not inside:
        raise ValueError("timing commands needs a memory for the tiles inside of the outermost one")
    for index, memory in enumerate(chip.memories):
        for key in ("bandwidth", "read_bandwidth", "write_bandwidth") if index in inside else ():
            if getattr(memory, key):
                raise misplaced(
                    "timing commands: its section says what loads and stores take, so no memory but the outermost "
                    f"has a bandwidth: leave out that of {memory.name!r}", "memories", index, key,
                )  # fmt: skip
        for key in ("resident", "bypass", "compressed"):
            if getattr(memory, key):
                raise misplaced(
                    "timing commands: every tile is loaded from the outermost memory and stored to it whole: leave "
                    f"out `{key}` of {memory.name!r}", "memories", index, key,
                )  # fmt: skip
    software = "timing commands: the order and the sizes of the loops are the software's: leave it out"
    if chip.order:
        raise misplaced(software, "order")
    for index, axis in enumerate(chip.array):
        if axis.full:
            raise misplaced(software, "array", index, "full")


def _check_blocks(chip: ChipFile) -> None:
    """Raises ValueError where the other sections of a file are not those of an array that works block by block."""
    if [axis.dims[0] for axis in chip.array] != ["OY", "OX", "K", "C"]:
        text = "timing blocks needs an array of four axes, of OY, OX, K and C first in this order"
        raise misplaced(text, "array")
    first = chip.memories[0] if chip.memories else None
    if first is None or first.per != "array" or set(first.holds) != {"I", "O"} or first.size == "unbounded":
        raise ValueError(
            "timing blocks needs a first memory with a `size`, `per: array` and `holds: [I, O]`: the buffer of "
            "a block"
        )
    if len({memory.level or memory.name for memory in chip.memories}) != 2:
        raise ValueError("timing blocks needs two levels: the buffer of a block, and the outermost memories")
    if chip.dataflow != "free" or chip.unit.precision != "fixed" or chip.skipping or chip.nm or chip.gating:
        raise ValueError("timing blocks needs `dataflow: free`, `precision: fixed`, no skipping, gating and nm")
    if any(memory.resident or memory.bypass for memory in chip.memories):
        raise ValueError("timing blocks knows no `resident` and no `bypass`: tensors lie in their outermost memory")
