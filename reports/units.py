"""Numbers as people read them, each with its unit: those of `hwmodel.show.quantities` and what reports add.

Every function maps NaN and None to an en dash, so that a table never shows `nan`.
"""

from __future__ import annotations

import math

from hwmodel.show.quantities import MISSING, count, engineering, number, prefix_of, quantity, stripped

__all__ = [
    "MISSING",
    "count",
    "data_size",
    "duration",
    "energy",
    "engineering",
    "frequency",
    "level_name",
    "number",
    "percent",
    "prefix_of",
    "quantity",
    "scaled_label",
    "seconds",
]


def scaled_label(label: str, unit: str, largest: float, factor: float) -> tuple[str, float]:
    """(label with unit, factor) so that the largest value has at most three digits before its point."""
    scale, prefix = prefix_of(largest) if unit not in ("bit", "mm²") else (1.0, "")
    return f"{label} [{prefix}{unit}]" if prefix + unit else label, factor / scale


def energy(pj: float | None) -> str:
    """Energy [pJ] as `4.10 mJ`."""
    return quantity(None if pj is None else pj * 1e-12, "J")


def seconds(value: float | None) -> str:
    """A duration [s] as `62.0 ms`."""
    return quantity(value, "s")


def frequency(hz: float | None) -> str:
    """A frequency [Hz] as `200 MHz`."""
    if hz is None:
        return MISSING
    mantissa, prefix = engineering(hz)
    return f"{stripped(mantissa)} {prefix}Hz"


def data_size(bits: float | None) -> str:
    """An amount of data [bit] as `5.84 MB` (decimal prefixes)."""
    return quantity(None if bits is None else bits / 8, "B") if bits else ("0 B" if bits == 0 else MISSING)


def percent(fraction: float | None, decimals: int = 2) -> str:
    """A fraction as `97.22 %`."""
    if fraction is None or math.isnan(fraction):
        return MISSING
    return f"{fraction * 100:.{decimals}f} %"


def duration(value: float | None) -> str:
    """Wall-clock time [s] as `0:31` or `1:02:05`."""
    if value is None or math.isnan(value):
        return MISSING
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def level_name(name: str) -> str:
    """Where energy goes, in words: memories keep their name, `mac`, `mul`, `add` and `vector` are arithmetic."""
    words = {
        "mac": "MACs",
        "mul": "multiplications",
        "add": "additions",
        "vector": "vector unit",
        "dac": "DACs",
        "adc": "ADCs",
    }
    return words.get(name, name)
