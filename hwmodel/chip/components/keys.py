"""Keys of a chip file that say what a part is."""

from __future__ import annotations

from typing import Annotated

from hwmodel.chip.components.arithmetic import Arithmetic, Kind
from hwmodel.chip.components.dram import DramKind
from hwmodel.chip.components.parts import Part, PartKind
from hwmodel.chip.components.sram import Devices
from hwmodel.chip.fields import Width, quantity
from hwmodel.chip.yamlfile import Field, Schema, model_validator

Length = Annotated[float, quantity("length", positive=True)]

#: Component -> keys that it has beside `component`.
_KEYS: dict[PartKind | None, tuple[str, ...]] = {
    None: (),
    "sram": ("technology", "width", "banks", "ports", "devices"),
    "regfile": ("technology", "width"),
    "dram": ("kind",),
}
#: Keys that stand for themselves.
_FREE = {"component", "network_length"}


class PartKeys(Schema):
    """What a memory is.

    Attributes:
        component: what the memory is; the numbers that are not stated follow from it (components.md).
        technology: node of the component; left out, that of the chip.
        width: of an access, of `sram` and `regfile`.
        banks: of `sram`: arrays that the size is divided into.
        ports: of `sram`: read-write ports.
        devices: of `sram`: transistors, slow ones that leak little to fast ones that leak much.
        kind: of `dram`: which.
        network_length: wire that a bit of the network travels; gives `network_energy` where that is not stated (row
            stationary only).
    """

    component: PartKind | None = None
    technology: Length | None = None
    width: Width | None = None
    banks: Annotated[int, Field(ge=1, le=2**20)] = 1
    ports: Annotated[int, Field(ge=1, le=2**20)] = 1
    devices: Devices = "low_standby"
    kind: DramKind | None = None
    network_length: Length | None = None

    @model_validator(mode="after")
    def _check_part(self) -> PartKeys:
        allowed = _KEYS[self.component]
        mine = [key for key in PartKeys.model_fields if key in self.model_fields_set - _FREE]
        for key in mine:
            if key not in allowed and self.component is None:
                raise ValueError(f"`{key}` says more of a `component`: write `component: {_owner(key)}`, too")
            if key not in allowed:
                raise ValueError(f"`{key}` is no key of `component: {self.component}`: it has {', '.join(allowed)}")
        if self.component == "dram" and self.kind is None:
            raise ValueError("component dram needs its `kind`, such as `kind: lpddr4`")
        if self.component in ("sram", "regfile") and self.width is None:
            raise ValueError(f"component {self.component} needs the `width` of an access, such as `width: 64 bit`")
        return self

    def part(self, chip_nm: float | None) -> Part | None:
        """What the memory is; None where it says nothing. `chip_nm` counts where it has no technology."""
        if self.component is None:
            return None
        own = None if self.component == "dram" else self.technology or chip_nm
        return Part(
            kind=self.component, nm=own, width_bits=self.width, banks=self.banks, ports=self.ports,
            devices=self.devices, dram=self.kind,
        )  # fmt: skip


def _owner(key: str) -> str:
    return next(kind for kind, keys in _KEYS.items() if kind is not None and key in keys)


class ArithmeticKeys(Schema):
    """What a MAC is.

    Attributes:
        component: what the arithmetic is; the numbers that are not stated follow from its widths (components.md).
        technology: node of the component; left out, that of the chip.
        registered: the component has registers for its two operands.
    """

    component: Kind | None = None
    technology: Length | None = None
    registered: bool = True

    @model_validator(mode="after")
    def _check_component(self) -> ArithmeticKeys:
        if self.component is None and self.model_fields_set & {"technology", "registered"}:
            raise ValueError("`technology` and `registered` say more of a `component`: write `component: mac`, too")
        return self

    def arithmetic(self, chip_nm: float | None) -> Arithmetic | None:
        """What the arithmetic is, None where its numbers are stated.

        Raises:
            ValueError: no technology.
        """
        if self.component is None:
            return None
        nm = self.technology or chip_nm
        if nm is None:
            raise ValueError(
                f"component {self.component} needs a `technology`, its own or that of the chip, such as "
                "`technology: 28 nm`"
            )
        return Arithmetic(kind=self.component, nm=nm, registered=self.registered)
