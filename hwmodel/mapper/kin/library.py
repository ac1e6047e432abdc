"""Mappings shared between chips that differ in sizes and bandwidths alone.

Call a chip *roomier* than another if it equals it but for memories that are no smaller and ports that are no
slower. Every mapping of a chip is one of a roomier chip, with the same accesses, so the same energy, and no more
cycles there. So the best mapping of the roomier chip, where it fits the other one and takes as many cycles on it,
is the best of that one too, ties by cycles included (Lemma 25 of docs/explain/mapper.md); where nothing fits the
roomier chip, nothing fits the other one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hwmodel.mapper.free import Objective
from hwmodel.mapper.kin.chips import Kin, Limits, kin_of
from hwmodel.mapper.kin.floors import AnyFloors, floors_for
from hwmodel.nest.mapping import Mapping, room_needed
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.price.priced import Priced
from hwmodel.price.spatial import price


@dataclass(frozen=True)
class _Known:
    """The best mapping within some limits, None where nothing fits; what it takes of every memory; its cycles."""

    sizes: Limits
    ports: Limits
    mapping: Mapping | None = None
    needs: Limits = ()
    cycles: int = 0


class Library:
    """Best mappings of many chips, each found once."""

    def __init__(self) -> None:
        self._known: dict[Any, list[_Known]] = {}
        self._prices: dict[Any, tuple[Mapping, Priced]] = {}
        self._values: dict[Any, Any] = {}
        self._floors: dict[Any, AnyFloors] = {}

    def find(self, task: Task, optimize: str) -> tuple[bool, Mapping | None]:
        """Whether the best mapping of a task is known, and which it is; None: nothing fits.

        Args:
            task: on a chip of `shares_mappings`.
            optimize: what is minimised.
        """
        kin, sizes = kin_of(task.accelerator), _sizes(task)
        for known in self._known.get(_key(task, kin, optimize), ()):
            if not (_holds(known.sizes, sizes) and _holds(known.ports, kin.ports) and _holds(sizes, known.needs)):
                continue
            mapping = known.mapping
            if mapping is None or known.ports == kin.ports or self.price(task, mapping).cycles == known.cycles:
                return True, mapping
        return False, None

    def add(self, task: Task, optimize: str, mapping: Mapping | None) -> None:
        """Keep what a search has found; None: that nothing fits."""
        kin, sizes = kin_of(task.accelerator), _sizes(task)
        known = _Known(sizes, kin.ports)
        if mapping is not None:
            known = replace(
                known, mapping=mapping, needs=_needs(task, mapping), cycles=self.price(task, mapping).cycles
            )
        self._known.setdefault(_key(task, kin, optimize), []).append(known)

    def reached(self, task: Task, optimize: str) -> float:
        """The least energy of a mapping known for other sizes that fits; infinite without one [pJ]."""
        kin, sizes = kin_of(task.accelerator), _sizes(task)
        known = self._known.get(_key(task, kin, optimize), ())
        fitting = (found.mapping for found in known if found.mapping is not None and _holds(sizes, found.needs))
        return min((sum(self.price(task, mapping).energy_pj.values()) for mapping in fitting), default=math.inf)

    def bound(self, task: Task, optimize: Objective) -> float:
        """A lower bound of the least energy, or the fewest cycles, of a task: ports do not enter that of energy."""
        kin = kin_of(task.accelerator)
        key = (_key(task, kin, optimize), () if optimize == "energy" else kin.ports)
        return float(self._once((*key, _sizes(task)), lambda: self._floors_of(key, task, optimize)))

    def _floors_of(self, key: Any, task: Task, optimize: Objective) -> float:
        view = array_view(task)
        floors = self._floors.pop(key, None) or floors_for(view, optimize)
        self._floors[key] = floors  # the last one that was asked for stands at the end
        if len(self._floors) > floors.most:
            del self._floors[next(iter(self._floors))]
        return floors.bound(view)

    def least(self, task: Task, what: Any, compute: Callable[[], Any]) -> Any:
        """Something of a task that sizes do not enter, and what else decides about it; from `compute` at first."""
        kin = kin_of(task.accelerator)
        return self._once((_key(task, kin, task.layer.kind), kin.ports, what), compute)

    def _once(self, key: Any, compute: Callable[[], Any]) -> Any:
        if key not in self._values:
            self._values[key] = compute()
        return self._values[key]

    def price(self, task: Task, mapping: Mapping) -> Priced:
        """The price of a task under a mapping that fits: sizes do not enter it."""
        kin = kin_of(task.accelerator)
        key = (_key(task, kin, task.layer.kind), kin.ports, id(mapping))
        if key not in self._prices:
            self._prices[key] = (mapping, price(task, mapping))  # the mapping is kept, so that its id stays its own
        return self._prices[key][1]


def _key(task: Task, kin: Kin, optimize: str) -> Any:
    """What the best mapping depends on beside sizes and bandwidths."""
    identity = task.identity
    return identity._replace(accelerator=kin.outline, stay=task.stay._replace(room_bits=None)), optimize


def _sizes(task: Task) -> Limits:
    """Of every memory what its tiles may take [bit]."""
    memories = (memory for level in task.accelerator.levels for memory in level.memories)
    return tuple(float(task.room_bits(memory)) for memory in memories)


def _needs(task: Task, mapping: Mapping) -> Limits:
    """What the tiles of a mapping take of every memory [bit]."""
    view = array_view(task)
    return tuple(
        room_needed(view, mapping, index, memory)
        for index, level in enumerate(view.accelerator.levels)
        for memory in level.memories
    )


def _holds(larger: Limits, smaller: Limits) -> bool:
    return all(a >= b for a, b in zip(larger, smaller, strict=False))
