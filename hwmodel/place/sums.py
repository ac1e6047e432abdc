"""What placed candidates cost, summed as results are: layer by layer, in the order of execution."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.place import stripes
from hwmodel.place.hopes import ask
from hwmodel.place.stripes import COUNT, FIRST, OUTPUT, Groups, Striped, Trials
from hwmodel.place.tables import (
    BIRTH,
    DEATH,
    LAYER,
    VECTOR,
    Block,
    Choices,
    Program,
    all_of,
    fill,
    run_vector,
    situation_at,
    zeros,
)
from hwmodel.place.telling import I_INSIDE, O_INSIDE, Told, room_of


@internal
def _sum_whole(
    program: Program, choices: Choices, block: Block, told: Told, layer: int, states: Ints, used: Floats,
    where: Ints, trials: Any, pins: Any,
) -> None:  # fmt: skip
    """A layer of the candidates for which it runs whole."""
    out, situation, room = program.output[layer], 0, 0
    o_mask = 1 << program.slot[out] if out >= 0 and program.slot[out] >= 0 else 0
    i_mask, w_mask = program.i_mask[layer], program.w_mask[layer]
    rooms, size, rows, energy = program.rooms, program.size, block.rows[layer], block.parts[layer, 0]
    prices = choices.prices
    for b in range(states.shape[0]):
        where[b, layer, 2] = -1
        if trials is not None:
            if trials.fused[layer, b] >= 0:
                continue
        if rooms.shape[0] > 1:
            situation = situation_at(i_mask, w_mask, o_mask, states[b])
            if pins is not None:
                situation |= pins.pinned[layer, b]
            room = room_of(rooms, size - used[b])
            where[b, layer, 0], where[b, layer, 1] = situation, room
        if rows[b] < 0:
            energy[b] = np.nan
            continue
        energy[b] = prices[rows[b], situation, room, 0]
        block.parts[layer, 3, b] += prices[rows[b], situation, room, 1]
        if np.isnan(energy[b]) and not block.lacks[b]:
            ask(choices, told, rows[b], situation, room)


@internal
def _sum_striped(
    program: Program, fusing: Groups, striped: Striped, choices: Choices, block: Block, trials: Trials, told: Told,
    picks: Ints, layer: int, states: Ints, used: Floats, rooms: Ints, where: Ints, b: int,
) -> None:  # fmt: skip
    """A layer that runs in stripes; rooms (B) are found at the first layer of a group."""
    code = trials.fused[layer, b]
    option, weights = code // 2, code % 2
    group = fusing.group[option]
    member, count, out = (
        layer - fusing.groups[group, FIRST],
        fusing.groups[group, COUNT],
        fusing.groups[group, OUTPUT],
    )
    inside = out >= 0 and block.inside[out, b] == 1
    if member == 0:
        taken = used[b] + (block.sizes[out, b] if inside else 0.0)
        rooms[b] = stripes.room_in(fusing, program.rooms, program.size, block.bits, picks, code, b, taken)
    mask = program.i_mask[layer]
    ends = (I_INSIDE if mask != 0 and states[b] & mask == mask else 0) | (O_INSIDE if inside else 0)
    situation = stripes.situation_of(member, count, ends, weights)
    where[b, layer, 0], where[b, layer, 1], where[b, layer, 2] = situation, rooms[b], option
    whole, parts = block.rows[layer, b], block.parts[layer]
    row = striped.rows[whole, fusing.heights[option, member]] if whole >= 0 else -1
    if row < 0:
        parts[0, b] = np.nan
        if whole >= 0 and not block.lacks[b]:
            stripes.ask_of_stripes(fusing, striped, told, whole, group, member)
        return
    parts[0, b] = choices.prices[row, situation, rooms[b], 0]
    parts[3, b] += choices.prices[row, situation, rooms[b], 1]
    if np.isnan(parts[0, b]) and not block.lacks[b]:
        ask(choices, told, row, situation, rooms[b])


@internal
def _lives(
    program: Program,
    block: Block,
    trials: Any,
    tensor: int,
    sign: int,
    states: Ints,
    used: Floats,
    alive: Floats,
) -> None:
    """A tensor is born (sign 1) or dies (-1); those inside a group lie nowhere whole."""
    for b in range(states.shape[0]):
        if trials is not None:
            if trials.streamed[tensor, b]:
                continue
        alive[b] += sign * block.sizes[tensor, b]
        if block.inside[tensor, b]:
            used[b] += sign * block.sizes[tensor, b]
            states[b] ^= 1 << program.slot[tensor]


@internal
def sum_up(
    program: Program, fusing: Any, striped: Any, choices: Choices, block: Block,
    trials: Any, pins: Any, told: Told, picks: Ints, totals: Floats, where: Ints,
) -> None:  # fmt: skip
    """Fills totals (B, 3) and where (B, L, 3).

    Energy is summed as results do: per layer its own, then that of its operations outside, inside and of their
    arithmetic, then what leaks in the cycles of both. Of a group the tensors alive at its begin, its line buffers
    and its output are alive at once.
    """
    count = totals.shape[0]
    states, used, alive, rooms = all_of(count, 0), zeros(count), zeros(count), all_of(count, 0)
    if pins is not None:
        for b in range(count):
            used[b] = pins.area[b]
    fill(totals, 0.0)
    for layer in range(block.parts.shape[0]):
        fill(block.parts[layer], 0.0)
    for n in range(program.steps.shape[0]):
        kind, index = program.steps[n, 0], program.steps[n, 1]
        if kind in (BIRTH, DEATH):
            _lives(program, block, trials, index, 1 if kind == BIRTH else -1, states, used, alive)
            for b in range(count):
                totals[b, 2] = max(totals[b, 2], alive[b])
        elif kind == LAYER:
            _sum_whole(program, choices, block, told, index, states, used, where, trials, pins)
            if fusing is not None:
                for b in range(count):
                    if trials.fused[index, b] >= 0:
                        _sum_striped(
                            program, fusing, striped, choices, block, trials, told, picks, index, states, used,
                            rooms, where, b,
                        )  # fmt: skip
                        group = _of_group(fusing, block, trials.fused[index, b] // 2, index, b)
                        totals[b, 2] = max(totals[b, 2], alive[b] + group)
        elif kind == VECTOR:
            run_vector(program, block, index, states)
            parts = block.parts[program.owner[index]]
            for k in range(3):
                for b in range(count):
                    parts[1 + k, b] += block.cost[k, b]
    _add_up(program, block, totals)


@internal
def _of_group(fusing: Groups, block: Block, option: int, layer: int, b: int) -> float:
    """What a group has alive beside the tensors from before it [bit]; 0 but for its first layer."""
    group = fusing.group[option]
    if layer != fusing.groups[group, FIRST]:
        return 0.0
    out = fusing.groups[group, OUTPUT]
    return stripes.line_bits(fusing, block.bits, option, b) + (block.sizes[out, b] if out >= 0 else 0.0)


@internal
def _add_up(program: Program, block: Block, totals: Floats) -> None:
    """Adds energy and cycles of every layer to the totals, in the order in which results add them."""
    count = totals.shape[0]
    for layer in range(block.parts.shape[0]):
        arithmetic, cycles = program.still[layer, 0], program.still[layer, 1]
        for b in range(count):
            own = block.parts[layer, 0, b] + block.parts[layer, 1, b] + block.parts[layer, 2, b] + arithmetic
            took = block.parts[layer, 3, b] + cycles
            for k in range(program.leakage.shape[0]):
                own += program.leakage[k] * took
            totals[b, 0] += own
            totals[b, 1] += took
