"""Candidates placed and priced: the kernel over tables of prices that are filled as candidates ask for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper import ahead
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.free import OBJECTIVES, Objective
from hwmodel.mapper.shared import bound_mapping, remembered
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import Layer, Operand
from hwmodel.network.stripes import stripes
from hwmodel.place import division, kernel
from hwmodel.place.hopes import BOUNDS_LESS, FLOORS, IS_SHARP, LEAST_CYCLES, LEAST_PJ, NEARLY
from hwmodel.place.pinning import UNITS, Pins
from hwmodel.place.plan import Plan
from hwmodel.place.program import group_weights, program_of, stored_weights, weights_of, widths_of
from hwmodel.place.situation import Price, Situation, outside
from hwmodel.place.stripes import Striped, Trials
from hwmodel.place.tables import CLOSE, OPEN, Block, Choices
from hwmodel.place.telling import BOUND, FLOOR, I_INSIDE, MISSING, O_INSIDE, ROW, STRIPE, W_INSIDE
from hwmodel.price.sparsity import useful_zeros
from hwmodel.price.stripes import least

#: Missing prices that are told at once, and rows of prices that there is room for at first.
TOLD, ROOM = 1 << 16, 256
#: Candidates that go through the kernel together.
BLOCK = 64
#: States where groups begin or end, times candidates, that are remembered together.
STATES = 1 << 22
#: How a network may be placed: layers whole; some in stripes; with weights that may stay.
PLAIN, FUSED, STORED, WAYS = range(4)
_WIDTHS = 65
#: Room for candidates that go through a kernel together.
_Room = tuple[Block, Trials, Pins]
#: Ways whose kernels were asked for in this process.
_begun: set[int] = set()


@dataclass(frozen=True)
class Placed:
    """Candidates, placed and priced.

    Attributes:
        totals: (n, 3) energy [pJ], cycles, peak of the activations [bit].
        inside: (n, T) 1 where a tensor lies in the resident memory.
        where: (n, L, 3) situation and room of every layer, as the kernel counts them, and its option in
            `Plan.options`, -1 where it runs whole.
    """

    totals: Floats
    inside: Ints
    where: Ints


class Placer:
    """Places candidates of one network on one accelerator.

    Args:
        plan: of the network.
        accelerator: its.
        optimize: what placements minimise; for `edp` the sum of the products of every layer and operation.
        options: per layer of the plan, the layer at each of its choices.
        price: of a situation. MappingError: nothing fits.
        sharpens: the mapper's bounds are asked for before prices; not where those cost as little.
    """

    def __init__(
        self,
        plan: Plan,
        accelerator: Accelerator,
        optimize: Objective,
        options: Sequence[Sequence[Layer]],
        price: Callable[[Situation], Price],
        *,
        sharpens: bool = True,
    ) -> None:
        self.plan, self.accelerator, self.options, self.price = plan, accelerator, options, price
        self._sharpens = sharpens
        self.objective = OBJECTIVES.index(optimize)
        self.widths = widths_of(options, accelerator)
        self.program, self.groups = program_of(plan, accelerator, group_weights(plan, options, accelerator))
        self.weights = weights_of(plan, stored_weights(plan, options, accelerator))
        self._bits = sorted({int(w) for w in np.unique(self.widths) if w} | {accelerator.native_bits.i})
        place = np.full(_WIDTHS, -1, dtype=np.int64)
        place[self._bits] = range(len(self._bits))
        self.place = place
        count, most = self.widths.shape[:2]
        self.rows: Ints = np.full((count, most, len(self._bits), len(self._bits)), -1, dtype=np.int64)
        situations = 8 if accelerator.keeper is not None else 1
        self.prices: Floats = np.full((ROOM, situations, len(self.program.rooms), 2), np.nan)
        self.striped: Ints = np.full((ROOM, len(plan.heights)), -1, dtype=np.int64)
        self.floors: Floats = np.full((ROOM, situations, FLOORS), np.nan)
        self._stays = [self.stay((situation, 0), Stay()).resident for situation in range(situations)]
        self._situations: list[Situation] = []
        self._row_of: dict[Any, int] = {}

    def begin(self) -> None:
        """Start other processes that compile what is kept nowhere of the kernels that map and place the network."""
        ahead.begin(self.accelerator)
        if self._way not in _begun:
            _begun.add(self._way)
            ahead.start(self._example(self._way))

    def run(self, picks: Ints) -> Placed:
        """Place and price candidates. picks: (n, L) choice of every layer."""
        together = max(1, min(len(picks), BLOCK, STATES // max(*self._remembered(), 1)))
        room = self._room(UNITS + 1 if self.plan.stored else together)
        placed, left, missing = (
            self._unplaced(len(picks)),
            np.arange(len(picks)),
            np.zeros((TOLD, MISSING), np.int64),
        )
        while len(left):
            found = self._unplaced(len(left))
            call = self._call(self._way, room, picks[left], found, missing)
            ahead.wait(call.kernel)
            told = call.kernel(*call.arguments)
            placed.totals[left], placed.inside[left], placed.where[left] = found.totals, found.inside, found.where
            left = left[np.isnan(found.totals[:, 0])]  # some price of theirs is not known yet
            for row in np.unique(missing[: min(told, TOLD)], axis=0) if len(left) else ():
                self._fill(*(int(value) for value in row))
        return placed

    @cached_property
    def _share(self) -> float:
        """What a layer in stripes costs at least, of the floor of the whole: nothing where small parts compress
        better."""
        memories = self.accelerator.memories().values()
        return 0.0 if any({"I", "O"} & set(memory.compressed) for memory in memories) else 1.0

    def calls(self) -> tuple[ahead.Call, ...]:
        """Each way to place, with arguments of the types that it is called with."""
        return tuple(self._example(way) for way in range(WAYS))

    def _example(self, way: int) -> ahead.Call:
        picks, missing = np.zeros((1, len(self.plan.layers)), np.int64), np.zeros((1, MISSING), np.int64)
        return self._call(way, self._room(1), picks, self._unplaced(1), missing)

    def _call(self, way: int, room: _Room, picks: Ints, placed: Placed, missing: Ints) -> ahead.Call:
        block, trials, pins = room
        choices = Choices(self.widths, self.place, self.rows, self.prices, self.floors)
        striped = Striped(self.striped, self._share)
        filled = (placed.totals, placed.inside, placed.where, missing)
        if way == STORED:
            pinning = (self.program, self.groups, choices, striped, self.weights, block, trials, pins)
            return ahead.Call(division.evaluate, (*pinning, self.objective, picks, *filled))
        groups, stripes, tried = (self.groups, striped, trials) if way == FUSED else (None, None, None)
        whole = (self.program, groups, choices, stripes, block, tried)
        return ahead.Call(kernel.evaluate, (*whole, self.objective, picks, *filled))

    @cached_property
    def _way(self) -> int:
        """How this network is placed."""
        return STORED if self.plan.stored else FUSED if self._may_fuse else PLAIN

    def _unplaced(self, count: int) -> Placed:
        """Room for the results of so many candidates."""
        layers, tensors = len(self.plan.layers), len(self.plan.tensors)
        return Placed(
            np.zeros((count, 3)), np.zeros((count, tensors), np.int64), np.zeros((count, layers, 3), np.int64)
        )

    def _room(self, count: int) -> _Room:
        return self._block(count), self._trials(count), self._pins(count)

    @cached_property
    def _may_fuse(self) -> bool:
        """Some group may be tried at some widths: what is alive and what a layer in it moves may not fit."""
        bits = [tensor.elements * self._bits[-1] for tensor in self.plan.tensors]
        pairs = [pair for group in self.plan.groups for pair in pairwise((group.inner[0], *group.inner))]
        widest = max((sum(bits[n] for n in {*pair}) for pair in pairs), default=0)
        alive = max((sum(bits[n] for n in step) for step in self.plan.alive.steps), default=0)
        return bool(widest) and alive + widest > self.program.size

    def _block(self, count: int) -> Block:
        """Room for so many candidates."""
        layers, tensors, states = len(self.plan.layers), len(self.plan.tensors), self._most_states()
        return Block(
            bits=np.zeros((tensors, count), np.int64),
            sizes=np.zeros((tensors, count)),
            own=np.zeros((layers, count), np.int64),
            rows=np.zeros((layers, count), np.int64),
            lacks=np.zeros(count, np.bool_),
            scores=np.zeros((states, count)),
            ties=np.zeros((states, count)),
            used=np.zeros((states, count)),
            died=np.zeros((len(self.program.steps), states, count), np.bool_),
            inside=np.zeros((tensors, count), np.int64),
            parts=np.zeros((layers, 4, count)),
            moved=np.zeros((4, count)),
            cost=np.zeros((3, count)),
        )

    def _trials(self, count: int) -> Trials:
        """Room for the groups of so many candidates."""
        layers, tensors, begins, ends = len(self.plan.layers), len(self.plan.tensors), *self._remembered()
        return Trials(
            scores=np.zeros((begins, count)),
            ties=np.zeros((begins, count)),
            used=np.zeros((begins, count)),
            chosen=np.zeros((2, ends, count), np.int64),
            widest=np.zeros((len(self.groups.groups), count)),
            base=np.zeros((2, count)),
            tried=np.zeros(count, np.bool_),
            fused=np.zeros((layers, count), np.int64),
            streamed=np.zeros((tensors, count), np.bool_),
        )

    def _pins(self, count: int) -> Pins:
        """Room for weights that stay, of so many candidates or lanes."""
        layers = len(self.plan.layers)
        states = self._most_states() if self.plan.stored else 0
        return Pins(
            may=np.zeros(layers, np.int64),
            units=np.zeros(layers, np.int64),
            start=np.zeros(count),
            area=np.zeros(count),
            took=np.zeros((layers, states, count), np.bool_),
            pinned=np.zeros((layers, count), np.int64),
        )

    def _most_states(self) -> int:
        return int(self.program.steps[:, 2].max(initial=1))

    def _remembered(self) -> tuple[int, int]:
        """States that are remembered where groups begin, and where they end."""
        steps = self.program.steps
        return int(steps[steps[:, 0] == OPEN, 2].sum()), int(steps[steps[:, 0] == CLOSE, 2].sum())

    @property
    def places(self) -> bool:
        """Some tensor or weight may stay, so that a layer has many prices."""
        return bool(self.plan.movable or self.plan.stored)

    def prefill(self, layer: int, pick: int, i_bits: int, o_bits: int) -> None:
        """Price a layer at a choice between tensors of these widths, all outside, with all of the room."""
        self._add_row(layer, pick, i_bits, o_bits)
        row = int(self.rows[layer, pick, self.place[i_bits], self.place[o_bits]])
        if np.isnan(self.prices[row, 0, 0, 0]):
            self._add_price(row, 0, 0)

    def _fill(self, kind: int, *where: int) -> None:
        if kind == ROW:
            self._add_row(*where)
        elif kind == STRIPE:
            self._add_stripe(*where[:2])
        elif kind == FLOOR:
            self._add_floor(where[0])
        elif kind == BOUND:
            self._sharpen(*where[:2])
        else:
            self._add_price(*where[:3])

    def _add_row(self, layer: int, pick: int, i_bits: int, o_bits: int) -> None:
        """A row for a layer at a choice between tensors of these widths; layers that are alike share it."""
        situation = outside(self.plan, layer, self.options[layer][pick], self.accelerator, i_bits, o_bits)
        self.rows[layer, pick, self.place[i_bits], self.place[o_bits]] = self._row(situation)

    def _add_stripe(self, row: int, height: int) -> None:
        """A row for the layer of a row, in stripes of a height."""
        found = self._situations[row]._replace(rows=self.plan.heights[height])
        self.striped[row, height] = stripe = self._row(found)
        self._add_floor(stripe)

    def _add_floor(self, row: int) -> None:
        """What a row costs at least in every situation, and whether its price for a room bounds those for less.

        A mapping minimises the cost of all of its outputs, padded ones too: where some of them are left out of the
        price, it is no bound. Of stripes it is the parts of the sums that are minimal, not their product.
        """
        found = self._situations[row]
        task = Task.of(found.layer, self.accelerator).without_removed_filters()
        is_bound = not found.unwritten and (not found.rows or OBJECTIVES[self.objective] != "edp")
        what = (found.rows, found.unwritten, tuple(self._stays))
        self.floors[row, :, :BOUNDS_LESS] = remembered(
            task, what, lambda: least(task, found.rows, float(found.unwritten), self._stays)
        )
        self.floors[row, :, BOUNDS_LESS] = is_bound
        self.floors[row, :, IS_SHARP] = bool(found.unwritten) or not self._sharpens

    def _sharpen(self, row: int, situation: int) -> None:
        """The mapper's bounds of a row in a situation, with all of the room."""
        found, floor = self._situations[row], self.floors[row, situation]
        stay = self.stay((situation, 0), found.stay)
        task = Task.of(found.layer, self.accelerator, stay).without_removed_filters()
        task = task.with_density(useful_zeros(task))
        parts = stripes(task.layer, found.rows) if found.rows else ((task.layer, 1),)
        metrics: tuple[tuple[int, Objective, Objective], ...] = (
            (LEAST_PJ, "energy", "latency"), (LEAST_CYCLES, "latency", "energy")
        )  # fmt: skip
        for column, metric, other in metrics:
            if self.objective != OBJECTIVES.index(other):
                least = sum((bound_mapping(task.with_layer(part), metric) * n for part, n in parts), start=0.0)
                floor[column] = max(floor[column], least if metric == "latency" else least * NEARLY)
        floor[IS_SHARP] = 1

    def _row(self, situation: Situation) -> int:
        """The row of a situation; layers that are alike share it."""
        key = situation._replace(layer=self._alike(situation.layer))
        if key not in self._row_of:
            self._row_of[key] = len(self._situations)
            self._situations.append(situation)
            if len(self._situations) > len(self.prices):
                self.prices = np.concatenate((self.prices, np.full_like(self.prices, np.nan)))
                self.striped = np.concatenate((self.striped, np.full_like(self.striped, -1)))
                self.floors = np.concatenate((self.floors, np.full_like(self.floors, np.nan)))
        return self._row_of[key]

    def _alike(self, layer: Layer) -> Layer:
        """The layer without its names, and on chips with mappings without the zeros that save nothing there."""
        if self.accelerator.kind == "spatial":
            task = Task.of(layer, self.accelerator).without_removed_filters()
            layer = task.with_density(useful_zeros(task)).layer
        return layer.unnamed()

    def stay(self, where: Sequence[int], lies: Stay) -> Stay:
        """A situation and room of the kernel as the stay of a layer."""
        situation, room = where[:2]
        flags: tuple[tuple[Operand, int], ...] = (("W", W_INSIDE), ("I", I_INSIDE), ("O", O_INSIDE))
        return Stay(
            resident=tuple(operand for operand, flag in flags if situation & flag),
            room_bits=float(self.program.rooms[room]) if room else None,
            i_bits=lies.i_bits,
            ahead_cycles=lies.ahead_cycles,
        )

    def _add_price(self, row: int, situation: int, room: int) -> None:
        """The price of a row in a situation; it holds for every room down to the one that its tiles need."""
        found = self._situations[row]
        try:
            price = self.price(found._replace(stay=self.stay((situation, room), found.stay)))
        except MappingError:
            if not situation and not room:
                raise
            self.prices[row, situation, room:] = math.inf
            return
        self.prices[row, situation, room] = price.energy_pj, price.cycles
        for smaller in range(room + 1, len(self.program.rooms)):
            if self.program.rooms[smaller] < price.room_bits:
                break
            self.prices[row, situation, smaller] = price.energy_pj, price.cycles
