"""Register files: rows of flip-flops behind the wires and multiplexers that reach all of them.

A bit that is read passes the multiplexers: 0.234 fJ per entry of the file at 28 nm, as 0.03 pJ per 16 bit at 16 B
to 0.96 pJ at 512 B, in proportion (Yang et al., Interstellar, ASPLOS 2020, table 3). A bit that is written loads
as much wire, and clocks one flip-flop (Aladdin's, `arithmetic`). Area and leakage are those of the flip-flops; no
source gives the multiplexers'.
"""

from __future__ import annotations

from hwmodel.chip.components.arithmetic import (
    ADD_PJ_PER_BIT,
    REGISTER_UM2,
    REGISTER_W,
    operation_pj,
    register_pj_per_bit,
)
from hwmodel.chip.components.figures import Figures
from hwmodel.chip.components.nodes import check_node, leakage, logic_area

_ENTRY_PJ, _ENTRY_NM = 0.96 / 16 / 256, 28.0
_FLIPFLOP_NM = 40.0
#: Above it no source has a register file; an SRAM is smaller and cheaper.
MAX_ENTRIES = 512.0


def register_file(size_bits: float, *, width_bits: int, nm: float) -> Figures:
    """A register file of one read and one write port.

    Args:
        size_bits: capacity [bit].
        width_bits: of an access, which is that of an entry [bit].
        nm: technology [nm].

    Raises:
        ValueError: a node, or a number of entries, that no source covers.
    """
    check_node(nm)
    entries = size_bits / width_bits
    if not 1 <= entries <= MAX_ENTRIES:
        raise ValueError(
            f"component regfile: `width <= size <= {MAX_ENTRIES:g} x width` must hold (1 to {MAX_ENTRIES:g} "
            f"entries), but got {entries:g} entries of {width_bits} bit. Write `component: sram` for more."
        )
    entry = _ENTRY_PJ * operation_pj(ADD_PJ_PER_BIT, nm) / operation_pj(ADD_PJ_PER_BIT, _ENTRY_NM)
    ratio = logic_area(nm, _FLIPFLOP_NM)
    return Figures(
        read_pj_per_bit=entry * entries,
        write_pj_per_bit=entry * entries + register_pj_per_bit(nm),
        area_mm2=size_bits * REGISTER_UM2 * ratio * 1e-6,
        leakage_w=size_bits * REGISTER_W * leakage(ratio, nm, _FLIPFLOP_NM),
        said=(
            f"register file, {entries:g} x {width_bits} bit, {nm:g} nm: 0.234 fJ per bit and entry at 28 nm (Yang "
            "et al., ASPLOS 2020, table 3), flip-flops of Aladdin's 40 nm library (Shao et al., ISCA 2014); scaled "
            "as Horowitz's adder to Jouppi's (ISCA 2021) along Stillmaker and Baas, 2017"
        ),
    )
