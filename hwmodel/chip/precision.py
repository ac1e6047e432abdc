"""How a multiplier handles operands of other widths than its own.

- `fixed`: one width. Narrower operands run at its rate and energy; wider ones take
  ceil(b_w / native_w) * ceil(b_i / native_i) passes.
- `fusion`: bricks fuse into wider multipliers (Sharma et al., Bit Fusion, ISCA 2018, section III): the rate
  is (native_w / b_w) * (native_i / b_i) with the widths rounded up to the next power of two bricks.
- `bit_serial`: one bit per cycle of the operands named in `serial` (Judd et al., Stripes, MICRO 2016;
  Sharify et al., Loom, DAC 2018): cycles x b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hwmodel.network.layer import Operand

Mode = Literal["fixed", "fusion", "bit_serial"]


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
        return (self.w_bits, self.i_bits)

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
        return rate / self.passes(b_w, b_i)

    def energy_pj(self, b_w: int, b_i: int) -> float:
        """Energy of one MAC [pJ]: from the table where it has the pair, else native energy over the rate.

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
        return passes * self.mac_pj * scale

    def note(self, b_w: int, b_i: int) -> WidthNote | None:
        """Where the widths do not run as such: what is priced instead."""
        if b_w > self.w_bits or b_i > self.i_bits:
            passes = f"{b_w}x{b_i} bits take {self.passes(b_w, b_i)} passes of {self.w_bits}x{self.i_bits}"
            return WidthNote(passes, lacks=f"{max(b_w, b_i)}-bit multiplier")
        if self.mode == "fixed" and (b_w < self.w_bits or b_i < self.i_bits):
            return WidthNote(f"multipliers are {self.w_bits}x{self.i_bits} bit: fewer bits save traffic only")
        if self.mode == "fusion":
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
        return tuple(range(1, native + 1))
