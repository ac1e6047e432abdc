"""Keys of a chip file that nothing reads on its kind of chip.

What a key without an effect says would be taken to be priced. Those that belong to another kind of timing or
dataflow are refused where they stand; of the others a note says that they are ignored, with every cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from hwmodel.chip.storage import ANY_FORMAT
from hwmodel.chip.yamlfile import Location, misplaced

if TYPE_CHECKING:
    from hwmodel.chip.chipfile import ChipFile, MemorySection

#: Keys of a memory that the rules of Eyeriss alone read, and those of them that are of its network.
_NETWORK = ("network", "network_energy", "network_length")
_ROWS = (*_NETWORK, "bank", "exclusive")
#: Keys of a memory that arrays which work block by block alone read.
_BLOCKS = ("burst", "latency", "brick")
#: Keys of a chip that mapped arrays alone read.
_MAPPED = ("host_unfolds", "temporal", "order", "nm")


class _Unread(NamedTuple):
    """A key that says something, where it stands, why nothing reads it, and whether it is refused."""

    location: Location
    reason: str
    is_refused: bool = False


def check_unread(chip: ChipFile) -> None:
    """Raises the error of the first key that belongs to another kind of chip."""
    found = next((item for item in _all(chip) if item.is_refused), None)
    if found is not None:
        raise misplaced(found.reason, *found.location)


def ignored_keys(chip: ChipFile) -> list[tuple[Location, str]]:
    """Keys that nothing reads and that are not refused: where each stands, and why."""
    return [(item.location, item.reason) for item in _all(chip) if not item.is_refused]


def _all(chip: ChipFile) -> Iterator[_Unread]:
    yield from _of_chip(chip)
    yield from _of_tiles(chip)
    yield from _of_mac(chip)
    yield from _of_memories(chip)


def _of_chip(chip: ChipFile) -> Iterator[_Unread]:
    if chip.kind != "spatial":
        for key in _MAPPED:
            if getattr(chip, key):
                yield _Unread((key,), f"needs an array (`kind: spatial`), but kind is {chip.kind}")
        if chip.dataflow != "free":
            yield _Unread(("dataflow",), f"is that of an array (`kind: spatial`), but kind is {chip.kind}")
    if chip.kind == "loop_nest" and (chip.vector.lanes != 1 or chip.vector.energy or chip.vector.cycles):
        yield _Unread(("vector",), "kind loop_nest counts the operations of layers alone: leave it out")
    if chip.dataflow == "free" and chip.clock_power:
        yield _Unread(("clock_power",), "needs `dataflow: row_stationary`", is_refused=True)
    if not chip.diagonal and not _has_diagonals(chip):
        yield _Unread(
            ("diagonal",), "needs two axes that unroll rows (OY, FY) or columns (OX, FX) of an image between them"
        )
    skipped = sorted(set(chip.gating) & set(chip.skipping))
    if skipped:
        yield _Unread(("gating",), f"zeros of {' and '.join(skipped)} are skipped, which saves their energy, too")
    if _timing(chip) == "blocks":
        for index, axis in enumerate(chip.array):
            if not axis.multicast:
                reason = "timing blocks: the places of a block share its operands"
                yield _Unread(("array", index, "multicast"), reason, is_refused=True)
        if not chip.diagonal:
            reason = "timing blocks: inputs reach a block through its buffer"
            yield _Unread(("diagonal",), reason, is_refused=True)


def _of_tiles(chip: ChipFile) -> Iterator[_Unread]:
    """Uneven tiles where nothing reads them, or beside rules that they do not know."""
    if chip.tiles == "even":
        return
    if chip.kind != "spatial":
        yield _Unread(("tiles",), f"needs an array (`kind: spatial`), but kind is {chip.kind}", is_refused=True)
    keys = [f"`{key}`" for key in ("order", "skipping", "timing") if getattr(chip, key)]
    if chip.dataflow != "free":
        keys.append(f"`dataflow: {chip.dataflow}`")
    if keys:
        reason = f"`{chip.tiles}` does not go with {' and '.join(keys)}: leave out one of them"
        yield _Unread(("tiles",), reason, is_refused=True)


def _has_diagonals(chip: ChipFile) -> bool:
    """Rows, or columns, of images run on two axes, so that PEs off the axes may need equal inputs."""
    return any(sum(bool(dims & set(axis.dims)) for axis in chip.array) > 1 for dims in ({"OY", "FY"}, {"OX", "FX"}))


def _of_mac(chip: ChipFile) -> Iterator[_Unread]:
    mac = chip.mac
    if mac is None:
        return
    native = [row.energy for row in mac.energies if (row.w, row.i) == (mac.w, mac.i)]
    if native and mac.energy not in (None, *native):
        yield _Unread(
            ("mac", "energy"), f"is that of {mac.w} x {mac.i} bit, and `energies` states another: write one of them"
        )
    if mac.precision == "fixed" and mac.energies:
        yield _Unread(("mac", "energies"), "precision fixed has one energy at all widths: state it as `energy`")
    if chip.kind == "loop_nest" and mac.precision != "fixed":
        yield _Unread(
            ("mac", "precision"), "kind loop_nest prices the bits of operations: write `precision: fixed`"
        )
    if chip.kind == "loop_nest" and mac.energy:
        yield _Unread(("mac", "energy"), "kind loop_nest states energies in its own section: write `energy: 0 pJ`")


def _of_memories(chip: ChipFile) -> Iterator[_Unread]:
    for index, memory in enumerate(chip.memories):
        for key, reason in _anywhere(chip, memory):
            yield _Unread(("memories", index, key), reason)
        for key, reason in (*_of_timing(chip, memory), *_of_dataflow(chip, memory)):
            yield _Unread(("memories", index, key), reason, is_refused=True)


#: Keys of a memory that say something, each with why nothing reads it.
_Keys = Iterator[tuple[str, str]]


def _said(memory: MemorySection, keys: Iterable[str], reason: str) -> _Keys:
    """Those of the keys that are not at their defaults."""
    for key in keys:
        if getattr(memory, key) != type(memory).model_fields[key].default:
            yield key, reason


def _is_outermost(chip: ChipFile, memory: MemorySection) -> bool:
    last = chip.memories[-1]
    return (memory.level or memory.name) == (last.level or last.name)


def _anywhere(chip: ChipFile, memory: MemorySection) -> _Keys:
    """Keys that no chip reads of such a memory."""
    if not memory.compressed and memory.formats != ANY_FORMAT:
        yield "formats", "are those of `compressed` operands: name some"
    if "O" in memory.compressed and memory is next(own for own in chip.memories if "O" in own.holds):
        yield "compressed", "O lies here while its sums are unfinished, which are not compressed: leave it out"
    if memory.size == "unbounded":
        yield from _said(memory, ("double_buffered", "area", "bank"), "needs a `size`, but the memory is unbounded")
    if chip.kind != "spatial":
        yield from _said(memory, ("double_buffered",), f"kind {chip.kind} has no tiles: leave it out")
    if _is_outermost(chip, memory) and memory.holds == ("W",):
        keys = ["write_bandwidth"] + ["write_energy"] * (memory.write_energy != memory.read_energy)
        yield from _said(memory, keys, "nothing is written to the outermost memory of weights")


def _of_timing(chip: ChipFile, memory: MemorySection) -> _Keys:
    """Keys that chips of one timing alone read, or leave unread."""
    if _timing(chip) != "blocks":
        yield from _said(memory, _BLOCKS, "needs `timing: {kind: blocks}`")
    elif memory is chip.memories[0]:
        if not memory.double_buffered:
            yield "double_buffered", "timing blocks: the buffer holds what a block needs twice: write `true`"
        yield from _said(memory, ("compressed", *_BLOCKS), "timing blocks: is not that of the buffer of a block")
    else:
        yield from _said(memory, ("double_buffered",), "timing blocks: no tile lies in an outermost memory")
        if set(memory.compressed) - {"W"}:
            yield "compressed", "timing blocks: tensors lie as they are: write `[W]`, or leave it out"
        if memory.holds == ("W",):
            yield from _said(memory, ("burst", "brick"), "timing blocks: weights come word by word")


def _of_dataflow(chip: ChipFile, memory: MemorySection) -> _Keys:
    """Keys that the rules of Eyeriss alone read, or leave unread."""
    if chip.dataflow == "free":
        yield from _said(memory, _ROWS, "needs `dataflow: row_stationary`")
        return
    yield from _said(memory, ("bypass",), "dataflow row_stationary sends operands through all that hold them")
    if not _is_outermost(chip, memory):
        yield from _said(memory, ("exclusive",), "is that of the outermost memory")
    own = {memory.per} if isinstance(memory.per, str) else set(memory.per)
    if own not in ({"pe"}, {axis.axis for axis in chip.array}):
        yield from _said(memory, _NETWORK, "fills a memory of every PE: write `per: pe`")


def _timing(chip: ChipFile) -> str | None:
    return None if chip.timing is None else chip.timing.kind
