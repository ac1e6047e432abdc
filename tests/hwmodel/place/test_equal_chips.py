"""A chip that was loaded once more is the same chip."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodel import evaluate, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.shared import forget_mappings
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import Bits, Layer
from tests.search.helpers import make_graph

#: Chips whose axes are as long as the widths have it.
FITTED = ["bitfusion", "jia_cim"]


def anew(name: str) -> Accelerator:
    """The chip made of new objects."""
    chip = load_accelerator(name)
    levels = (replace(level, memories=tuple(map(replace, level.memories))) for level in chip.levels)
    return replace(chip, levels=tuple(levels))


@pytest.mark.parametrize("name", FITTED)
def test_the_view_of_a_task_has_the_memories_of_its_own_chip(name: str) -> None:
    layer = Layer(name="x", dims={"K": 8, "C": 8}, bits=Bits(w=4, i=4))
    for _ in range(2):
        chip = anew(name)
        view = array_view(Task.of(layer, chip))
        assert view.accelerator.axes != chip.axes
        assert view.accelerator.levels is chip.levels


def test_it_costs_the_same() -> None:
    """In 1 KiB some tensors of the network stay, and others find no room beside the tiles."""
    costs = []
    for _ in range(2):
        chip = anew("jia_cim")
        assert chip.keeper is not None and chip.keeper.resident == ("I", "O")
        levels = tuple(
            replace(
                level, memories=tuple(replace(m, size_bits=8192.0) if m.resident else m for m in level.memories)
            )
            for level in chip.levels
        )
        forget_mappings()
        cost = evaluate(make_graph(), replace(chip, levels=levels))
        costs.append((cost.energy_pj, cost.cycles))
    assert costs[0] == costs[1]
