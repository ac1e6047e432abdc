"""Timeloop's words for our types: problems, architectures and mappings as its configuration files state them.

A word of Timeloop holds one element, so widths are those of the architecture: `word-bits` of the levels that keep
an operand, the same in all of them. Partial sums may be wider than finished ones (and stay so in levels whose words
are narrower, where Timeloop's do not), and words of the outermost level wider than what they hold. Bandwidths are
not read: what is compared are counts in words, capacities and energies.

Source: Timeloop v3, https://timeloop.csail.mit.edu; problems in R S P Q C K N, storage innermost first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.chip.precision import Precision
from hwmodel.errors import AcceleratorError
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Bits, DimName, Dims, Layer, Operand

#: Timeloop calls the first filter and output axis R and P; they pair as FY, OY here.
DIM: dict[str, DimName] = {"R": "FY", "S": "FX", "P": "OY", "Q": "OX", "C": "C", "K": "K", "N": "B", "G": "G"}
OPERAND: dict[str, Operand] = {"Weights": "W", "Inputs": "I", "Outputs": "O"}


def case_of(case: Mapping_[str, Any]) -> tuple[Layer, Accelerator, Mapping]:
    """A case of `timeloop_counts.json`: its `problem`, on its `arch_spec`, by its `mapping`.

    Raises:
        AcceleratorError: as `widths_of` and `accelerator_of`.
    """
    spec, items = case["arch_spec"], case["mapping"]["mapping"]
    bits = widths_of(spec, items)
    layer = layer_of(case["problem"], bits, case.get("layer", "case"))
    return layer, accelerator_of(spec, bits), mapping_of(spec, items)


def layer_of(problem: Mapping_[str, Any], bits: Bits, name: str = "case") -> Layer:
    """A layer from a Timeloop problem: bounds R S P Q C K N, `Wstride` along P, `Hstride` along Q."""
    stride = problem.get("stride", 1)
    return Layer(
        name=name,
        dims=Dims.of({DIM[k]: v for k, v in problem.items() if k in DIM}),
        stride=(problem.get("Wstride", stride), problem.get("Hstride", stride)),
        dilation=(problem.get("Wdilation", 1), problem.get("Hdilation", 1)),
        bits=bits,
    )


def widths_of(spec: Mapping_[str, Any], items: Sequence[Mapping_[str, Any]] = ()) -> Bits:
    """Widths of the operands [bit]: `word-bits` of the levels that keep them.

    Weights and inputs are as wide as the words of all levels that keep them; partial sums as those of the innermost
    that keeps outputs, finished ones as those of the last. The outermost level, which keeps all, may have wider
    words.

    Args:
        spec: the architecture.
        items: parts of a mapping; a level keeps everything where no `datatype` part says what.

    Raises:
        AcceleratorError: a part has no `word-bits`, an operand would have several widths, or is wider than the MAC.
    """
    keeps = _keeps(items)
    weights, inputs, sums = (
        _word_widths(name, [s for s in spec["storage"] if operand in keeps.get(s["name"], OPERANDS)])
        for name, operand in OPERAND.items()
    )
    bits = Bits(w=weights[0], i=inputs[0], o=sums[-1], acc=sums[0])
    mac = word_bits(spec["arithmetic"])
    if max(bits.w, bits.i) > mac:
        raise AcceleratorError(
            f"timeloop: `word-bits` of arithmetic must be those of weights and inputs at least, but {mac} < "
            f"{max(bits.w, bits.i)}. Widen the MAC."
        )
    return bits


def _word_widths(name: str, storages: Sequence[Mapping_[str, Any]]) -> list[int]:
    """Widths of an operand from the innermost level that keeps it outwards: one, or two of sums [bit]."""
    words = [word_bits(storage) for storage in storages]
    inner = words[:-1] if len(words) > 1 and words[-1] > words[-2] else words
    widths = sorted(set(inner), reverse=True)
    narrow_once = name == "Outputs" and inner == sorted(inner, reverse=True) and len(widths) == 2
    if len(widths) == 1 or narrow_once:
        return widths
    said = ", ".join(f"{s['name']} {bits} bit" for s, bits in zip(storages, words, strict=True)) or "no level does"
    raise AcceleratorError(
        f"timeloop: {name} must have words of one width in the levels that keep them, but: {said}. "
        "Give these levels one `word-bits`, or bypass some of them."
    )


def word_bits(part: Mapping_[str, Any]) -> int:
    """Width of the words of a storage level or of the arithmetic [bit].

    Raises:
        AcceleratorError: it states none; Timeloop would take 16.
    """
    if "word-bits" not in part:
        raise AcceleratorError(
            f"timeloop: {part.get('name', 'arithmetic')!r} must state its `word-bits`, but has "
            f"{', '.join(part)}. Timeloop takes 16 where none are stated: write `word-bits: 16` if these are meant."
        )
    return int(part["word-bits"])


def accelerator_of(spec: Mapping_[str, Any], bits: Bits) -> Accelerator:
    """An accelerator from `arithmetic` and `storage` (innermost first), for operands of these widths.

    Every level keeps any operand, every level but the last may be bypassed by any, and any dim may be unrolled
    along either side of the mesh. Energies are per word of `word-bits`; a MAC without `energy` costs 1 pJ.
    """
    arithmetic = spec["arithmetic"]
    num_macs, columns, mac_bits = arithmetic["instances"], arithmetic["meshX"], word_bits(arithmetic)
    storages = spec["storage"]
    levels = tuple(
        Level(
            name=storage["name"],
            memories=tuple(
                replace(memory, per=_places(storage, num_macs, columns))
                for memory in _memories(storage, bits, outermost=storage is storages[-1])
            ),
            per_pe=storage["instances"] > 1,
            temporal_dims=DIM_NAMES,
        )
        for storage in storages
    )
    dims = tuple(DIM.values())
    mac_pj = arithmetic.get("energy", 1.0)
    return Accelerator(
        name="timeloop",
        kind="spatial",
        description="an architecture in Timeloop's words",
        source="the file it was read from",
        clock_hz=1e9,
        precision=Precision(mode="fixed", w_bits=mac_bits, i_bits=mac_bits, acc_bits=bits.acc, mac_pj=mac_pj),
        native_bits=bits,
        axes=(Axis(name="X", size=columns, dims=dims), Axis(name="Y", size=num_macs // columns, dims=dims)),
        levels=levels,
    )


def _places(storage: Mapping_[str, Any], num_macs: int, columns: int) -> tuple[str, ...] | None:
    """Axes along which each place has its own copy, None for one in every PE or for all."""
    instances, mesh = storage["instances"], storage.get("meshX", 1)
    if instances in (1, num_macs):
        return None
    if (instances, mesh) == (columns, columns):
        return ("X",)
    if (instances, mesh) == (num_macs // columns, 1):
        return ("Y",)
    raise AcceleratorError(
        f"timeloop: {storage['name']!r} must have 1, {columns} (meshX {columns}), {num_macs // columns} (meshX 1) "
        f"or {num_macs} instances, but has {instances} (meshX {mesh})."
    )


def _memories(storage: Mapping_[str, Any], bits: Bits, *, outermost: bool) -> tuple[Memory, ...]:
    """One memory; one for each operand where the outermost level has wider words than one of them."""
    width = word_bits(storage)
    words = storage.get("entries")
    if words is None and "sizeKB" in storage:
        words = storage["sizeKB"] * 1024 * 8 // width
    energy = storage["vector-access-energy"] / (storage.get("cluster-size", 1) * storage.get("block-size", 1))

    def memory(name: str, holds: tuple[Operand, ...], element_bits: int) -> Memory:
        return Memory(
            name=name,
            holds=holds,
            size_bits=None if words is None else words * element_bits,
            read_pj_per_bit=energy / element_bits,
            write_pj_per_bit=energy / element_bits,
            bypass=() if outermost else OPERANDS,
        )

    elements: dict[Operand, int] = {"W": bits.w, "I": bits.i, "O": bits.out}
    if not outermost or set(elements.values()) == {width}:
        return (memory(storage["name"], OPERANDS, width),)
    if words is not None:
        said = ", ".join(f"{operand} {element} bit" for operand, element in elements.items())
        raise AcceleratorError(
            f"timeloop: {storage['name']!r} must be unbounded, as its words of {width} bit are wider than what "
            f"they hold ({said}). Drop its size, or give it the `word-bits` of the levels inside."
        )
    return tuple(
        memory(f"{storage['name']}_{operand}", (operand,), element) for operand, element in elements.items()
    )


def mapping_of(spec: Mapping_[str, Any], items: Sequence[Mapping_[str, Any]]) -> Mapping:
    """A mapping from the list of its parts, for an architecture; Timeloop lists permutations innermost first."""
    temporal: dict[str, tuple[Loop, ...]] = {}
    spatial: dict[str, tuple[Loop, ...]] = {}
    keeps = _keeps(items)
    for item in items:
        if item["type"] == "datatype":
            continue
        bounds = {name: int(bound) for name, bound in re.findall(r"([A-Z])(\d+)", item["factors"])}
        split = item.get("split", 0)
        loops = [
            Loop(DIM[name], bounds[name], ("X" if index < split else "Y") if item["type"] == "spatial" else "")
            for index, name in enumerate(item["permutation"])
        ]
        target = spatial if item["type"] == "spatial" else temporal
        target[item["target"]] = tuple(reversed(loops))
    return Mapping(
        levels=tuple(
            LevelMapping(
                name=name,
                temporal=temporal.get(name, ()),
                spatial=spatial.get(name, ()),
                keeps=keeps.get(name, OPERANDS),
            )
            for name in (storage["name"] for storage in spec["storage"])
        )
    )


def _keeps(items: Sequence[Mapping_[str, Any]]) -> dict[str, tuple[Operand, ...]]:
    """What each level keeps, of those with a `datatype` part."""
    return {
        item["target"]: tuple(OPERAND[name] for name in item["keep"])
        for item in items
        if item["type"] == "datatype"
    }
