"""How a multiplier handles operands of other widths than its own.

- `fixed`: one width. Narrower operands run at its rate and energy; wider ones take
  ceil(b_w / native_w) * ceil(b_i / native_i) passes.
- `fusion`: bricks fuse into wider multipliers (Sharma et al., Bit Fusion, ISCA 2018, section III): the rate
  is (native_w / b_w) * (native_i / b_i) with the widths rounded up to the next power of two bricks.
- `bit_serial`: one bit per cycle of the operands named in `serial` (Judd et al., Stripes, MICRO 2016;
  Sharify et al., Loom, DAC 2018): cycles x b.
- `table`: measured MACs per cycle by widths, as of processors with SIMD kernels. A pair that the table lacks runs
  as the fastest of those at least as wide in both operands: words can be stored narrow and widened on the way. A
  busy core draws one power, so that the energy of a MAC goes as its cycles where no energy is stated.
- `analog`: compute in memory with analog sums (`hwmodel.chip.arithmetic.analog`): cells by the width of a weight,
  steps by that of an input; the energy of a MAC is that of its cells, converters are apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hwmodel.chip.arithmetic.analog import Analog
from hwmodel.network.layer import Operand

Mode = Literal["fixed", "fusion", "bit_serial", "table", "analog"]


@dataclass(frozen=True)
class WidthNote:
    """How operands run for which a chip has no arithmetic of just their widths.

    Attributes:
        text: what is priced.
        lacks: the arithmetic that would be needed; "" where the chip has wider one that costs as much.
    """

    text: str
    lacks: str = ""

    def __str__(self) -> str:
        return f"no {self.lacks}: {self.text}" if self.lacks else self.text


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The arithmetic of one MAC unit.

    Attributes:
        mode: see the module.
        w_bits, i_bits: native (widest single-pass) widths [bit].
        acc_bits: accumulator width [bit]; None means wide enough for the layer.
        mac_pj: energy of a MAC at the native widths [pJ].
        brick_bits: smallest multiplier of `fusion` [bit].
        serial: operands that `bit_serial` streams bit by bit.
        unrolled: the part of the rate that is already in the length of an array axis.
        table_pj: (b_w, b_i, pJ) of measured energies; see `energy_pj` for the pairs between them.
        table_rates: (b_w, b_i, MACs per cycle) of `table`; the native pair is among them.
        analog: of that mode: cells and converters.
    """

    mode: Mode
    w_bits: int
    i_bits: int
    acc_bits: int | None
    mac_pj: float
    brick_bits: int = 2
    serial: tuple[Operand, ...] = ()
    unrolled: int = 1
    table_pj: tuple[tuple[int, int, float], ...] = ()
    table_rates: tuple[tuple[int, int, float], ...] = ()
    analog: Analog | None = None

    @property
    def halvings(self) -> float:
        """Halvings from the widest operand to a brick; 0 where nothing fuses."""
        return math.log2(max(self.w_bits, self.i_bits) / self.brick_bits) if self.mode == "fusion" else 0.0

    def priced_bits(self, b_w: int, b_i: int) -> tuple[int, int]:
        """The widths that the multiplier really runs at, within one pass [bit]."""
        if self.mode == "fusion":
            return (self._round_up(b_w, self.w_bits), self._round_up(b_i, self.i_bits))
        if self.mode == "bit_serial":
            w = min(b_w, self.w_bits) if "W" in self.serial else self.w_bits
            i = min(b_i, self.i_bits) if "I" in self.serial else self.i_bits
            return (w, i)
        if self.mode == "table":
            return self._row(b_w, b_i)[:2]
        if self.analog is not None:
            return (min(b_w, self.w_bits), min(b_i, self.i_bits))
        return (self.w_bits, self.i_bits)

    def places(self, b_w: int) -> int:
        """Places that a weight takes where they are cells of an array."""
        w = min(b_w, self.w_bits)
        return w if self.analog is None else self.analog.cells(w)

    def converter_pj(self, b_w: int, b_i: int) -> tuple[float, float]:
        """Energy of the converters for a word of I that enters the array, and for a sum that leaves it [pJ]."""
        if self.analog is None:
            return (0.0, 0.0)
        steps = self.analog.steps(min(b_i, self.i_bits)) * self.passes(b_w, b_i)
        return (steps * self.analog.dac_pj, steps * self.places(b_w) * self.analog.adc_pj)

    def _row(self, b_w: int, b_i: int) -> tuple[int, int, float]:
        """The row of `table_rates` that a pair runs as: the fastest that is wide enough, then the narrowest."""
        w, i = min(b_w, self.w_bits), min(b_i, self.i_bits)
        enough = [row for row in self.table_rates if row[0] >= w and row[1] >= i]
        return min(enough, key=lambda row: (-row[2], row[0] * row[1], row))

    def _round_up(self, bits: int, native: int) -> int:
        width = self.brick_bits
        while width < min(bits, native):
            width *= 2
        return min(width, native)

    def passes(self, b_w: int, b_i: int) -> int:
        """Passes that operands wider than the native widths need."""
        return math.ceil(b_w / self.w_bits) * math.ceil(b_i / self.i_bits)

    def fusion_rate(self, b_w: int, b_i: int) -> int:
        """MACs that one fusion unit works on at once; 1 in the other modes."""
        if self.mode != "fusion":
            return 1
        w, i = self.priced_bits(b_w, b_i)
        return (self.w_bits // w) * (self.i_bits // i)

    def macs_per_cycle(self, b_w: int, b_i: int) -> float:
        """MACs that one PE finishes in one cycle."""
        w, i = self.priced_bits(b_w, b_i)
        rate = self.fusion_rate(b_w, b_i) / self.unrolled
        if self.mode == "bit_serial":
            rate = 1.0 / math.prod(bits for bits, name in ((w, "W"), (i, "I")) if name in self.serial)
        if self.mode == "table":
            rate = self._row(b_w, b_i)[2]
        if self.analog is not None:
            rate = 1.0 / (self.analog.steps(i) * self.analog.cycles)
        return rate / self.passes(b_w, b_i)

    def energy_pj(self, b_w: int, b_i: int) -> float:
        """Energy of one MAC [pJ]: from the table where it has the pair, else native energy over the rate.

        In mode `table` a row of energies stands for just the pair of rates that it names.

        A pair that the table lacks takes the next wider one. With serial inputs it takes the next wider
        weights and the widest inputs up to its own, whose energy grows with the bits that stream.
        """
        w, i = self.priced_bits(b_w, b_i)
        passes = self.passes(b_w, b_i)
        if self.mode == "bit_serial" and "I" in self.serial:
            stored = min(b_w, self.w_bits)
            narrower = [(tw, -ti, pj) for tw, ti, pj in self.table_pj if tw >= stored and ti <= i]
            if narrower:
                _, streamed, pj = min(narrower)
                return passes * pj * i / -streamed
        wider = [(tw * ti, pj) for tw, ti, pj in self.table_pj if tw >= w and ti >= i]
        if wider:
            return passes * min(wider)[1]
        scale = (w * i) / (self.w_bits * self.i_bits) if self.mode != "fixed" else 1.0
        if self.mode == "table":
            scale = self._row(self.w_bits, self.i_bits)[2] / self._row(b_w, b_i)[2]
        if self.analog is not None:
            native = self.places(self.w_bits) * self.analog.steps(self.i_bits)
            scale = self.places(w) * self.analog.steps(i) / native
        return passes * self.mac_pj * scale

    def note(self, b_w: int, b_i: int) -> WidthNote | None:
        """Where the widths do not run as such: what is priced instead."""
        if b_w > self.w_bits or b_i > self.i_bits:
            passes = f"{b_w}x{b_i} bits take {self.passes(b_w, b_i)} passes of {self.w_bits}x{self.i_bits}"
            return WidthNote(passes, lacks=f"{max(b_w, b_i)}-bit multiplier")
        if self.mode == "fixed" and (b_w < self.w_bits or b_i < self.i_bits):
            return WidthNote(f"multipliers are {self.w_bits}x{self.i_bits} bit: fewer bits save traffic only")
        if self.mode in ("fusion", "table"):
            w, i = self.priced_bits(b_w, b_i)
            rounded = {own: run for own, run in ((b_w, w), (b_i, i)) if own != run}
            if len(rounded) == 1:
                ((own, run),) = rounded.items()
                return WidthNote(f"priced as {run}", lacks=f"{own}-bit multiplier")
            if rounded:
                return WidthNote(f"priced as {w}x{i}", lacks=f"{b_w}x{b_i}-bit multiplier")
        return None

    def widths(self, operand: Operand) -> tuple[int, ...]:
        """The widths of W or I that run as such, in one pass [bit]."""
        native = self.w_bits if operand == "W" else self.i_bits
        if self.mode == "fixed":
            return (native,)
        if self.mode == "fusion":
            return tuple(dict.fromkeys(self._round_up(bits, native) for bits in range(1, native + 1)))
        if self.mode == "table":
            return tuple(sorted({w if operand == "W" else i for w, i, _ in self.table_rates}))
        return tuple(range(1, native + 1))
