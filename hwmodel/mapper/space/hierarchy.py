"""An accelerator's levels as the mapper has them: in three slots, what they may keep, and their loop orders."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hwmodel.chip.accelerator import Accelerator, Level
from hwmodel.errors import MappingError
from hwmodel.mapper.counting import ORDERS
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, Operand

Kept = tuple[frozenset[Operand], frozenset[Operand]]


def is_deep(accelerator: Accelerator) -> bool:
    """A chip for the mappers of any number of levels, `hwmodel.mapper.deep` and `.uneven`.

    More levels than three slots, memories or places along axes alone, a tile per operand.
    """
    inner = sum(level.per_pe for level in accelerator.levels)
    alone = any(not axis.multicast for axis in accelerator.axes)
    levels = inner > 1 or len(accelerator.levels) - inner > 2
    return levels or alone or accelerator.has_clusters or accelerator.tiles == "uneven"


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """An accelerator's levels in the three slots of the kernel; None where it has none."""

    registers: Level | None
    buffer: Level | None
    outer: Level

    @property
    def slots(self) -> tuple[Level | None, Level | None, Level]:
        return (self.registers, self.buffer, self.outer)

    @classmethod
    def of(cls, accelerator: Accelerator) -> Hierarchy:
        """The levels of an accelerator.

        Raises:
            MappingError: it has more than one level per PE or more than two shared ones.
        """
        inner = [level for level in accelerator.levels if level.per_pe]
        shared = [level for level in accelerator.levels if not level.per_pe]
        if len(inner) > 1 or len(shared) > 2:
            raise MappingError(
                f"accelerator {accelerator.name!r}: the mapper takes at most one level per PE and two shared "
                f"levels, but got {len(inner)} and {len(shared)}. Put memories that stand side by side into "
                "one `level:`."
            )
        return cls(
            registers=inner[0] if inner else None, buffer=shared[0] if len(shared) == 2 else None, outer=shared[-1]
        )

    def choices(self, task: Task) -> list[Kept]:
        """What registers and buffer may keep: every subset of the operands that may bypass, left out.

        The buffer keeps no tile of what lies in it whole (Lemma 12 of docs/explain/mapper.md).
        """
        return list(itertools.product(kept_choices(self.registers, task), kept_choices(self.buffer, task)))


def kept_choices(level: Level | None, task: Task) -> list[frozenset[Operand]]:
    """What a level may keep a tile of: every subset of the operands that may bypass it, left out."""
    if level is None:
        return [frozenset()]
    held = frozenset(o for memory in level.memories for o in memory.holds if not task.rests(o, memory))
    free = [operand for operand in level.bypass if operand in held]
    return [held - frozenset(out) for n in range(len(free) + 1) for out in itertools.combinations(free, n)]


def orders_of(level: Level) -> tuple[tuple[int, ...], ...]:
    """Loop orders to try at a level, outer to inner: its own, or the five that stand for all."""
    if not level.order:
        return tuple(tuple(int(d) for d in order) for order in ORDERS)
    named = [DIM_NAMES.index(d) for d in level.order]
    return (tuple([d for d in range(8) if d not in named] + named),)
