"""One network placed: the situation of every layer, and where every tensor lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.free import Objective
from hwmodel.nest.task import Stay, Task
from hwmodel.place.placer import Placer, Price, Situation
from hwmodel.place.plan import Plan
from hwmodel.price.results import TensorPlace
from hwmodel.price.vector import VectorCost, vector_cost


@dataclass(frozen=True)
class PlacedNetwork:
    """One network, placed.

    Attributes:
        situations: of every layer.
        bits: width of every tensor [bit].
        inside: it lies in the resident memory.
    """

    situations: tuple[Situation, ...]
    bits: tuple[int, ...]
    inside: tuple[bool, ...]

    def tensors(self, plan: Plan, accelerator: Accelerator) -> tuple[TensorPlace, ...]:
        """Where the tensors of the plan lie."""
        if not accelerator.levels:
            return ()
        outer, keeper = accelerator.levels[-1].memories[0].name, accelerator.keeper
        return tuple(
            TensorPlace(
                name=tensor.name,
                bits=tensor.elements * bits,
                width=bits,
                memory=keeper.name if inside and keeper is not None else outer,
            )
            for tensor, bits, inside in zip(plan.tensors, self.bits, self.inside, strict=True)
        )


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
    placer = Placer(plan, accelerator, optimize, [[layer] for layer in plan.layers], price)
    if plan.movable:
        placed = placer.run(np.zeros((1, len(plan.layers)), dtype=np.int64))
        inside = [bool(value) for value in placed.inside[0]]
        stays = [placer.stay(where, Stay()) for where in placed.where[0].tolist()]
    situations = []
    for n, (task, work) in enumerate(zip(tasks, plan.works, strict=True)):
        i_bits = max((bits[tensor] for tensor in work.inputs), default=task.widths.i)
        o_bits = task.widths.o if work.output is None else bits[work.output]
        found = placer.situation(n, 0, i_bits, o_bits)
        situations.append(found._replace(stay=stays[n]._replace(i_bits=found.stay.i_bits)))
    return PlacedNetwork(tuple(situations), tuple(bits), tuple(inside))


def vector_costs(plan: Plan, accelerator: Accelerator, placed: PlacedNetwork) -> dict[int, VectorCost]:
    """Index of a layer -> cost of the vector operations that it owns."""
    costs: dict[int, VectorCost] = {}
    for work in plan.vectors:
        own = Task.of(plan.layers[work.owner], accelerator).widths.o
        cost = vector_cost(work, placed.bits, placed.inside, own, accelerator)
        costs[work.owner] = costs.get(work.owner, VectorCost()) + cost
    return costs
