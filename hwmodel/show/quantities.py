"""Numbers as people read them: three significant digits and a prefix.

Every function maps NaN and None to an en dash, so that a table never shows `nan`.
"""

from __future__ import annotations

import math

MISSING = "–"
_PREFIXES = ((1e-12, "p"), (1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""),
             (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"))  # fmt: skip


def engineering(value: float | None, digits: int = 3) -> tuple[str, str]:
    """(mantissa, prefix) of a value: (`"1.81"`, `"G"`) of 1.81e9.

    Args:
        value: any finite number; None and NaN give (`MISSING`, "").
        digits: significant digits of the mantissa.
    """
    if value is None or math.isnan(value):
        return MISSING, ""
    if math.isinf(value):
        return ("∞" if value > 0 else "-∞"), ""
    if value == 0:
        return "0", ""
    rounded = float(f"{value:.{digits}g}")  # before the prefix is chosen: 999.9k is 1.00M
    scale, prefix = prefix_of(rounded)
    mantissa = rounded / scale
    whole = len(str(int(abs(mantissa)))) if abs(mantissa) >= 1 else 1
    return f"{mantissa:.{max(0, digits - whole)}f}", prefix


def prefix_of(value: float) -> tuple[float, str]:
    """(factor, prefix) of the largest prefix that a value reaches: (1e6, "M") of 40e6; (1, "") of 0."""
    if not math.isfinite(value) or value == 0:
        return 1.0, ""
    reached = [step for step in _PREFIXES if abs(value) >= step[0] * (1 - 1e-9)]
    return reached[-1] if reached else _PREFIXES[0]


def stripped(text: str) -> str:
    """A decimal without the zeros at its end: `1.5` of 1.50."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: float | None) -> str:
    """A number of things: `1.81G`, `516k`, `840`."""
    mantissa, prefix = engineering(value)
    return f"{mantissa}{prefix}" if prefix else stripped(mantissa)


def quantity(value: float | None, unit: str, digits: int = 3) -> str:
    """A value with its unit: `4.10 mJ`."""
    mantissa, prefix = engineering(value, digits)
    return mantissa if mantissa == MISSING else f"{mantissa} {prefix}{unit}"


def number(value: float | None, decimals: int = 2) -> str:
    """A plain number with fixed decimals; integers stay integers."""
    if value is None or math.isnan(value):
        return MISSING
    return str(int(value)) if float(value).is_integer() and decimals == 0 else f"{value:.{decimals}f}"
