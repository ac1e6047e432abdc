"""Tables of the section `mac:` of an accelerator file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from hwmodel.chip.arithmetic.analog import Analog
from hwmodel.chip.fields import OperandWidth, quantity
from hwmodel.chip.yamlfile import Field, Schema

Energy = Annotated[float, quantity("energy")]


class RateRow(Schema):
    """A measured rate.

    Attributes:
        w, i: widths of the operands.
        rate: MACs per cycle of one PE at them.
    """

    w: OperandWidth
    i: OperandWidth
    rate: Annotated[float, Field(gt=0, le=2**20, allow_inf_nan=False)]


class ConverterSection(Schema):
    """What stands between the digital side and the cells.

    Attributes:
        bits: resolution.
        energy: of one conversion.
    """

    bits: OperandWidth
    energy: Energy


class AnalogSection(Schema):
    """Compute in memory with analog sums.

    Attributes:
        cell: bits of a weight in one cell; a weight takes ceil(w / cell) places of the axis with `weight_cells`.
        dac: of a slice of one input; an input takes ceil(i / bits) steps.
        adc: of a reading of one column in one step.
        cycles: of a step, converters that columns share in turn.
    """

    cell: OperandWidth
    dac: ConverterSection
    adc: ConverterSection
    cycles: Annotated[int, Field(ge=1, le=2**20)] = 1

    @property
    def value(self) -> Analog:
        return Analog(
            cell_bits=self.cell, dac_bits=self.dac.bits, adc_bits=self.adc.bits, dac_pj=self.dac.energy,
            adc_pj=self.adc.energy, cycles=self.cycles,
        )  # fmt: skip


class Pair(Protocol):
    """A row for a pair of widths [bit]."""

    @property
    def w(self) -> int: ...

    @property
    def i(self) -> int: ...


def check_pairs(key: str, rows: Sequence[Pair], w_bits: int, i_bits: int) -> None:
    """Each pair once, none wider than the native one.

    Raises:
        ValueError: the message names the key and the pair.
    """
    pairs = [(row.w, row.i) for row in rows]
    for w, i in pairs:
        if w > w_bits or i > i_bits:
            raise ValueError(f"{key}: no product is wider than {w_bits} x {i_bits} bit, but got {w} x {i}")
        if pairs.count((w, i)) > 1:
            raise ValueError(f"{key}: {w} x {i} bit is described twice")
