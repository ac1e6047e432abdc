"""What a chip file says that a memory is, as a value, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hwmodel.chip.components.dram import DramKind, dram
from hwmodel.chip.components.figures import Figures
from hwmodel.chip.components.registers import register_file
from hwmodel.chip.components.sram import Devices, sram

PartKind = Literal["sram", "regfile", "dram"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A memory by what it is.

    Attributes:
        kind: `sram`, `regfile` (registers) or `dram`.
        nm: technology [nm]; None for DRAM.
        width_bits: of an access [bit]; None for DRAM.
        banks, ports, devices: of an SRAM (`hwmodel.chip.components.sram`).
        dram: which DRAM.
    """

    kind: PartKind
    nm: float | None = None
    width_bits: int | None = None
    banks: int = 1
    ports: int = 1
    devices: Devices = "low_standby"
    dram: DramKind | None = None

    def figures(self, size_bits: float | None) -> Figures:
        """Energy, area and leakage at a capacity.

        Args:
            size_bits: [bit]; None: unbounded.

        Raises:
            ValueError: what it is made of is missing, or outside of the tables.
        """
        if self.kind == "dram":
            if self.dram is None:
                raise ValueError("component dram needs its `kind`, such as `kind: lpddr4`")
            return dram(self.dram)
        if size_bits is None:
            raise ValueError(f"component {self.kind} needs a `size`, but it is unbounded")
        if self.nm is None:
            raise ValueError(
                f"component {self.kind} needs a `technology`, its own or that of the chip, such as "
                "`technology: 28 nm`"
            )
        if self.width_bits is None:
            raise ValueError(f"component {self.kind} needs the `width` of an access, such as `width: 64 bit`")
        if self.kind == "regfile":
            return register_file(size_bits, width_bits=self.width_bits, nm=self.nm)
        return sram(
            size_bits, width_bits=self.width_bits, nm=self.nm, banks=self.banks, ports=self.ports,
            devices=self.devices,
        )  # fmt: skip
