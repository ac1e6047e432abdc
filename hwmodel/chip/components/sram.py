"""SRAM arrays: CACTI 7's tables of capacity, width of an access and node, and what follows outside of them.

`sram.json` holds what CACTI says of one bank of one port at 22 to 90 nm (`benchmarks/sram_tables.py` makes it).
Between its points values are interpolated in logarithms, which keeps them rising with size, width and node.
Beyond its nodes an array keeps its shape: its wires shrink with the side of the bit cell and swing with the
supply, so that energies go as side x supply^2 and areas as side^2. From 45 to 22 nm CACTI's own reads do so, with
its sides and supplies: 6 % less in the median, 18 % less to 3 % more in the middle 80 % of the table.

Banks: an access reaches one of them, over wires as long as those of one array of the whole capacity (CACTI's own
runs with 2 to 16 banks take between 9 % more and 23 % less); each has its own periphery, so that area and
leakage are those of so many arrays, where these are more than one. A further port widens the cell in both
directions and with it all wires by 0.43 (CACTI's areas at 22 to 90 nm and 4 to 256 KiB: 0.33 to 0.49; its
energies rise by 0.2 to 0.8 with the second).
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hwmodel.chip.components.figures import Figures
from hwmodel.chip.components.nodes import CELL_UM2, between, check_node, leakage, supply_v

Devices = Literal["low_standby", "low_operating", "high_performance"]

TABLE = Path(__file__).with_name("sram.json")
MAX_PORTS = 4
#: Words of an array; between the points of the tables they reach half as low and twice as high.
MIN_WORDS, MAX_WORDS = 64, 2**19
#: Growth of the cell's sides with every port beyond the first, and of its leakage (CACTI 7: 0.01 to 0.3).
_SIDE_PER_PORT, _LEAKAGE_PER_PORT = 0.43, 0.1

Quantity = Literal["read_pj", "write_pj", "area_mm2", "leakage_w"]


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The tables of one kind of transistors.

    Attributes:
        nodes: [nm], newest first.
        width, depth: log2 of the first width and depth; each next one is twice the one before.
        values: [node][width][depth]; None where CACTI knows no array so small.
    """

    nodes: Sequence[float]
    width: int
    depth: int
    values: Mapping[Quantity, Sequence[Sequence[Sequence[float]]]]

    def at(self, quantity: Quantity, nm: float, width: float, size: float) -> float:
        """A value inside of the table, between its nodes, widths and sizes in logarithms.

        The table rises with size at one width and with width at one size, so that this does, too.
        """
        nodes, rows = self.nodes, self.values[quantity]
        low = min(bisect_right(nodes, nm), len(nodes) - 1) - 1
        newer = math.log(nodes[low + 1] / nm) / math.log(nodes[low + 1] / nodes[low])
        found = 0.0
        for w, w_share in _around(math.log2(width)):
            for s, s_share in _around(math.log2(size)):
                new, old = (math.log(rows[node][w - self.width][s - w - self.depth]) for node in (low, low + 1))
                found += w_share * s_share * (newer * new + (1 - newer) * old)
        return math.exp(found)


def _around(place: float) -> tuple[tuple[int, float], ...]:
    """The whole numbers around a place and the share of each; the place alone where it is one."""
    low = math.floor(place)
    share = place - low
    return ((low, 1.0),) if share == 0 else ((low, 1 - share), (low + 1, share))


@cache
def _data() -> Mapping[str, Any]:
    data: Mapping[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return data


@cache
def _table(devices: Devices) -> _Table:
    data = _data()
    return _Table(
        nodes=data["nodes_nm"],
        width=round(math.log2(data["widths_bits"][0])),
        depth=round(math.log2(data["depths_words"][0])),
        values=data["devices"][devices],
    )


def _limits(key: Literal["nodes_nm", "widths_bits"]) -> tuple[float, float]:
    """First and last place of the tables."""
    return min(_data()[key]), max(_data()[key])


def width_limits() -> tuple[int, int]:
    """Narrowest and widest access of the tables [bit]."""
    narrowest, widest = _limits("widths_bits")
    return round(narrowest), round(widest)


@cache
def sram(
    size_bits: float,
    *,
    width_bits: int,
    nm: float,
    banks: int = 1,
    ports: int = 1,
    devices: Devices = "low_standby",
) -> Figures:
    """An SRAM.

    Args:
        size_bits: capacity of all banks together [bit].
        width_bits: of an access, which goes to one bank [bit].
        nm: technology [nm].
        banks: arrays of equal size.
        ports: read-write ports of each.
        devices: transistors: of ITRS's low standby power, low operating power, or high performance.

    Raises:
        ValueError: a node, a width, a depth or ports that the tables do not cover; the message names the rule, the
            value and the fix.
    """
    check_node(nm)
    depth = _checked(size_bits, width_bits, banks, ports)
    table = _table(devices)
    first, last = _limits("nodes_nm")
    near = min(max(nm, first), last)
    energy_ratio, area_ratio, leak_ratio = _beyond(nm, near)
    side = 1 + _SIDE_PER_PORT * (ports - 1)

    def whole(quantity: Quantity) -> float:
        return table.at(quantity, near, width_bits, size_bits)

    def arrays(quantity: Quantity) -> float:
        """As so many arrays, or as one of the whole capacity where that is more."""
        return max(banks * table.at(quantity, near, width_bits, size_bits / banks), whole(quantity))

    return Figures(
        read_pj_per_bit=whole("read_pj") / width_bits * energy_ratio * side,
        write_pj_per_bit=whole("write_pj") / width_bits * energy_ratio * side,
        area_mm2=arrays("area_mm2") * area_ratio * side**2,
        leakage_w=arrays("leakage_w") * leak_ratio * (1 + _LEAKAGE_PER_PORT * (ports - 1)),
        said=_said(nm, near, width_bits, depth, banks, ports, devices),
    )


def _checked(size_bits: float, width_bits: int, banks: int, ports: int) -> float:
    """Words of an array of the whole capacity.

    Raises:
        ValueError: the tables do not cover it.
    """
    narrowest, widest = width_limits()
    if not narrowest <= width_bits <= widest:
        raise ValueError(
            f"component sram: `{narrowest} bit <= width <= {widest} bit` must hold (CACTI's tables), but got "
            f"{width_bits} bit. Write the width of an access to one bank, and `banks`."
        )
    if not 1 <= ports <= MAX_PORTS:
        raise ValueError(f"component sram: `1 <= ports <= {MAX_PORTS}` must hold, but got {ports}")
    depth = size_bits / width_bits
    if depth / banks < MIN_WORDS:
        raise ValueError(
            f"component sram: `size >= {MIN_WORDS} x width` must hold for every bank (CACTI's tables), but got "
            f"{depth / banks:g} words of {width_bits} bit. Write a narrower width, fewer banks, or `component: "
            "regfile`."
        )
    if depth > MAX_WORDS:
        raise ValueError(
            f"component sram: `size <= {MAX_WORDS:,} x width` must hold (CACTI's tables), but got {depth:g} words "
            f"of {width_bits} bit. Write the width of an access to the memory, which is more for one of this size."
        )
    return depth


def _beyond(nm: float, near: float) -> tuple[float, float, float]:
    """Factors of energy, area and leakage from the nearest node of the tables to a node outside of them."""
    if nm == near:
        return 1.0, 1.0, 1.0
    cells = (nm / near) ** 2 if nm > near else between(CELL_UM2, nm) / between(CELL_UM2, near)
    supply = supply_v(nm) / supply_v(near)
    return math.sqrt(cells) * supply**2, cells, leakage(cells, nm, near)


def _said(nm: float, near: float, width: int, depth: float, banks: int, ports: int, devices: str) -> str:
    shape = f"{depth:g} words of {width} bit"
    shape += f" in {banks} banks" if banks > 1 else ""
    shape += f", {ports} ports" if ports > 1 else ""
    nodes = _data()["nodes_nm"]
    if nm in nodes:
        where = f"CACTI 7 at {nm:g} nm"
    elif nm == near:
        low, high = max(n for n in nodes if n < nm), min(n for n in nodes if n > nm)
        where = f"CACTI 7 at {nm:g} nm, between its {low:g} and {high:g} nm"
    else:
        cells = "bit cell and supply" if nm < near else "feature size and supply"
        where = f"{nm:g} nm scaled from CACTI 7 at {near:g} nm by {cells}"
    return f"SRAM, {shape}, {devices} transistors, {where}"
