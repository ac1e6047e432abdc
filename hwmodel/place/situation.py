"""One layer between its neighbours: what its price in a network depends on, and that price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.shared import map_and_price
from hwmodel.nest.task import ALONE, Stay, Task
from hwmodel.network.layer import Density, Layer, Operand
from hwmodel.place.plan import Plan


class Situation(NamedTuple):
    """One layer in a network, as it is priced; the defaults are those of a layer alone.

    Attributes:
        layer: with all its widths, that of its outputs included.
        stay: of its operands.
        unwritten: fraction of its finished outputs that no memory sees: a pool behind it reduces them.
        on_chip: operands that no memory sees: the scores of an attention that is one kernel.
        last: it is the last of the network.
        rows: of its outputs that it makes at a time, in a group of layers; 0: it runs whole.
    """

    layer: Layer
    stay: Stay = ALONE
    unwritten: Fraction = Fraction(0)
    on_chip: tuple[Operand, ...] = ()
    last: bool = True
    rows: int = 0


def ahead_cycles(plan: Plan, index: int, accelerator: Accelerator) -> int:
    """Cycles of the layer before one of a plan, and of the operations between them; 0 where no weights are fetched
    ahead.

    The layer is taken dense and at the chip's own widths, whatever a configuration says, so that what a layer costs
    does not depend on the choices of another.
    """
    if index == 0 or not accelerator.timing.fetches_ahead:
        return 0
    before = plan.layers[index - 1].with_bits(None).with_density(Density())
    since, until = (plan.works[n].step for n in (index - 1, index))
    between = sum(vector.cycles for vector in plan.vectors if vector.waits and since < vector.step < until)
    return map_and_price(Task.of(before, accelerator), "energy")[1].compute_cycles + int(between)


class Price(NamedTuple):
    """What a situation costs: energy [pJ], cycles, and the room that its tiles need [bit]."""

    energy_pj: float
    cycles: float
    room_bits: float


def outside(plan: Plan, index: int, layer: Layer, accelerator: Accelerator, i_bits: int, o_bits: int) -> Situation:
    """A layer of a plan that runs whole, its operands outside.

    Args:
        plan, index: where it stands.
        layer: at one of its choices.
        accelerator: its.
        i_bits, o_bits: widths at which its input lies, and its output is written [bit].
    """
    task, work = Task.of(layer, accelerator), plan.works[index]
    bits = task.layer.bits
    assert bits is not None
    return Situation(
        layer=task.layer.with_bits(replace(bits, o=o_bits)),
        stay=Stay(
            i_bits=None if i_bits == task.widths.i else i_bits, ahead_cycles=ahead_cycles(plan, index, accelerator)
        ),
        unwritten=work.unwritten,
        on_chip=work.on_chip,
        last=index == len(plan.layers) - 1,
    )
