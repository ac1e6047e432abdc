"""Kinds of DRAM: energy of a bit, device and interface. No area: they are off the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hwmodel.chip.components.figures import Figures

DramKind = Literal["ddr3", "ddr4", "lpddr2", "lpddr4", "gddr5", "gddr6", "hbm2"]

#: Kind -> (pJ/bit, source). LPDDR5 and HBM3 are absent: no figure that could be traced to a measurement was found.
_KINDS: Mapping[DramKind, tuple[float, str]] = {
    "ddr3": (
        1300 / 64,
        "1300 pJ per 64 bit, DDR3/4 (Jouppi et al., ISCA 2021, table 2; Horowitz, ISSCC 2014: 1300 to 2600)",
    ),
    "ddr4": (1300 / 64, "1300 pJ per 64 bit, DDR3/4 (Jouppi et al., ISCA 2021, table 2)"),
    "lpddr2": (40.0, "40 pJ/bit (Malladi et al., ISCA 2012)"),
    "lpddr4": (8.0, "8 pJ/bit (the table of Accelergy's CACTI plug-in, which names no measurement)"),
    "gddr5": (14.0, "14 pJ/bit (O'Connor et al., MICRO 2017)"),
    "gddr6": (415 / 64, "350 to 480 pJ per 64 bit (Jouppi et al., ISCA 2021, table 2), the middle"),
    "hbm2": (
        3.92,
        "3.92 pJ/bit (O'Connor et al., MICRO 2017, section 2; Jouppi et al., 2021: 250 to 450 pJ per 64 bit)",
    ),
}  # fmt: skip


def dram(kind: DramKind) -> Figures:
    """A kind of DRAM. Its idle and refresh power is in none of the sources: it leaks nothing here."""
    energy, source = _KINDS[kind]
    return Figures(
        read_pj_per_bit=energy, write_pj_per_bit=energy, area_mm2=None, leakage_w=0.0, said=f"{kind}: {source}"
    )
