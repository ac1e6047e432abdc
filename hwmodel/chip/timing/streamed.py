"""Cycles of a matrix engine whose operands stream in, pass by pass, in closed form.

A layer is a product of M output pixels x K reduction by K reduction x N filters. A pass multiplies one slice of
the reduction, as deep as the array; passes, and groups, do not overlap. In a pass the array keeps a tile of one
operand (rows of pixels, or columns of filters) while all tiles of the other go by; then it takes the next one:

    for a tile that stays: for a tile that goes by: for its bits: for the bits of the one that stays: a cycle

with one bit per operand where it is not serial. Both operands arrive on ports of their own, tile by tile and bit
by bit, each word once, and a step waits for the words that it uses first. With `steps` in all and step s (counted
from 0) not before the cycle arrival(s) is over, the steps of a pass end after

    max(steps, max over s of arrival(s) + steps - 1 - s)  cycles.

arrival(s) - s is linear along the full tiles and along the bits of the last one, so its corners suffice. Which
operand stays is chosen per layer. Umuroglu et al., BISMO, FPL 2018, describe such an engine; that the operands
arrive beside the computation, and that passes do not overlap, is read from HAQ's table (Wang et al., CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwmodel.chip.timing.base import Timing
from hwmodel.network.layer import Layer, Operand


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One operand of a pass.

    Attributes:
        lines: rows (columns) of the matrix.
        side: lines that the array holds at once.
        bits: steps that a line takes: its serial bits, else 1.
        pace: cycles between the arrivals of two words, of `depth` values and one bit (all bits where not serial).
    """

    lines: int
    side: int
    bits: int
    pace: float

    @property
    def tiles(self) -> int:
        return math.ceil(self.lines / self.side)

    def corners(self) -> Iterator[tuple[int, int, float]]:
        """(tile, bit, cycle at which it is there) of the first, last full and last tile, first and last bit."""
        for tile in {0, max(self.tiles - 2, 0), self.tiles - 1}:
            size = min(self.side, self.lines - tile * self.side)
            for bit in {0, self.bits - 1}:
                yield tile, bit, (tile * self.side * self.bits + size * (bit + 1)) * self.pace


def pass_cycles(stays: Stream, passes_by: Stream) -> float:
    """Cycles of one pass in which the tiles of one operand stay while those of the other pass by."""
    around = passes_by.tiles * passes_by.bits * stays.bits
    steps = stays.tiles * around
    waits = [arrival - (tile * around + bit) for tile, bit, arrival in stays.corners()]
    waits += [arrival - (tile * passes_by.bits + bit) * stays.bits for tile, bit, arrival in passes_by.corners()]
    return max(float(steps), max(waits) + steps - 1)


@dataclass(frozen=True, kw_only=True)
class Streamed(Timing):
    """Timing of such an engine.

    Attributes:
        rows: output pixels side by side.
        columns: filters side by side.
        depth: products of one dot product.
        w_port, i_port: what arrives of each operand [bit/cycle].
        serial: operands that come bit by bit.
    """

    rows: int
    columns: int
    depth: int
    w_port: float
    i_port: float
    serial: tuple[Operand, ...]

    by_streams: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "fed by streams, pass by pass"

    def least_cycles(self, layer: Layer, w_bits: int, i_bits: int) -> int:
        """Cycles of a layer at the widths of its operands [bit], all passes."""
        d = layer.dims
        weights = self.stream(d.K, self.columns, w_bits, "W" in self.serial, self.w_port)
        inputs = self.stream(d.B * d.OY * d.OX, self.rows, i_bits, "I" in self.serial, self.i_port)
        one = min(pass_cycles(weights, inputs), pass_cycles(inputs, weights))
        return math.ceil(d.G * math.ceil(layer.reduction / self.depth) * one)

    def stream(self, lines: int, side: int, width: int, serial: bool, port: float) -> Stream:
        word = self.depth if serial else self.depth * width
        return Stream(lines=lines, side=side, bits=width if serial else 1, pace=word / port)
