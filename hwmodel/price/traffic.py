"""What moves through one memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What moves through one memory for one operand, all instances together.

    Attributes:
        reads_bits, writes_bits: [bit].
        fills_bits: the part of the writes that comes from the next level outward [bit].
        final_bits: the part of the writes that carries finished outputs from the next level inward [bit].
        energy_pj: [pJ].
    """

    reads_bits: float
    writes_bits: float
    fills_bits: float
    final_bits: float
    energy_pj: float

    @property
    def bits(self) -> float:
        return self.reads_bits + self.writes_bits
