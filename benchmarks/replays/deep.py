"""Optimal energies on chips of four and five levels, as `deep_hierarchies.json` states them.

Units of the file: words of 8 bits, partial sums as well; energies per word over both directions. Levels are listed from
the outside in; memories that stand next to each other and hold different operands are one level of ours. A split
between two memories is an axis, and what lies inside of it has a copy for each of its places.

Predictions per row: the energy of our best mapping, against `even_without_drain_reads` (one tile per level, counted as
Timeloop does), and that of every mapping that the row states and one tile per level can say.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from typing import Any

from benchmarks.replays.case import Case
from hwmodel import find_mapping
from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.chip.precision import Precision
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Bits, DimName, Dims, Layer, Operand

WORD_BITS = 8
#: What a split may unroll that none of the words of an operand depend on.
IRRELEVANT: dict[str | None, tuple[DimName, ...]] = {
    None: DIM_NAMES, "W": ("B", "OY", "OX"), "I": ("K",), "O": ("C", "FY", "FX"),
}  # fmt: skip
DIM: dict[str, DimName] = {"m": "K", "c": "C", "p": "OY", "q": "OX", "r": "FY", "s": "FX", "b": "G"}


def replay(data: Mapping_[str, Any]) -> list[Case]:
    chips = {name: chip_of(name, spec["outer_to_inner"]) for name, spec in data["architectures"].items()}
    cases = []
    for row in data["rows"]:
        layer, chip = layer_of(row), chips[row["arch"]]
        _, cost = find_mapping(layer, chip, optimize="energy")
        reference = row["even_without_drain_reads"]["pj"]
        cases.append(Case(f"{row['arch']} {row['layer']}: best even mapping [pJ]", reference, cost.energy_pj))
    return cases


def layer_of(row: Mapping_[str, Any]) -> Layer:
    """A row's layer: channels without filters (m) are those of a depthwise convolution."""
    dims = {DIM[name]: bound for name, bound in row["dims"].items()}
    if "m" not in row["dims"]:
        dims["G"] = dims.pop("C")
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
        read_pj_per_bit=item["read_pj_per_word"] / WORD_BITS, write_pj_per_bit=item["write_pj_per_word"] / WORD_BITS,
        read_bits_per_cycle=None if port is None else port * WORD_BITS,
        write_bits_per_cycle=None if port is None else port * WORD_BITS, shared_port=port is not None,
        per=per or None,
    )  # fmt: skip
