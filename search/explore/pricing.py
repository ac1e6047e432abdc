"""What networks cost on one design: bounds before any mapping, then the costs themselves.

Designs share what they have in common (`hwmodel.mapper.kin`), so a pricer is the faster the more alike the
designs are that it is asked for, and the roomier ones it sees first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwmodel import evaluate
from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import AcceleratorError, GraphError, LayerError, MappingError, PrecisionError
from hwmodel.mapper.free import Objective
from hwmodel.mapper.kin.chips import has_bounds, is_optimal, kin_of
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.shared import forget_mappings, sharing_chips
from hwmodel.network.choice import FLOAT, Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Bits
from hwmodel.place.lower import Least, Widest, least_of_network, widened
from hwmodel.place.plan import Plan

#: What a pricer remembers of designs it will not see again is dropped after so many.
FORGET_AFTER = 256
#: How a network fails on one chip and may run on another.
ON_A_CHIP = (AcceleratorError, GraphError, LayerError, MappingError, PrecisionError)


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Bits and density of every layer; None: native bits, dense.

    Attributes:
        w_bits, a_bits: of weights and inputs [bit].
        density: of weights.

    Raises:
        LayerError: one is out of its range.
    """

    w_bits: int | None = None
    a_bits: int | None = None
    density: float | None = None

    def __post_init__(self) -> None:
        self._choice(FLOAT)

    def _choice(self, native: Bits) -> Choice:
        return Choice(
            w_bits=native.w if self.w_bits is None else self.w_bits,
            a_bits=native.i if self.a_bits is None else self.a_bits,
            density=1.0 if self.density is None else self.density,
        )

    def on(self, graph: LayerGraph, accelerator: Accelerator) -> LayerGraph:
        """The graph with them."""
        if (self.w_bits, self.a_bits, self.density) == (None, None, None):
            return graph
        choice = self._choice(accelerator.native_bits)
        return graph.annotate({layer.module: choice for layer in graph.layers})


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a combination is, before anything is mapped.

    Attributes:
        number: of the combination.
        error: why it is no chip; "" where it is one.
        area_mm2: of the chip [mm^2]; None where `unknown` names parts.
        unknown: parts whose area is not stated.
        clock_hz: [Hz].
        room: of every memory, by name, its size and bandwidths.
        kin: fingerprint of all but the bandwidths; "" where wider ports might cost more.
        like: of all that enters its lower bounds, which is all but the bandwidths; "" where it has none.
        family: of all but sizes and bandwidths, where mappings for energy take no more of it with larger
            memories; "" elsewhere.
        outline: designs with the same share mappings.
    """

    number: int
    error: str = ""
    area_mm2: float | None = None
    unknown: tuple[str, ...] = ()
    clock_hz: float = 1.0
    room: Mapping[str, Widest] = field(default_factory=dict)
    kin: str = ""
    like: str = ""
    family: str = ""
    outline: str = ""

    @property
    def sizes(self) -> tuple[float, ...]:
        """Of all memories [bit], infinite where one has none."""
        return tuple(found.size for found in self.room.values())

    @property
    def ports(self) -> tuple[float, ...]:
        """Bandwidths of all memories [bit/cycle], infinite where one has none."""
        return tuple(width for found in self.room.values() for width in found[1:])


@dataclass(frozen=True, kw_only=True)
class Price:
    """What every network costs on a design.

    Attributes:
        number: of the combination.
        energy_pj, cycles: of every network.
        error: why some network cannot run on it; "" where all do.
    """

    number: int
    energy_pj: tuple[float, ...] = ()
    cycles: tuple[float, ...] = ()
    error: str = ""


class Pricer:
    """Prices networks on the designs of a space.

    Args:
        space: of the chip.
        graphs: of the networks.
        optimize: what mappings minimise.
        widths: of every layer.
        fuse: as for `hwmodel.evaluate`.
    """

    def __init__(
        self,
        space: DesignSpace,
        graphs: Sequence[LayerGraph],
        *,
        optimize: Objective = "energy",
        widths: Widths | None = None,
        fuse: bool = True,
    ) -> None:
        self.space, self.graphs, self.optimize, self.fuse = space, tuple(graphs), optimize, fuse
        self.widths = widths or Widths()
        self._library = Library()
        self._plans: dict[Any, tuple[Plan, ...]] = {}
        self._seen = 0

    # ---- before mapping ------------------------------------------------------------------------

    def look(self, number: int) -> Look:
        """What a combination is."""
        try:
            chip = self.space.design(number).accelerator
        except AcceleratorError as error:
            return Look(number=number, error=str(error))
        area, is_mapped = chip_area(chip), is_optimal(chip)
        # leakage weighs cycles against energy where tensors stay: then wider ports need not take fewer cycles
        has_kin = is_mapped and not (chip.leakage_w and chip.keeper is not None)
        is_monotone = is_mapped and chip.keeper is None and not chip.leakage_w and not chip.clock_pj
        like = _unbounded(chip, sizes=False).fingerprint if has_bounds(chip) else ""
        return Look(
            number=number,
            area_mm2=area.mm2,
            unknown=area.unknown,
            clock_hz=chip.clock_hz,
            room=room_of(chip),
            kin=like if has_kin else "",
            like=like,
            family=_unbounded(chip, sizes=True).fingerprint if is_monotone else "",
            outline=kin_of(chip).outline if has_bounds(chip) else chip.fingerprint,
        )

    def look_at(self, numbers: Sequence[int]) -> list[Look]:
        """What some combinations are."""
        return [self.look(number) for number in numbers]

    def least(self, number: int, most: Mapping[str, Widest]) -> tuple[Least, ...]:
        """What every network costs at least on a combination, and on all that are `like` it.

        Args:
            number: of a combination that is a chip.
            most: that any design of the space has of every memory.

        Returns:
            A bound for each network; () where one does not run, as `price` will say.

        Raises:
            ConfigError: something is asked for that no chip has a part in.
        """
        wide = widened(self.space.design(number).accelerator, most, sizes=False)
        try:
            with sharing_chips(self._library):
                return tuple(least_of_network(plan, wide) for plan in self._plans_of(wide))
        except ON_A_CHIP:
            return ()

    def _plans_of(self, chip: Accelerator) -> tuple[Plan, ...]:
        """Plans of the networks: they see of a chip what no size changes."""
        key = kin_of(chip).outline
        if key not in self._plans:
            self._plans[key] = tuple(
                Plan.of(self.widths.on(graph, chip), chip, fuse=self.fuse) for graph in self.graphs
            )
        return self._plans[key]

    # ---- costs ---------------------------------------------------------------------------------

    def price(self, number: int) -> Price:
        """What every network costs on a combination that is a chip.

        Raises:
            ConfigError: something is asked for that no chip has a part in.
        """
        chip = self.space.design(number).accelerator
        self._forget()
        energy, cycles = [], []
        try:
            with sharing_chips(self._library):
                for graph in self.graphs:
                    cost = evaluate(self.widths.on(graph, chip), chip, optimize=self.optimize, fuse=self.fuse)
                    energy.append(cost.energy_pj)
                    cycles.append(float(cost.cycles))
        except ON_A_CHIP as error:
            return Price(number=number, error=str(error))
        return Price(number=number, energy_pj=tuple(energy), cycles=tuple(cycles))

    def _forget(self) -> None:
        """What is kept by chip serves no other; the library goes on."""
        self._seen += 1
        if self._seen % FORGET_AFTER == 0:
            forget_mappings()


def room_of(chip: Accelerator) -> dict[str, Widest]:
    """Size and bandwidths of every memory, infinite where it has none."""
    return {
        name: Widest(*(
            math.inf if value is None else value
            for value in (
                memory.size_bits, memory.read_bits_per_cycle, memory.write_bits_per_cycle,
                memory.network_bits_per_cycle,
            )
        ))
        for name, memory in chip.memories().items()
    }  # fmt: skip


def widest(rooms: Iterable[Mapping[str, Widest]]) -> dict[str, Widest]:
    """The most that any of some chips has of every memory."""
    found: dict[str, Widest] = {}
    for room in rooms:
        for name, own in room.items():
            found[name] = Widest(*map(max, own, found.get(name, own)))
    return found


def _unbounded(chip: Accelerator, *, sizes: bool) -> Accelerator:
    """The chip without bandwidths, and if wanted without sizes."""
    endless = Widest(math.inf, math.inf, math.inf, math.inf)
    return widened(chip, dict.fromkeys(chip.memories(), endless), sizes=sizes)
