"""One network placed: the situation of every layer, where every tensor lies, and which layers run in stripes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.free import Objective
from hwmodel.nest.task import Stay, Task
from hwmodel.place.groups import Group, Stripes
from hwmodel.place.placer import Placer
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Price, Situation, outside
from hwmodel.price.load import weight_load
from hwmodel.price.results import FusedGroup, TensorPlace, WeightLoad
from hwmodel.price.vector import VectorCost, vector_cost


@dataclass(frozen=True)
class PlacedNetwork:
    """One network, placed.

    Attributes:
        situations: of every layer.
        bits: width of every tensor [bit].
        inside: it lies in the resident memory whole.
        groups: that run in stripes.
        pinned: indices of the layers that find their weights in the resident memory, since these stay there.
    """

    situations: tuple[Situation, ...]
    bits: tuple[int, ...]
    inside: tuple[bool, ...]
    groups: tuple[tuple[Group, Stripes], ...] = ()
    pinned: frozenset[int] = frozenset()

    @property
    def lines(self) -> dict[int, int]:
        """Tensor inside a group -> its line buffer [bit]."""
        return {
            tensor: elements * self.bits[tensor]
            for group, stripes in self.groups
            for tensor, elements in zip(group.inner, stripes.lines, strict=True)
        }

    def tensors(self, plan: Plan, accelerator: Accelerator) -> tuple[TensorPlace, ...]:
        """Where the tensors of the plan lie."""
        if not accelerator.levels:
            return ()
        outer, keeper, lines = accelerator.outermost.name, accelerator.keeper, self.lines
        lives = self._lives(plan)
        return tuple(
            TensorPlace(
                name=tensor.name,
                bits=lines.get(n, tensor.elements * bits),
                width=bits,
                memory=keeper.name if keeper is not None and (inside or n in lines) else outer,
                birth=birth,
                death=death,
            )
            for n, (tensor, bits, inside, (birth, death)) in enumerate(
                zip(plan.tensors, self.bits, self.inside, lives, strict=True)
            )
        )

    def _lives(self, plan: Plan) -> list[tuple[int, int]]:
        """First and last step of every tensor: stripes take turns, so what a group makes or reads stays."""
        lives = [(tensor.birth, tensor.death) for tensor in plan.tensors]
        for group, _ in self.groups:
            lives = [
                (
                    group.begin if group.begin <= birth <= group.end else birth,
                    group.end if group.begin <= death <= group.end else death,
                )
                for birth, death in lives
            ]
        return lives

    def peak_bits(self, plan: Plan) -> int:
        """The most that is alive at once [bit]: of a group its line buffers, its output and all from before it."""
        lines = self.lines
        bits = [0 if n in lines else width for n, width in enumerate(self.bits)]
        peak = plan.alive.peak_bits(bits)
        for group, _ in self.groups:
            alive = {*plan.alive.steps[group.begin], *(() if group.output is None else (group.output,))}
            whole = sum(plan.tensors[n].elements * bits[n] for n in alive)
            peak = max(peak, whole + sum(lines[n] for n in group.inner))
        return peak

    def fused(self, plan: Plan) -> tuple[FusedGroup, ...]:
        """The groups that run in stripes, as results say them."""
        lines = self.lines
        return tuple(
            FusedGroup(
                layers=tuple(layer.name for layer in plan.layers[group.first : group.last + 1]),
                tensors=tuple(plan.tensors[n].name for n in group.inner),
                stripes=stripes.count,
                rows=stripes.rows,
                line_bits=tuple(lines[n] for n in group.inner),
                weights_on_chip="W" in self.situations[group.first].stay.resident,
            )
            for group, stripes in self.groups
        )

    def load(self, plan: Plan, accelerator: Accelerator) -> WeightLoad | None:
        """What it takes to load the weights that stay, each once; None where none do."""
        tasks = [Task.of(item.layer, accelerator).without_removed_filters() for item in self.situations]
        stay = [readers for readers in plan.stored if self.pinned.intersection(readers)]
        names = tuple(plan.layers[n].name for n in sorted(self.pinned))
        return weight_load(names, [[tasks[n] for n in readers] for readers in stay], accelerator) if stay else None


def place_network(
    plan: Plan, accelerator: Accelerator, optimize: Objective, price: Callable[[Situation], Price]
) -> PlacedNetwork:
    """The best placement of a network as it is annotated.

    Raises:
        MappingError: some layer fits nowhere.
    """
    tasks = [Task.of(layer, accelerator) for layer in plan.layers]
    bits = plan.tensor_bits(plan.layers, [task.widths for task in tasks], accelerator.native_bits.i)
    inside, stays = [False] * len(plan.tensors), [Stay()] * len(plan.layers)
    chosen: dict[int, int] = {}
    pinned: frozenset[int] = frozenset()
    if plan.movable or plan.stored:
        placer = Placer(plan, accelerator, optimize, [[layer] for layer in plan.layers], price)
        placer.begin()
        placed = placer.run(np.zeros((1, len(plan.layers)), dtype=np.int64))
        inside = [bool(value) for value in placed.inside[0]]
        stays = [placer.stay(where, Stay()) for where in placed.where[0].tolist()]
        chosen = {n: option for n, (*_, option) in enumerate(placed.where[0].tolist()) if option >= 0}
        may_stay = {n for readers in plan.stored for n in readers}
        pinned = frozenset(n for n in may_stay if "W" in stays[n].resident and n not in chosen)
    situations = []
    for n, (task, work) in enumerate(zip(tasks, plan.works, strict=True)):
        i_bits = max((bits[tensor] for tensor in work.inputs), default=task.widths.i)
        o_bits = task.widths.o if work.output is None else bits[work.output]
        found = outside(plan, n, plan.layers[n], accelerator, i_bits, o_bits)
        rows = 0
        if n in chosen:
            group, stripes = plan.options[chosen[n]]
            rows = stripes.rows[n - group.first]
        situations.append(
            found._replace(
                stay=found.stay._replace(resident=stays[n].resident, room_bits=stays[n].room_bits), rows=rows
            )
        )
    groups = tuple(plan.options[option] for option in dict.fromkeys(chosen.values()))
    return PlacedNetwork(tuple(situations), tuple(bits), tuple(inside), groups, pinned)


def vector_costs(plan: Plan, accelerator: Accelerator, placed: PlacedNetwork) -> dict[int, VectorCost]:
    """Index of a layer -> cost of the vector operations that it owns."""
    costs: dict[int, VectorCost] = {}
    for work in plan.vectors:
        own = Task.of(plan.layers[work.owner], accelerator).widths.o
        cost = vector_cost(work, placed.bits, placed.inside, own, accelerator)
        costs[work.owner] = costs.get(work.owner, VectorCost()) + cost
    return costs
