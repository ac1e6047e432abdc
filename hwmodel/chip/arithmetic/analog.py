"""Compute in memory with analog sums: cells hold slices of weights, converters stand at the edges of the array.

A weight of w bits takes ceil(w / cell) cells of a row, side by side; inputs come in ceil(i / dac) steps, a slice
of all rows at once. In a step every column sums its rows, and an ADC reads each sum: a word of I costs `dac` times
its steps, a sum that leaves the array `adc` times cells and steps, however many rows were in it. The digital side
shifts and adds what the slices gave.

Sources: Shafiee et al., ISAAC, ISCA 2016, section III (slices of weights and inputs, shift and add); Jia et al., A
Programmable Heterogeneous Microprocessor Based on Bit-Scalable In-Memory Computing, JSSC 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Analog:
    """Slices and converters of a macro.

    Attributes:
        cell_bits: of a weight in one cell [bit].
        dac_bits, adc_bits: resolutions [bit].
        dac_pj: of one slice of one input, driven along its row [pJ].
        adc_pj: of one reading of one column [pJ].
        cycles: of a step: a slice of the inputs through the cells and all converters, shared ones in turn.
    """

    cell_bits: int
    dac_bits: int
    adc_bits: int
    dac_pj: float
    adc_pj: float
    cycles: int = 1

    def cells(self, w_bits: int) -> int:
        """Columns of a weight."""
        return math.ceil(w_bits / self.cell_bits)

    def steps(self, i_bits: int) -> int:
        """Steps of an input."""
        return math.ceil(i_bits / self.dac_bits)

    def lossless_bits(self, rows: int) -> int:
        """Resolution at which no sum of so many rows loses anything [bit].

        A sum is 0 to rows * (2^dac - 1) * (2^cell - 1).
        """
        return math.ceil(math.log2(rows * (2**self.dac_bits - 1) * (2**self.cell_bits - 1) + 1))
