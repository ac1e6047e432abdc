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
    "area": ("mm^2", "um^2"),
    "area_per_size": ("mm^2/bit", "mm^2/KiB"),
    "time": ("s", "us"),
    "width": ("bit", "bit"),
    "power": ("W", "W"),
    "mac_rate": ("MAC/s", "TFLOP/s"),
}

_NUMBER = re.compile(r"^[\s+-]*[\d.]+(?:[eE][+-]?\d+)?\s*$")


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(cache_folder=None)
    registry.define("cycle = [clock_cycle]")
    registry.define("FLOP = [arithmetic] = FLOP = OP")
    registry.define("MAC = 2 * FLOP")  # a multiplication and an addition
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
        raise ValueError(
            f"{text!r} is not {'an' if kind[0] in 'ae' else 'a'} {kind.replace('_', ' ')}. Write it in {example}."
        ) from None
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
