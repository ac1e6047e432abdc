"""Technology nodes: supply, how logic and wires scale, bit cells. What no source gives is refused.

Between two nodes of a table values are interpolated in the logarithms of node and value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

SMALLEST_NM, LARGEST_NM = 7.0, 180.0

#: Nominal supply [V]. 65 nm and older: PTM models (Zhao and Cao, IEEE TED 53(11), 2006); 45 nm: Horowitz, ISSCC
#: 2014, figure 1.1.9; 40 nm: Keckler et al., IEEE Micro 31(5), 2011, table 1; 28 nm and newer: Villa et al., SC
#: 2014, table II.
SUPPLY_V: Mapping[float, float] = {
    180: 1.8, 130: 1.3, 90: 1.2, 65: 1.1, 45: 0.9, 40: 0.9, 28: 0.9, 20: 0.85, 14: 0.75, 10: 0.725, 7: 0.7,
}  # fmt: skip

#: Energy of a transition as a V^2 + b V + c: Stillmaker and Baas, Integration 58, 2017 (the high-performance models
#: where the paper has two).
_TRANSITION: Mapping[float, tuple[float, float, float]] = {
    180: (0.0, 24.64, -17.98), 130: (7.171, -6.709, 2.904), 90: (4.762, -4.781, 2.092), 65: (3.755, -4.398, 1.975),
    45: (1.018, -0.3107, 0.1539), 32: (0.8367, -0.4341, 0.1701), 20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024), 14: (0.2363, -0.09675, 0.02239), 10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}  # fmt: skip

#: Area of the same logic against that at 45 nm: Stillmaker and Baas, 2017, the table of area factors.
_AREA: Mapping[float, float] = {
    180: 19, 130: 6.4, 90: 2.8, 65: 1.5, 45: 1, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.1, 7: 0.059,
}  # fmt: skip

#: Area of a 6T bit cell of high density [um^2]. 22 nm: Karl et al., ISSCC 2012 (Intel); 16 nm: Wu et al., IEDM 2013
#: (TSMC); 14 nm: Natarajan et al., IEDM 2014 (Intel); 10 nm: Song et al., ISSCC 2016 (Samsung); 7 nm: Wu et al.,
#: IEDM 2016 (TSMC).
CELL_UM2: Mapping[float, float] = {22: 0.092, 16: 0.07, 14: 0.0588, 10: 0.04, 7: 0.027}

#: A wire of 10 mm takes 310 pJ for 256 random bits at 40 nm and 0.9 V (Keckler et al., 2011, table 1); its
#: capacitance per mm stays about the same from node to node (there), so its energy goes with the square of the
#: supply. Their own figures at 10 nm: 78 fJ per bit and mm at 0.75 V; this rule: 79.
_WIRE_PJ_PER_BIT_MM, _WIRE_V = 310 / 256 / 10, 0.9


def check_node(nm: float) -> None:
    """Refuses a node outside of the tables.

    Raises:
        ValueError: it is not between 7 and 180 nm.
    """
    if not SMALLEST_NM <= nm <= LARGEST_NM:
        raise ValueError(
            f"technology: `{SMALLEST_NM:g} nm <= technology <= {LARGEST_NM:g} nm` must hold (the range of the "
            f"tables of components), but got {nm:g} nm. State the numbers themselves."
        )


def between(table: Mapping[float, float], nm: float) -> float:
    """A value of a table at a node, in the logarithms of both; that of the nearest end outside of it."""
    nodes = sorted(table)
    if nm <= nodes[0] or nm >= nodes[-1]:
        return table[nodes[0] if nm <= nodes[0] else nodes[-1]]
    high = next(node for node in nodes if node >= nm)
    low = max(node for node in nodes if node <= nm)
    if high == low:
        return table[low]
    share = math.log(nm / low) / math.log(high / low)
    return float(table[low] ** (1 - share) * table[high] ** share)


@cache
def supply_v(nm: float) -> float:
    """Nominal supply [V]."""
    return between(SUPPLY_V, nm)


@cache
def transition(nm: float) -> float:
    """Energy of a transition of logic at the nominal supply, in the unit of Stillmaker and Baas."""
    return between(_transitions(), nm)


@cache
def _transitions() -> Mapping[float, float]:
    return {node: a * supply_v(node) ** 2 + b * supply_v(node) + c for node, (a, b, c) in _TRANSITION.items()}


def logic_area(nm: float, from_nm: float) -> float:
    """Area of logic at a node over that of the same logic at another."""
    return between(_AREA, nm) / between(_AREA, from_nm)


def leakage(area_ratio: float, nm: float, from_nm: float) -> float:
    """Leakage at a node over that at another: as the width of the transistors (the root of the area) and the
    supply.

    An assumption, stated where it is used: processes hold the leakage per width of a transistor about constant.
    """
    return math.sqrt(area_ratio) * supply_v(nm) / supply_v(from_nm)


def wire_pj_per_bit_mm(nm: float) -> float:
    """Energy of a random bit on a mm of repeated wire [pJ/bit/mm].

    Raises:
        ValueError: a node outside of the tables.
    """
    check_node(nm)
    return _WIRE_PJ_PER_BIT_MM * (supply_v(nm) / _WIRE_V) ** 2
