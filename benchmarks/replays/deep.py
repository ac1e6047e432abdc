"""Optimal energies on chips of four and five levels, as `deep_hierarchies.json` states them.

Units of the file: words of 8 bits, partial sums as well; energies per word. Levels are listed from the outside in;
memories that stand next to each other and hold different operands are one level of ours. A split between two
memories is an axis, and what lies inside of it has a copy for each of its places.

Cases per row: the least energy under the rules of the file's `even` mappings (no padding; reuse ends where places
need different words), against `even_without_drain_reads`, which counts as we do; the least energy with a tile per
operand and memory, against `uneven_free`, whose sums are read once more as they leave a memory (here they are, too)
and where a loop slides a window over one tile of I alone; and the energy of every mapping that the row states,
against what the file counts for it. Our own best mappings know more (reuse goes on across places, two windows slide
together, bounds are padded) and cost less: `python benchmarks/deep.py` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.replays.case import Case
from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.chip.precision import Precision
from hwmodel.mapper.deep.branch import Rules, branches_of
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.uneven.find import better
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest.access import task_accesses
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Bits, DimName, Dims, Layer, Operand
from hwmodel.price.spatial import price

WORD_BITS = 8
EVEN = Rules(pads=False, ends_at_splits=True)
UNEVEN = Rules(pads=False, one_window=True)
#: What a split may unroll that none of the words of an operand depend on.
IRRELEVANT: dict[str | None, tuple[DimName, ...]] = {
    None: DIM_NAMES, "W": ("B", "OY", "OX"), "I": ("K",), "O": ("C", "FY", "FX"),
}  # fmt: skip
_LOOP = re.compile(r"(?:for|parallel (\w+):) ?(\w+) in 0\.\.(\d+)")
DIM: dict[str, DimName] = {"m": "K", "c": "C", "p": "OY", "q": "OX", "r": "FY", "s": "FX", "b": "G"}


def replay(data: Mapping_[str, Any]) -> list[Case]:
    chips = {name: chip_of(name, spec["outer_to_inner"]) for name, spec in data["architectures"].items()}
    cases = []
    for row in data["rows"]:
        layer, chip = layer_of(row), chips[row["arch"]]
        task = array_view(Task.of(layer, chip))
        priced = price(task, deep_mapping(task, "energy", EVEN))
        name = f"{row['arch']} {row['layer']}: best even mapping [pJ]"
        reference = row["even_without_drain_reads"]["pj"]
        cases.append(Case(name=name, reference=reference, prediction=sum(priced.energy_pj.values())))
        for kind in ("even", "even_without_drain_reads"):
            if "mapping" in (row.get(kind) or {}):
                stated = row[kind].get("pj_without_drain_reads", row[kind]["pj"])
                energy = sum(price(task, mapping_of(row[kind]["mapping"], chip, dims_of(row))).energy_pj.values())
                cases.append(Case(name=f"{name} as stated, {kind}", reference=stated, prediction=energy))
        cases += _uneven(row, replace(chip, tiles="uneven"))
    return cases


def _uneven(row: Mapping_[str, Any], chip: Accelerator) -> list[Case]:
    """The cases of a row with a tile per operand and memory."""
    task, name = array_view(Task.of(layer_of(row), chip)), f"{row['arch']} {row['layer']}: best uneven mapping [pJ]"
    cases = []
    for kind in ("uneven_free", "uneven_ordered"):
        item = row.get(kind) or {}  # null where it did not end
        if kind == "uneven_free" and "pj" in item:
            cases.append(Case(name=name, reference=item["pj"], prediction=least_with_drains(task)))
        if "mapping" in item:
            mapping = uneven_of(item["mapping"], chip, dims_of(row))
            energy = sum(price(task, mapping).energy_pj.values())
            reference = item["pj_without_drain_reads"]
            cases.append(Case(name=f"{name} as stated, {kind}", reference=reference, prediction=energy))
    return cases


def least_with_drains(task: Task) -> float:
    """The least energy if every sum that leaves a memory is read there once more [pJ]."""

    def energy_of(mapping: Mapping) -> float:
        energy, counts = sum(price(task, mapping).energy_pj.values()), task_accesses(task, mapping)
        for level in mapping.holders("O")[:-1]:
            own, memory = counts[mapping.levels[level].name, "O"], task.accelerator.levels[level].memory("O")
            assert memory is not None  # it keeps O
            leaving = own.fills + own.updates - own.reads  # every tile that comes or begins leaves again
            energy += leaving * own.instances * task.widths.acc * memory.read_pj_per_bit
        return energy

    even = deep_mapping(task, "energy", EVEN)
    best = energy_of(even)
    (branch,) = branches_of(task, UNEVEN)
    near = branch.ladder.costs.near.copy()
    for level in even.holders("O")[:-1]:
        memory = task.accelerator.levels[level].memory("O")
        assert memory is not None  # it keeps O
        near[0, level, 2] += task.widths.acc * memory.read_pj_per_bit
    branch.ladder = branch.ladder._replace(costs=branch.ladder.costs._replace(near=near))
    for _, energy in better([Ways(branch, every_split(branch))], best, energy_of):
        best = energy
    return best


def uneven_of(lines: Sequence[str], chip: Accelerator, dims: Mapping_[str, DimName]) -> Mapping:
    """A stated mapping whose operands have tiles of their own: all loops are the innermost level's."""
    level_of = {memory.name: n for n, level in enumerate(chip.levels) for memory in level.memories}
    loops: list[Loop] = []
    splits: list[list[Loop]] = [[] for _ in chip.levels]
    inward: list[list[tuple[Operand, int]]] = [[] for _ in chip.levels]
    points = [(_point(lines, n), line) for n, line in enumerate(lines)]  # of I before what slides, right behind it
    for _, line in sorted(points, key=lambda item: item[0]):
        if found := _LOOP.match(line):
            axis, dim, bound = found.groups()
            loop = Loop(dims[dim], int(bound), axis or "")
            (splits[chip.split_levels[axis]] if axis else loops).append(loop)
        elif " holds " in line and loops:
            memory, _, *held = line.split()
            inward[level_of[memory]] += [(operand, len(loops)) for operand in OPERANDS if operand in held]
    return Mapping(
        levels=tuple(
            LevelMapping(
                name=level.name, temporal=() if n else tuple(loops), spatial=tuple(splits[n]), keeps=level.holds,
                inward=tuple(inward[n]),
            )
            for n, level in enumerate(chip.levels)
        )
    )  # fmt: skip


def mapping_of(lines: Sequence[str], chip: Accelerator, dims: Mapping_[str, DimName]) -> Mapping:
    """A stated mapping: storage points, loops and splits from the outside in.

    A loop belongs to the level outside of the outermost one that still stores something inside of the loop; what a
    level stores further out is spared the loops between. Of inputs right around a loop that slides one window is
    stored, as if inside of it.
    """
    level_of = {memory.name: n for n, level in enumerate(chip.levels) for memory in level.memories}
    points = [(_point(lines, n), level_of[line.split()[0]]) for n, line in enumerate(lines) if " holds " in line]
    loops: list[list[Loop]] = [[] for _ in chip.levels]
    splits: list[list[Loop]] = [[] for _ in chip.levels]
    for n, line in enumerate(lines):
        if found := _LOOP.match(line):
            axis, dim, bound = found.groups()
            loop = Loop(dims[dim], int(bound), axis or "")
            if axis:
                splits[chip.split_levels[axis]].append(loop)
            else:
                loops[1 + max((level for point, level in points if point > n), default=-1)].append(loop)
    return Mapping(
        levels=tuple(
            LevelMapping(name=level.name, temporal=tuple(own), spatial=tuple(across), keeps=level.holds)
            for level, own, across in zip(chip.levels, loops, splits, strict=True)
        )
    )


def _point(lines: Sequence[str], n: int) -> float:
    """Where a storage point lies among the lines."""
    if not lines[n].endswith(" I"):
        return n
    after = next(k for k in range(n, len(lines)) if " holds " not in lines[k])
    found = _LOOP.match(lines[after])
    return after + 0.5 if found and not found[1] and found[2] in "pqrs" else n


def dims_of(row: Mapping_[str, Any]) -> dict[str, DimName]:
    """Our dims by the file's: channels without filters (m) are those of a depthwise convolution."""
    return DIM if "m" in row["dims"] else {**DIM, "c": "G"}


def layer_of(row: Mapping_[str, Any]) -> Layer:
    """A row's layer."""
    names = dims_of(row)
    dims = {names[name]: bound for name, bound in row["dims"].items()}
    return Layer(name=row["layer"], dims=Dims.of(dims), stride=row["stride"], bits=Bits(w=8, i=8, acc=8))


def chip_of(name: str, spec: Sequence[Mapping_[str, Any]]) -> Accelerator:
    """A chip from its memories, splits and MACs, listed from the outside in."""
    axes: list[Axis] = []
    groups: list[list[Memory]] = []
    together = False
    for item in spec:
        if "split" in item:
            shares = str(item["multicast_and_reduction"]).startswith("full")
            dims = IRRELEVANT[item["only_dims_irrelevant_to"]]
            axes.append(Axis(name=item["split"], size=item["instances_at_most"], dims=dims, multicast=shares))
            together = False
        elif "memory" in item:
            memory = _memory(item, tuple(axis.name for axis in axes))
            held = {operand for other in groups[-1] for operand in other.holds} if together else set(OPERANDS)
            if held & set(memory.holds):
                groups.append([])
            groups[-1].append(memory)
            together = True
    mac_pj = next(item["mac_pj"] for item in spec if "mac_pj" in item)
    levels = tuple(
        Level(
            name=group[0].name if len(group) == 1 else "+".join(memory.name for memory in group),
            memories=tuple(group), per_pe=bool(group[0].per), temporal_dims=DIM_NAMES,
        )
        for group in reversed(groups)
    )  # fmt: skip
    return Accelerator(
        name=name, kind="spatial", description="", source="", clock_hz=1e9, axes=tuple(axes), levels=levels,
        precision=Precision(mode="fixed", w_bits=8, i_bits=8, acc_bits=8, mac_pj=mac_pj),
        native_bits=Bits(w=8, i=8, acc=8),
    )  # fmt: skip


def _memory(item: Mapping_[str, Any], per: tuple[str, ...]) -> Memory:
    words, port = item["words_per_instance"], item["words_per_cycle_per_instance_reads_plus_writes"]
    holds: tuple[Operand, ...] = tuple(operand for operand in OPERANDS if operand in item["holds"].split())
    return Memory(
        name=item["memory"], holds=holds, size_bits=None if words is None else words * WORD_BITS,
        read_pj_per_bit=item["read_pj_per_word"] / WORD_BITS, write_pj_per_bit=item["write_pj_per_word"] /
        WORD_BITS, read_bits_per_cycle=None if port is None else port * WORD_BITS,
        write_bits_per_cycle=None if port is None else port * WORD_BITS, shared_port=port is not None,
        per=per or None,
    )  # fmt: skip
