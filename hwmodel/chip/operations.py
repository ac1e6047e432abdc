"""The sections `vector:` and `loop_nest:` of an accelerator file: operations that no array does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from hwmodel.chip.fields import distinct, quantity
from hwmodel.chip.yamlfile import Field, Schema

Energy = Annotated[float, quantity("energy")]
Said = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=2**31)]
Small = Annotated[int, Field(ge=0, le=2**31)]


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


class VectorSection(Schema):
    """What does the operations without MACs.

    Attributes:
        lanes: operations per cycle.
        energy: of one.
        cycles: of one, of kinds that are not done at `lanes` (`add`, `mul`, `pool`, ...).
        fuses: kinds that work on outputs as they leave the array; left out, all that can.
        source: where the numbers come from.
    """

    lanes: Count
    energy: Energy = 0.0
    cycles: dict[Said, Annotated[float, Field(gt=0, le=2**31)]] = Field(default_factory=dict)
    fuses: Annotated[tuple[Said, ...], AfterValidator(distinct)] | None = None
    source: str = ""
