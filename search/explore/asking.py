"""What to look at next in a space too large to be listed, asked of an Optuna sampler as in a search of bits.

The ranges are the parameters; energy, latency and area the objectives. A design that lower bounds rule out, or that
is no chip, is answered at once and costs no trial. Every draw is a function of the seed and of what was answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import AcceleratorError, check_one_of
from hwmodel.place.lower import Widest
from search.explore.axes import Axes
from search.explore.field import FAILED, NO_AREA, NO_CHIP, OPEN, OUTSIDE, Field
from search.explore.pricing import room_of, widest
from search.explore.walk import Walker
from search.front.objective import Direction
from search.groups import AxisValue
from search.propose.asking import OptunaAsker
from search.seeds import derive_seed
from search.space import Point

#: Designs that are asked for together.
BATCH = 32
#: Batches in a row without a design to price, after which nothing more is expected.
DRY = 50
#: Of Optuna, by name; `front` models an accuracy, which no chip has.
SAMPLERS = ("nsga2", "tpe", "random")


@dataclass(frozen=True)
class _Range:
    """A range as a parameter: positions of its values."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class _Ranges:
    """The ranges as a space of points, as askers see one."""

    parameters: tuple[_Range, ...]
    size: int

    @classmethod
    def of(cls, space: DesignSpace) -> _Ranges:
        names = [" ".join(group) for group in space.groups]
        pairs = zip(names, space.sizes, strict=True)
        return cls(tuple(_Range(name, tuple(range(size))) for name, size in pairs), space.size)

    def indices(self, point: Point) -> tuple[int, ...]:
        return tuple(int(point[parameter.name]) for parameter in self.parameters)

    def point(self, indices: Sequence[int]) -> dict[str, AxisValue]:
        pairs = zip(self.parameters, indices, strict=True)
        return {parameter.name: int(index) for parameter, index in pairs}


@dataclass(frozen=True)
class _Answer:
    """A design that is decided, as askers see a result."""

    losses: tuple[float, ...]
    is_done: bool
    total: int = 0


@dataclass(frozen=True)
class _Axis:
    """One axis, as askers see an objective."""

    place: int
    direction: Direction = "minimize"

    def value(self, answer: _Answer) -> float:
        return answer.losses[self.place]


class Sampler:
    """Proposes designs, and hands those that need a price to a walker.

    Args:
        space: of the designs.
        walker: prices them.
        axes: of the comparison.
        name: of `SAMPLERS`.
        seed: of all draws.
        most: that any design has of every memory, as far as `most_of` finds it.
    """

    def __init__(
        self, space: DesignSpace, walker: Walker, axes: Axes, *, name: str, seed: int, most: Mapping[str, Widest]
    ) -> None:
        check_one_of("sampler", name, SAMPLERS)
        self._space, self._walker, self._most = space, walker, dict(most)
        self._ranges = _Ranges.of(space)
        self._columns = sorted({column for view in axes.views for column in view.columns})
        objectives = [_Axis(place) for place in range(len(self._columns))]
        self._asker = OptunaAsker(
            self._ranges, objectives, name, derive_seed(seed, "explore"), is_allowed=lambda _: True
        )

    def run(self, trials: int) -> Field:
        """Price so many designs, or as many as there are; those that are left of a batch before any others."""
        field, dry = self._walker.field, 0
        waiting: list[int] = []
        while (left := trials - field.num_priced) > 0 and dry < DRY:
            waiting = waiting or self._propose()
            if not waiting:
                break
            before = field.num_priced
            self._walker.price([number for number in waiting if self._is_open(number)][:left])
            dry = dry + 1 if field.num_priced == before else 0
            decided = [number for number in waiting if not self._is_open(number)]
            self._asker.observe([(self._point(number), self._answer(field, number)) for number in decided])
            waiting = [number for number in waiting if self._is_open(number)]
        return field

    def _propose(self) -> list[int]:
        """The next batch, with what bounds tell of it."""
        field = self._walker.field
        seen = frozenset(self._space.turn(look.number) for look in field.looks)
        points = self._asker.propose(BATCH, seen)
        numbers = [self._space.number(self._ranges.indices(point)) for point in points]
        self._walker.bound(self._walker.look(numbers), self._most)
        rows = np.array([field.row_of[number] for number in numbers], dtype=np.int64)
        field.rule_out(field.rows_on_fronts(), rows[field.state[rows] == OPEN])
        return numbers

    def _is_open(self, number: int) -> bool:
        field = self._walker.field
        return bool(field.state[field.row_of[number]] == OPEN)

    def _point(self, number: int) -> dict[str, AxisValue]:
        return self._ranges.point(self._space.turn(number))

    def _answer(self, field: Field, number: int) -> _Answer:
        """Of what was not priced its lower bounds: it is no better."""
        row = field.row_of[number]
        losses = field.losses(np.array([row]))[0, self._columns]
        is_done = field.state[row] not in (NO_CHIP, NO_AREA, FAILED, OUTSIDE)
        return _Answer(tuple(float(value) for value in losses), is_done)


def most_of(space: DesignSpace) -> dict[str, Widest]:
    """The most that the designs of a space have of every memory, where each range adds to it by itself.

    Every value of every range is tried with the first values of the others, then the values that gave the most of
    something together. Designs that have more are not bounded (`Walker.bound`).
    """
    base = [0] * len(space.sizes)
    turns = [base] + [
        [at if n == place else 0 for n in range(len(base))]
        for place, size in enumerate(space.sizes)
        for at in range(1, size)
    ]
    rooms = {tuple(turn): room for turn in turns if (room := _room(space, turn)) is not None}
    if not rooms:
        return {}
    fields = [(name, n) for name, own in next(iter(rooms.values())).items() for n in range(len(own))]
    found = list(rooms.values())
    for name, n in fields:
        best = list(base)
        for place in range(len(base)):
            along = {turn[place]: room[name][n] for turn, room in rooms.items() if not any(_others(turn, place))}
            best[place] = max(along, key=lambda at: along[at], default=0)
        room = _room(space, best)
        found += [] if room is None else [room]
    return widest(found)


def _others(turn: Sequence[int], place: int) -> list[int]:
    return [at for n, at in enumerate(turn) if n != place]


def _room(space: DesignSpace, turn: Sequence[int]) -> dict[str, Widest] | None:
    try:
        return room_of(space.design(space.number(turn)).accelerator)
    except AcceleratorError:
        return None
