"""What works beside an array or in place of one: the unit for operations without MACs, the loop-nest machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LoopNest:
    """Counts of the sequential loop-nest machine: operations per innermost iteration, by layer kind.

    Attributes:
        multiplications, additions: (convolution, linear) per MAC.
        bias_additions: `none`; `last`: one per output of the last layer, whether it has a bias or not; `all`: every
            bias that there is.
        pj_per_bit2, pj_per_bit: energy of a multiplication per bit^2 and of an addition per bit.
    """

    multiplications: tuple[int, int]
    additions: tuple[int, int]
    bias_additions: Literal["none", "last", "all"]
    pj_per_bit2: float
    pj_per_bit: float


@dataclass(frozen=True, kw_only=True)
class Vector:
    """The unit for operations without MACs.

    Attributes:
        lanes: elements per cycle.
        pj_per_op: energy of one operation on one element.
        launch_cycles: of every operation that is not fused.
        cycles: (kind, cycles of one operation on one element) of kinds that are not done at `lanes`.
        fuses: kinds that work on outputs as they leave the array; None: all that can.
    """

    lanes: int = 1
    pj_per_op: float = 0.0
    launch_cycles: float = 0.0
    cycles: tuple[tuple[str, float], ...] = ()
    fuses: tuple[str, ...] | None = None
