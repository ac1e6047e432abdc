"""What a component says of a memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One instance of a memory.

    Attributes:
        read_pj_per_bit, write_pj_per_bit: energy of an access over its width [pJ/bit].
        area_mm2: None off the chip [mm^2].
        leakage_w: power that it draws whatever it does [W].
        said: what they rest on: model, node, and what was scaled from where.
    """

    read_pj_per_bit: float
    write_pj_per_bit: float
    area_mm2: float | None
    leakage_w: float
    said: str
