"""A plan, and what may be chosen of its layers, in the numbers that the kernel wants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Memory, Widths
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.nest.task import Task, rooms_of
from hwmodel.network.layer import Layer
from hwmodel.place.groups import Group
from hwmodel.place.pinning import Weights
from hwmodel.place.plan import Plan
from hwmodel.place.stripes import FIELDS, Groups
from hwmodel.place.tables import BIRTH, CLOSE, DEATH, LAYER, OPEN, VECTOR, Program
from hwmodel.price.load import weight_bits
from hwmodel.price.vector import UNKNOWN


def program_of(plan: Plan, accelerator: Accelerator, weights: Floats) -> tuple[Program, Groups]:
    """The program of a plan, and its groups.

    Args:
        plan, accelerator: the network, and the chip.
        weights: (L, C) what the weights of every layer and choice take of the resident memory [bit].
    """
    steps, slots = _steps(plan)
    keeper = accelerator.keeper
    outer = accelerator.outermost if accelerator.levels else None
    asked = [
        (n, plan.index[name], int(operand == "W"))
        for n, tensor in enumerate(plan.tensors)
        for name, operand in tensor.asked
    ]
    inputs = [(n, tensor) for n, work in enumerate(plan.works) for tensor in work.inputs]
    moves = [
        (n, way, tensor, elements)
        for n, vector in enumerate(plan.vectors)
        for way, items in enumerate((vector.reads, vector.writes))
        for tensor, elements in items
    ]
    pj, launch = accelerator.vector.pj_per_op, accelerator.vector.launch_cycles
    work = [(v.cycles, launch) if v.waits else (0.0, 0.0) for v in plan.vectors]
    still = np.zeros((len(plan.layers), 2))
    for vector, (compute, start) in zip(plan.vectors, work, strict=True):
        still[vector.owner, 0] += vector.operations * pj
        still[vector.owner, 1] += 0.0 if vector.moves else math.ceil(compute + start)
    program = Program(
        steps=steps,
        elements=np.array([tensor.elements for tensor in plan.tensors], dtype=np.float64),
        slot=np.array(slots, dtype=np.int64),
        maker=np.array([plan.index.get(tensor.maker, -1) for tensor in plan.tensors], dtype=np.int64),
        asked=_table(asked, 3),
        first_asked=_starts([row[0] for row in asked], len(plan.tensors)),
        inputs=_table(inputs, 2),
        first_input=_starts([row[0] for row in inputs], len(plan.layers)),
        i_mask=_masks([work.inputs for work in plan.works], slots),
        w_mask=_masks([work.weights for work in plan.works], slots),
        output=np.array([UNKNOWN if w.output is None else w.output for w in plan.works], dtype=np.int64),
        moves=_table(moves, 4),
        first_move=_starts([row[0] for row in moves], len(plan.vectors)),
        owner=np.array([vector.owner for vector in plan.vectors], dtype=np.int64),
        work=np.array(work, dtype=np.float64).reshape(-1, 2),
        still=still,
        memories=np.array([_memory(outer), _memory(keeper)], dtype=np.float64),
        rooms=np.array(rooms_of(keeper) if keeper is not None else [math.inf], dtype=np.float64),
        size=float(keeper.size_bits or math.inf) if keeper is not None else math.inf,
        native=accelerator.native_bits.i,
        leakage=np.array(list(accelerator.leakage_pj.values()), dtype=np.float64),
    )
    return program, _groups(plan, steps, slots, weights)


def weights_of(plan: Plan, bits: Floats) -> Weights:
    """The weights of a plan that may stay.

    bits: (L, C) stored weights of every layer and choice in the resident memory [bit].
    """
    first = np.full(len(plan.layers), -1, dtype=np.int64)
    for readers in plan.stored:
        first[list(readers)] = readers[0]
    shared = [readers[0] for readers in plan.stored if len(readers) > 1]
    return Weights(bits, first, np.array(shared, dtype=np.int64))


def _groups(plan: Plan, steps: Ints, slots: Sequence[int], weights: Floats) -> Groups:
    """The groups of a plan, by their ends."""
    found = sorted(plan.groups, key=lambda group: group.end)
    begins, ends = _begins(plan), _ends(plan)
    most = max((group.last - group.first + 1 for group in found), default=1)
    options = [(n, stripes) for n, group in enumerate(found) for stripes in group.stripes]
    first_option = _starts([n for n, _ in options], len(found))
    numbers = [
        (begins.index(group.begin), group.first, group.last - group.first + 1,
         -1 if group.output is None else group.output, _dying(plan, group, slots), first_option[n],
         first_option[n + 1], *_vectors(plan, group))
        for n, group in enumerate(found)
    ]  # fmt: skip
    rows = {kind: [n for n, step in enumerate(steps) if step[0] == kind] for kind in (OPEN, CLOSE)}
    before = [(int(steps[n, 2]), n) for n in rows[OPEN]]
    after = [int(steps[n, 2]) for n in rows[CLOSE]]
    places = {rows: n for n, rows in enumerate(plan.heights)}
    return Groups(
        groups=_table(numbers, FIELDS),
        inner=_filled([group.inner for group in found], most),
        group=np.array([n for n, _ in options], dtype=np.int64),
        heights=_filled([[places[rows] for rows in stripes.rows] for _, stripes in options], most),
        lines=_filled([stripes.lines for _, stripes in options], most).astype(np.float64),
        first_group=_starts([ends.index(group.end) for group in found], len(ends)),
        opened=_table([(sum(count for count, _ in before[:n]), *at) for n, at in enumerate(before)], 3),
        closed=np.array([sum(after[:n]) for n in range(len(after))], dtype=np.int64),
        weights=weights,
    )


def _begins(plan: Plan) -> list[int]:
    return sorted({group.begin for group in plan.groups})


def _ends(plan: Plan) -> list[int]:
    return sorted({group.end for group in plan.groups})


def _dying(plan: Plan, group: Group, slots: Sequence[int]) -> int:
    """Mask of the slots of the tensors that are alive at the begin of a group and die in it."""
    return sum(
        1 << slots[n]
        for n, tensor in enumerate(plan.tensors)
        if slots[n] >= 0 and tensor.birth < group.begin <= tensor.death <= group.end
    )


def _vectors(plan: Plan, group: Group) -> tuple[int, int]:
    """First and last of the operations in a group."""
    inside = [n for n, vector in enumerate(plan.vectors) if group.begin <= vector.step <= group.end]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _filled(rows: Sequence[Sequence[int]], columns: int) -> Ints:
    """Rows of unequal length, filled with zeros."""
    return _table([(*row, *[0] * (columns - len(row))) for row in rows], columns)


def _steps(plan: Plan) -> tuple[Ints, list[int]]:
    """Rows of `Program.steps`, and the slot of every tensor: at each node births, what runs there, then deaths."""
    happens: dict[int, list[tuple[int, int]]] = {}
    kinds = (
        (OPEN, _begins(plan)),
        (BIRTH, [tensor.birth for tensor in plan.tensors]),
        (LAYER, [work.step for work in plan.works]),
        (VECTOR, [vector.step for vector in plan.vectors]),
        (DEATH, [tensor.death for tensor in plan.tensors]),
        (CLOSE, _ends(plan)),
    )
    for kind, step_of in kinds:
        for index, step in enumerate(step_of):
            if kind != VECTOR or plan.vectors[index].moves:
                happens.setdefault(step, []).append((kind, index))
    rows: list[tuple[int, int, int]] = []
    slots, taken = [-1] * len(plan.tensors), set[int]()
    for step in sorted(happens):
        for kind, index in happens[step]:
            if kind == BIRTH and index in plan.movable:
                slots[index] = next(n for n in range(len(taken) + 1) if n not in taken)
                taken.add(slots[index])
            if kind == DEATH and index in plan.movable:
                taken.remove(slots[index])
            rows.append((kind, index, 1 << (max(taken, default=-1) + 1)))
    return _table(rows, 3), slots


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


def _starts(keys: Sequence[int], count: int) -> Ints:
    """Where the rows of each key begin, and their number at the end; the keys rise."""
    return np.searchsorted(np.array(keys, dtype=np.int64), np.arange(count + 1)).astype(np.int64)


def _masks(tensors: Sequence[tuple[int, ...]], slots: Sequence[int]) -> Ints:
    """Mask of the slots of some tensors; 0 where there are none, or one has no slot."""
    masks = [0 if any(slots[n] < 0 for n in group) else sum({1 << slots[n] for n in group}) for group in tensors]
    return np.array(masks, dtype=np.int64)


def _memory(memory: Memory | None) -> Floats:
    """Columns READ_PJ to SHARED; one that is not there costs nothing."""
    if memory is None:
        return np.array([0.0, 0.0, math.inf, math.inf, 0.0])
    return np.array(
        [memory.read_pj_per_bit, memory.write_pj_per_bit, memory.read_bits_per_cycle or math.inf,
         memory.write_bits_per_cycle or math.inf, float(memory.shared_port)]
    )  # fmt: skip


def widths_of(options: Sequence[Sequence[Layer]], accelerator: Accelerator) -> Ints:
    """Widths of w, i and, where a layer fixes it, o at every choice. (L, C, 3)"""
    widths = np.zeros((len(options), max((len(found) for found in options), default=1), 3), dtype=np.int64)
    for n, found in enumerate(options):
        for c, layer in enumerate(found):
            own: Widths = accelerator.resolve_bits(layer.bits, layer.reduction)
            fixed = 0 if layer.bits is None else layer.bits.o or 0
            widths[n, c] = own.w, own.i, fixed
    return widths


def group_weights(plan: Plan, options: Sequence[Sequence[Layer]], accelerator: Accelerator) -> Floats:
    """What the weights of a layer at a choice take of the resident memory; infinite where it holds none. (L, C)"""
    bits = np.full((len(options), max((len(found) for found in options), default=1)), np.inf)
    keeper = accelerator.keeper
    if keeper is None or "W" not in keeper.holds:
        return bits
    for n in {n for group in plan.groups for n in range(group.first, group.last + 1)}:
        for c, layer in enumerate(options[n]):
            task = Task.of(layer, accelerator).without_removed_filters()
            bits[n, c] = weight_bits(task, keeper, task.layer.elements("W"))
    return bits


def stored_weights(plan: Plan, options: Sequence[Sequence[Layer]], accelerator: Accelerator) -> Floats:
    """What the weights of a layer at a choice take of the resident memory while they stay. (L, C)"""
    bits = np.zeros((len(options), max((len(found) for found in options), default=1)))
    if (keeper := accelerator.keeper) is not None:
        for n in {n for readers in plan.stored for n in readers}:
            for c, layer in enumerate(options[n]):
                task = Task.of(layer, accelerator).without_removed_filters()
                bits[n, c] = weight_bits(task, keeper, task.layer.weights)
    return bits
