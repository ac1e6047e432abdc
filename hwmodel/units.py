"""Quantities written with their unit, parsed by pint into plain floats of one base unit each.

`size: 108 KiB` becomes bits, `clock: 200 MHz` becomes Hz, `read_energy: 0.19 pJ/bit` pJ per bit. A bare
number where a unit belongs is an error that shows the fix: a number whose unit is left to the reader
is how models go wrong.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

#: kind of quantity -> (base unit, an example of how to write it)
BASE: dict[str, tuple[str, str]] = {
    "frequency": ("Hz", "MHz"),
    "size": ("bit", "KiB"),
    "energy": ("pJ", "pJ"),
    "energy_per_bit": ("pJ/bit", "pJ/bit"),
    "bandwidth": ("bit/s", "GB/s"),
    "bandwidth_per_cycle": ("bit/cycle", "bit/cycle"),
    "length": ("nm", "nm"),
    "area": ("mm^2", "mm^2"),
    "time": ("s", "us"),
    "width": ("bit", "bit"),
}

_NUMBER = re.compile(r"^[\s+-]*[\d.]+(?:[eE][+-]?\d+)?\s*$")


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(cache_folder=None)
    registry.define("cycle = [clock_cycle]")
    return registry


@cache
def parse_quantity(kind: str, text: str | float) -> float:
    """The value of a quantity in its base unit (see `BASE`).

    Args:
        kind: a key of `BASE`.
        text: number and unit.

    Raises:
        ValueError: no unit, an unknown unit, a unit of another kind, or a value that is not finite.
            The message starts with the value and ends with the fix.
    """
    base, example = BASE[kind]
    if isinstance(text, int | float) or _NUMBER.match(text):
        raise ValueError(f"{text} has no unit. Write {str(text).strip()} {example}.")
    import pint

    try:
        value = float(_registry().Quantity(text).to(base).magnitude)
    except pint.DimensionalityError:
        raise ValueError(f"{text!r} is not a {kind.replace('_', ' ')}. Write it in {example}.") from None
    except (pint.PintError, ValueError, TypeError, AttributeError, SyntaxError, ZeroDivisionError) as error:
        raise ValueError(
            f"{text!r} is not a number with a unit ({error}). Write for example 1 {example}."
        ) from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} must be finite")
    return value


def parse_bandwidth(text: str | float, clock_hz: float) -> float:
    """Bits per cycle, from `64 bit/cycle` or from `25.6 GB/s` at the clock.

    Raises:
        ValueError: as `parse_quantity`.
    """
    if isinstance(text, str) and "cycle" in text:
        return parse_quantity("bandwidth_per_cycle", text)
    try:
        return parse_quantity("bandwidth", text) / clock_hz
    except ValueError as error:
        raise ValueError(f"{str(error).rstrip('.')}, or bit/cycle.") from None


def engineering(value: float, unit: str = "", digits: int = 3) -> str:
    """`4.1 mJ`, `1.81 G`: a number with an SI prefix, as people read it."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    prefixes = {-5: "f", -4: "p", -3: "n", -2: "u", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P", 6: "E"}
    power = max(-5, min(6, math.floor(math.log10(abs(value)) / 3)))
    scaled = value / 1000.0**power
    if float(f"{scaled:.{digits}g}") >= 1000 and power < 6:
        power, scaled = power + 1, scaled / 1000
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(scaled))))
    return f"{scaled:.{decimals}f} {prefixes[power]}{unit}".rstrip()
