"""The sections `roofline:`, `vector:` and `loop_nest:` of a chip file: machines beside an array, or without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator

from hwmodel.chip.fields import Count, Small, distinct, quantity
from hwmodel.chip.formats import Format, FormatSection
from hwmodel.chip.roofline import Roofline
from hwmodel.chip.yamlfile import Field, Schema, model_validator
from hwmodel.errors import check_one_of
from hwmodel.network.nodes import OP_KINDS

Size = Annotated[float, quantity("size", positive=True)]
Bandwidth = Annotated[float, quantity("bandwidth", positive=True)]
Time = Annotated[float, quantity("time")]
Power = Annotated[float, quantity("power")]
Energy = Annotated[float, quantity("energy")]


class RooflineSection(Schema):
    """`roofline:` of the kinds gpu and cpu.

    Attributes:
        cores: multiprocessors, or cores.
        native: format of layers without bits.
        formats: number formats; a layer runs in the narrowest one that has its bits.
        tiles: output pixels times filters that one core makes at a time.
        granule: reductions are padded to it.
        channel_block: channels are stored in blocks of so many.
        cache: size of the last cache.
        cache_bandwidth: of the last cache.
        fill: until the first operands of a tile arrive.
        launch: of every kernel.
        wait: of the host, once per network.
        overlap: a kernel reads while it computes.
        board_power: at the sustained peak.
        idle_power: drawn whatever it does.
        source: where the numbers come from.
    """

    cores: int = Field(ge=1, le=2**31)
    native: str
    formats: tuple[FormatSection, ...] = Field(min_length=1)
    tiles: tuple[tuple[Annotated[int, Field(ge=1, le=2**31)], Annotated[int, Field(ge=1, le=2**31)]], ...] = Field(
        min_length=1
    )
    granule: Size = 1.0
    channel_block: int = Field(default=1, ge=1, le=2**31)
    cache: Size
    cache_bandwidth: Bandwidth
    fill: Time = 0.0
    launch: Time
    wait: Time = 0.0
    overlap: bool = True
    board_power: Power = 0.0
    idle_power: Power = 0.0
    source: str

    @model_validator(mode="after")
    def _check(self) -> RooflineSection:
        names = [item.name for item in self.formats]
        bits = [item.bits for item in self.formats]
        check_one_of("native", self.native, names)
        if len(set(bits)) != len(bits) or max(bits) != 32:
            raise ValueError(f"formats must have different widths, the widest 32 bit, but got {bits} bit")
        if self.idle_power > self.board_power:
            raise ValueError(
                f"idle_power <= board_power must hold, but got {self.idle_power:g} W > {self.board_power:g} W"
            )
        return self

    @property
    def native_bits(self) -> int:
        return next(item.bits for item in self.formats if item.name == self.native)

    def roofline(self, memory_bits_per_s: float) -> Roofline:
        """The section as the model uses it; the board draws its rated power at the sustained peak."""
        return Roofline(
            cores=self.cores,
            formats=tuple(self._with_energy(item) for item in sorted(self.formats, key=lambda item: item.bits)),
            tiles=self.tiles,
            granule_bits=int(self.granule),
            channel_block=self.channel_block,
            cache_bits=self.cache,
            cache_bits_per_s=self.cache_bandwidth,
            memory_bits_per_s=memory_bits_per_s,
            fill_s=self.fill,
            launch_s=self.launch,
            wait_s=self.wait,
            idle_w=self.idle_power,
            overlap=self.overlap,
        )

    def _with_energy(self, item: Format) -> Format:
        """The format with what the board's power leaves for a MAC at the sustained peak."""
        return replace(
            item, mac_pj=(self.board_power - self.idle_power) / (item.macs_per_s * item.efficiency) * 1e12
        )


class _Operations(Schema):
    """Operations of one step.

    Attributes:
        multiplications, additions: how many.
    """

    multiplications: Small
    additions: Small


class LoopNestSection(Schema):
    """Bit operations of a sequential loop nest.

    Attributes:
        conv, linear: operations of one step of a layer of this kind.
        bias_additions: whether a bias is added never, with the last product, or with all.
        multiply_energy_per_bit2: of a multiplication, times both widths.
        add_energy_per_bit: of an addition, times its width.
        source: where the numbers come from.
    """

    conv: _Operations
    linear: _Operations
    bias_additions: Literal["none", "last", "all"] = "none"
    multiply_energy_per_bit2: Energy
    add_energy_per_bit: Energy
    source: str


def _op_kind(name: str) -> str:
    check_one_of("kind of operation", name, OP_KINDS)
    return name


OpKind = Annotated[str, AfterValidator(_op_kind)]


class VectorSection(Schema):
    """What does the operations without MACs.

    Attributes:
        lanes: operations per cycle.
        energy: of one.
        cycles: of one, of kinds (`OP_KINDS`) that are not done at `lanes`.
        fuses: kinds that work on outputs as they leave the array; left out, all that can.
        source: where the numbers come from.
    """

    lanes: Count
    energy: Energy = 0.0
    cycles: dict[OpKind, Annotated[float, Field(gt=0, le=2**31)]] = Field(default_factory=dict)
    fuses: Annotated[tuple[OpKind, ...], AfterValidator(distinct)] | None = None
    source: str = ""
