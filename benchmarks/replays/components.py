"""Published energies and areas of parts of chips beside those of our components.

A file is a list of rows:

    {"name": "SRAM 8 KiB, 64 bit, 45 nm", "quantity": "access_pj", "value": 10, "held_out": true,
     "source": "Horowitz, ISSCC 2014",
     "component": {"component": "sram", "size_bytes": 8192, "width_bits": 64, "technology_nm": 45}}

`quantity`: `access_pj` (a read over its width), `word16_pj` (a read of 16 bit), `mac_pj`, `operation_pj`,
`area_um2` or `leakage_w`. `over`, a second component (a `mac`, or one that has the same quantity): `value` is the
ratio to it. `held_out`: no constant of ours was taken from it, which the name of the case says. Components:

- `sram`: size_bytes, width_bits, technology_nm; banks, ports, devices
- `regfile`: size_bytes, width_bits, technology_nm
- `dram`: kind; width_bits
- `mac`, `float_mac`: w, i, acc, technology_nm; brick (bits), registered
- `multiply` (w, i), `add` (w): one integer operation; technology_nm
- `wire`: width_bits, mm, technology_nm
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from benchmarks.replays.case import Case
from hwmodel.chip.components.arithmetic import (
    ADD_PJ_PER_BIT,
    MULTIPLY_PJ_PER_BIT2,
    Arithmetic,
    MacFigures,
    mac_figures,
    operation_pj,
)
from hwmodel.chip.components.figures import Figures
from hwmodel.chip.components.nodes import wire_pj_per_bit_mm
from hwmodel.chip.components.parts import Part

Spec = Mapping[str, Any]


def replay(data: object) -> list[Case]:
    """Cases of a file in the format of `component_figures.json`: `held out: NAME` or `used: NAME`.

    Raises:
        ValueError: a component is none of these, has no such quantity, or is outside of its tables.
    """
    return [_case(row) for row in cast(Sequence[Mapping[str, Any]], data)]


def _case(row: Mapping[str, Any]) -> Case:
    quantity, part = row["quantity"], row["component"]
    ours = _value(quantity, part)
    if "over" in row:
        ours /= _value("mac_pj" if quantity == "word16_pj" else quantity, row["over"])
    group = "held out" if row["held_out"] else "used"
    return Case(name=f"{group}: {row['name']}", reference=float(row["value"]), prediction=ours)


def _value(quantity: str, part: Spec) -> float:
    kind = part["component"]
    if kind in ("multiply", "add") and quantity == "operation_pj":
        return _operation(part)
    if kind == "wire" and quantity == "access_pj":
        return float(part["width_bits"] * part["mm"] * wire_pj_per_bit_mm(part["technology_nm"]))
    if kind in ("mac", "float_mac"):
        mac = _mac(part)
        found = {"mac_pj": mac.energy_pj, "area_um2": mac.area_mm2 * 1e6, "leakage_w": mac.leakage_w}
    elif kind in ("sram", "regfile", "dram"):
        memory, width = _memory(part), part.get("width_bits", 0)
        area = math.nan if memory.area_mm2 is None else memory.area_mm2 * 1e6
        found = {
            "access_pj": memory.read_pj_per_bit * width, "word16_pj": memory.read_pj_per_bit * 16, "area_um2": area,
            "leakage_w": memory.leakage_w,
        }  # fmt: skip
    else:
        found = {}
    if quantity not in found:
        raise ValueError(f"component {kind!r} has no {quantity!r}")
    return found[quantity]


def _operation(part: Spec) -> float:
    nm = part["technology_nm"]
    if part["component"] == "add":
        return float(part["w"] * operation_pj(ADD_PJ_PER_BIT, nm))
    return float(part["w"] * part["i"] * operation_pj(MULTIPLY_PJ_PER_BIT2, nm))


def _mac(part: Spec) -> MacFigures:
    widest = max(part["w"], part["i"])
    arithmetic = Arithmetic(
        kind=part["component"], nm=part["technology_nm"], registered=part.get("registered", True)
    )
    return mac_figures(
        arithmetic,
        w=part["w"],
        i=part["i"],
        acc=part["acc"],
        halvings=math.log2(widest / part.get("brick", widest)),
    )


def _memory(part: Spec) -> Figures:
    size = part.get("size_bytes")
    own = {key: part[key] for key in ("banks", "ports", "devices") if key in part}
    described = Part(
        kind=part["component"], nm=part.get("technology_nm"), width_bits=part.get("width_bits"),
        dram=part.get("kind"), **own,
    )  # fmt: skip
    return described.figures(None if size is None else size * 8)
