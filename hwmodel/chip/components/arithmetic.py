"""MACs by their widths: an integer multiplier and an adder (or floating-point ones), and registers for the
operands.

Energies are published at 45 nm (Horowitz, ISSCC 2014, figure 1.1.9) and at 7 nm (Jouppi et al., ISCA 2021, table
2); between the two they follow the curve of Stillmaker and Baas (`nodes.transition`), beyond 45 nm its ratios.
Areas and leakage are those of Aladdin's library of a commercial 40 nm process at 1 ns (Shao et al., ISCA 2014; as
in Accelergy's library of components), scaled as `nodes` says. tests/reference/pe_synthesis_45nm.json was not used
for any of it but the overhead of fusion; `benchmarks/fidelity.py components` holds the result against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hwmodel.chip.components.nodes import check_node, leakage, logic_area, transition

Kind = Literal["mac", "float_mac"]

_OLD_NM, _NEW_NM, _AREA_NM = 45.0, 7.0, 40.0

#: (at 45 nm, at 7 nm) [pJ]. A multiplication per product of bits: the geometric mean of 8 and 32 bit (0.2 and 3.1
#: pJ; 0.07 and 1.48 pJ): 1.6 and 14 % from either. An addition per bit: that of 8 and 32 bit (0.03 and 0.1 pJ;
#: 0.007 and 0.03 pJ): 10 and 4 %.
MULTIPLY_PJ_PER_BIT2 = (math.sqrt(0.2 / 64 * 3.1 / 1024), math.sqrt(0.07 / 64 * 1.48 / 1024))
ADD_PJ_PER_BIT = (math.sqrt(0.03 / 8 * 0.1 / 32), math.sqrt(0.007 / 8 * 0.03 / 32))
#: Width -> the same tables for floating point [pJ], multiplication and addition.
FLOAT_PJ = {16: ((1.1, 0.34), (0.4, 0.16)), 32: ((3.7, 1.31), (0.9, 0.38))}
#: A flip-flop takes 0.009 pJ per access at 40 nm (Aladdin's REG at 1 ns); it is logic, and goes the way of an
#: adder.
REGISTER_PJ, _REGISTER_NM = 0.009, 40.0

#: um^2 and W at 40 nm: per product of bits of a multiplier (6350 um^2, 80 uW at 32 x 32), per bit of an adder (278
#: um^2, 2.4 uW at 32), per bit of a register (5.98 um^2, 74 nW).
_MULTIPLY_UM2, _ADD_UM2, REGISTER_UM2 = 6350 / 32**2, 278 / 32, 5.98
_MULTIPLY_W, _ADD_W, REGISTER_W = 8.0e-5 / 32**2, 2.4e-6 / 32, 7.395e-8

#: What fusing bricks costs over a multiplier of one width, by halvings from the widest to the narrowest width:
#: lines through the three fusible PEs of Bit Fusion's 45 nm synthesis (Sharma et al., ISCA 2018), 0.1 % (power) and
#: 1.5 % (area) from each. It has no PE of more than three halvings.
_FUSION_POWER, _FUSION_AREA, MAX_HALVINGS = (0.7055, 0.6495), (0.6115, 0.936), 3.0


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """What a PE computes with.

    Attributes:
        kind: `mac` (integers) or `float_mac`.
        nm: technology [nm].
        registered: its two operands stand in registers of its own.
    """

    kind: Kind
    nm: float
    registered: bool = True


@dataclass(frozen=True, kw_only=True)
class MacFigures:
    """One MAC at its widths.

    Attributes:
        energy_pj: of one [pJ].
        area_mm2: of one PE's arithmetic [mm^2].
        leakage_w: of one PE's arithmetic [W].
        said: what they rest on.
    """

    energy_pj: float
    area_mm2: float
    leakage_w: float
    said: str


def operation_pj(table: tuple[float, float], nm: float) -> float:
    """An energy that is known at 45 and at 7 nm, at another node [pJ]."""
    old, new = table
    if nm >= _OLD_NM:
        return old * transition(nm) / transition(_OLD_NM)
    share = math.log(transition(_OLD_NM) / transition(nm)) / math.log(transition(_OLD_NM) / transition(_NEW_NM))
    return float(old * (new / old) ** share)


def add_pj(bits: int, nm: float) -> float:
    """Energy of an integer addition [pJ]."""
    return bits * operation_pj(ADD_PJ_PER_BIT, nm)


def register_pj_per_bit(nm: float) -> float:
    """Energy of one access to a flip-flop [pJ]."""
    return REGISTER_PJ * operation_pj(ADD_PJ_PER_BIT, nm) / operation_pj(ADD_PJ_PER_BIT, _REGISTER_NM)


def mac_figures(arithmetic: Arithmetic, *, w: int, i: int, acc: int, halvings: float = 0.0) -> MacFigures:
    """Energy, area and leakage of a MAC.

    Args:
        arithmetic: what it is.
        w, i: widths of its operands [bit].
        acc: width of the sum that the product is added to [bit].
        halvings: of the widest width to that of a brick, where bricks fuse; 0 for one width.

    Raises:
        ValueError: a node, a width or a fusion that no table has; the message names the rule and the value.
    """
    check_node(arithmetic.nm)
    power, size = _fusion(halvings)
    nm, registers = arithmetic.nm, (w + i) if arithmetic.registered else 0
    compute, products, what = _operations(arithmetic.kind, w, i, acc, nm)
    ratio = logic_area(nm, _AREA_NM)
    area_um2 = (_MULTIPLY_UM2 * products + _ADD_UM2 * acc + REGISTER_UM2 * registers) * ratio * size
    leaks = (_MULTIPLY_W * products + _ADD_W * acc + REGISTER_W * registers) * size
    return MacFigures(
        energy_pj=(compute + registers * register_pj_per_bit(nm)) * power,
        area_mm2=area_um2 * 1e-6,
        leakage_w=leaks * leakage(ratio, nm, _AREA_NM),
        said=f"{what}{_with(registers, halvings)}, {_node(nm, registers)}",
    )


def _operations(kind: Kind, w: int, i: int, acc: int, nm: float) -> tuple[float, int, str]:
    """Energy of the multiplication and the addition [pJ], products of bits of the multiplier, and words for it."""
    if kind == "mac":
        energy = w * i * operation_pj(MULTIPLY_PJ_PER_BIT2, nm) + add_pj(acc, nm)
        return energy, w * i, f"{w} x {i} bit multiplier and {acc}-bit adder"
    if w != i or w not in FLOAT_PJ:
        raise ValueError(
            f"component float_mac: `w = i` of {' or '.join(map(str, FLOAT_PJ))} bit must hold (the published "
            f"widths), but got {w} x {i} bit. State `energy` itself."
        )
    multiply, add = FLOAT_PJ[w][0], FLOAT_PJ[32 if acc >= 32 else 16][1]
    return operation_pj(multiply, nm) + operation_pj(add, nm), w * i, f"{w}-bit floating-point multiplier and adder"


def _fusion(halvings: float) -> tuple[float, float]:
    """Factors of energy and area of a fusible multiplier; 1 without fusion."""
    if halvings > MAX_HALVINGS:
        raise ValueError(
            f"component mac: `brick >= widest width / {2**MAX_HALVINGS:g}` must hold (no fusible PE of more levels "
            f"has been published), but got 1/{2**halvings:g}. State `energy` itself."
        )
    if halvings == 0:
        return 1.0, 1.0
    power, area = (base + slope * halvings for base, slope in (_FUSION_POWER, _FUSION_AREA))
    return max(1.0, power), max(1.0, area)


def _with(registers: int, halvings: float) -> str:
    parts = [f"{registers} bit of registers"] if registers else []
    parts += ["bricks that fuse (Bit Fusion's synthesis, ISCA 2018)"] if halvings else []
    return f", {', '.join(parts)}" if parts else ""


def _node(nm: float, registers: int) -> str:
    """Where the numbers at a node come from."""
    energies = "Horowitz, ISSCC 2014, at 45 nm"
    if nm < _OLD_NM:
        energies += ", and Jouppi et al., ISCA 2021, at 7 nm"
    others = "area, leakage and energy of the registers" if registers else "area and leakage"
    library = "Aladdin's 40 nm library (Shao et al., ISCA 2014)"
    return f"{nm:g} nm: energy from {energies}; {others} from {library}; scaled as Stillmaker and Baas, 2017"
