"""Energies of a class of chips: two published tables at 45 and 7 nm, and the power laws between their entries.

An energy at another node lies on the power law through both nodes, one of another size or width on that
through its neighbours in the table. All of it is the estimate of a class, none of a product.

Sources: Horowitz, Computing's energy problem, ISSCC 2014, figure 1.1.9 (45 nm); Jouppi et al., Ten lessons from
three generations, ISCA 2021, table 2 (45 and 7 nm).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: The nodes of the tables [nm].
NODES_NM = (45.0, 7.0)
#: Nodes that the power laws are asked for [nm]; below 4.7 nm those of 8 and 32 KiB would cross.
SMALLEST_NM, LARGEST_NM = 5.0, 180.0
#: (width [bit], energy at 45 nm, at 7 nm [pJ]): integer multiplications and additions.
MULTIPLY_PJ = ((8, 0.2, 0.07), (32, 3.1, 1.48))
ADD_PJ = ((8, 0.03, 0.007), (32, 0.1, 0.03))
#: (size [bit], energy of a bit at 45 nm, at 7 nm [pJ]): SRAM of 8 KiB, 32 KiB and 1 MiB, 64 bits an access; a
#: register of 32 bits costs about its adder.
STORE_PJ_PER_BIT = (
    (32, 0.1 / 32, 0.03 / 32),
    (8 * 8192, 10 / 64, 7.5 / 64),
    (32 * 8192, 20 / 64, 8.5 / 64),
    (1024 * 8192, 100 / 64, 14 / 64),
)
#: DDR3 and DDR4, at every node: 1300 pJ per 64 bits, the lower end of Horowitz' range.
DRAM_PJ_PER_BIT = 1300 / 64


def multiply_pj(w_bits: int, i_bits: int, nm: float) -> float:
    """Energy of a w x i bit multiplication [pJ]: that of the square one with as many bits of product terms."""
    return _between(MULTIPLY_PJ, math.sqrt(w_bits * i_bits), nm)


def add_pj(bits: int, nm: float) -> float:
    """Energy of an integer addition [pJ]."""
    return _between(ADD_PJ, bits, nm)


def store_pj_per_bit(size_bits: float, nm: float) -> float:
    """Energy of a bit read from an on-chip memory [pJ/bit]; one above 1 MiB is banks of 1 MiB."""
    smallest, largest = STORE_PJ_PER_BIT[0][0], STORE_PJ_PER_BIT[-1][0]
    return _between(STORE_PJ_PER_BIT, min(max(size_bits, smallest), largest), nm)


def _between(table: Sequence[tuple[int, float, float]], at: float, nm: float) -> float:
    """The power law through the two entries around `at`, or the two nearest, each at its node."""
    high = next((n for n, row in enumerate(table) if n and at <= row[0]), len(table) - 1)
    (x0, *y0), (x1, *y1) = table[high - 1], table[high]
    first, second = _at_node(y0, nm), _at_node(y1, nm)
    return first * math.pow(second / first, math.log(at / x0) / math.log(x1 / x0))


def _at_node(pair: Sequence[float], nm: float) -> float:
    """The power law through the energies at both nodes."""
    old, new = NODES_NM
    return pair[0] * math.pow(pair[1] / pair[0], math.log(nm / old) / math.log(new / old))
