"""Quantities written with their unit, as plain floats of one base unit each; units out of the ordinary by pint.

`size: 108 KiB` becomes bits, `clock: 200 MHz` becomes Hz, `read_energy: 0.19 pJ/bit` pJ per bit. A bare
number where a unit belongs is an error that shows the fix: a number whose unit is left to the reader
is how models go wrong.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from hwmodel.chip.yamllimits import cut

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

#: (kind, unit) -> its size in the base unit, as pint has it to the last bit: what most files are written in does
#: not wait for the registry of pint.
USUAL: dict[tuple[str, str], float] = {
    ("frequency", "Hz"): 1.0, ("frequency", "kHz"): 1e3, ("frequency", "MHz"): 1e6, ("frequency", "GHz"): 1e9,
    ("size", "bit"): 1.0, ("size", "B"): 8.0, ("size", "KiB"): 8.0 * 2**10, ("size", "MiB"): 8.0 * 2**20,
    ("size", "GiB"): 8.0 * 2**30, ("size", "GB"): 8e9,
    ("energy", "fJ"): 1e-3, ("energy", "pJ"): 1.0,
    ("energy_per_bit", "pJ/bit"): 1.0,
    ("bandwidth", "GB/s"): 8e9,
    ("bandwidth_per_cycle", "bit/cycle"): 1.0,
    ("length", "nm"): 1.0,
    ("area", "mm^2"): 1.0, ("area", "um^2"): 1e-6, ("area_per_size", "um^2/bit"): 1e-6,
    ("time", "s"): 1.0, ("time", "us"): 1e-6,
    ("width", "bit"): 1.0,
    ("power", "W"): 1.0, ("power", "mW"): 1e-3,
    ("mac_rate", "GFLOP/s"): 5e8, ("mac_rate", "GOP/s"): 5e8,
    ("mac_rate", "TFLOP/s"): 5e11, ("mac_rate", "TOP/s"): 5e11,
}  # fmt: skip

NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
#: `um^2`, `mm**2`, `mm²`; never a number: a file states a quantity, it does not compute one.
_FACTOR = r"[^\W\d_]{1,24}(?:\s?(?:\^|\*\*)\s?[1-9]|[²³])?"
#: `bit`, or `(64 bit)` where an energy is stated per word.
_PER = rf"{_FACTOR}|\(\s*(?P<per>(?!0)\d{{1,9}})?\s*(?P<word>{_FACTOR})\s*\)"
_BARE = re.compile(rf"\s*{NUMBER}\s*")
_QUANTITY = re.compile(rf"\s*(?P<number>{NUMBER})\s*(?P<unit>{_FACTOR})\s*(?:/\s*(?P<divisor>{_PER}))?\s*")
#: Characters of a quantity.
MAX_LENGTH = 100
#: Base units: beyond them nothing is a machine, and a product of a few of them is still finite.
SMALLEST, LARGEST = 1e-30, 1e30


#: Bits and bytes with their prefixes. pint has them without a dimension: 1 KiB^2 would be a size, 1 Hz a bandwidth.
_BITS = re.compile(r"\b([a-zA-Z]{0,2}|kilo|mega|giga|tera|kibi|mebi|gibi|tebi)(bit|byte)s?\b")
_BYTES = re.compile(r"\b([kKMGTP]i?)?B\b")


def _informed(unit: str) -> str:
    """A unit with bits and bytes that measure information."""
    return _BITS.sub(r"\1info\2", _BYTES.sub(lambda found: f"{found[1] or ''}byte", unit))


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(cache_folder=None)
    registry.define("infobit = [information]")
    registry.define("infobyte = 8 * infobit")
    registry.define("cycle = [clock_cycle]")
    registry.define("FLOP = [arithmetic] = FLOP = OP")
    registry.define("MAC = 2 * FLOP")  # a multiplication and an addition
    return registry


def parse_quantity(kind: str, text: Any) -> float:
    """The value of a quantity in its base unit (see `BASE`).

    Args:
        kind: a key of `BASE`.
        text: a number and a unit: `200 MHz`, `64 bit/cycle`, `2 um^2`, `24 pJ/(64 bit)`.

    Raises:
        ValueError: no text, no unit, an unknown unit, a unit of another kind, an expression, or a value that is
            neither 0 nor between `SMALLEST` and `LARGEST`. The message starts with the value and ends with the fix.
    """
    _, example = BASE[kind]
    if isinstance(text, str) and len(text) > MAX_LENGTH:
        raise ValueError(f"{cut(text)} is not a number with a unit. Write for example 1 {example}.")
    number = isinstance(text, int | float) and not isinstance(text, bool)
    if number or (isinstance(text, str) and _BARE.fullmatch(text)):
        shown = cut(text).strip("'\"").strip()
        raise ValueError(f"{shown} has no unit. Write {shown} {example}.")
    if not isinstance(text, str):
        raise ValueError(f"must be a number with a unit, but got {cut(text)}. Write for example 1 {example}.")
    return _parsed(kind, text)


@cache
def _parsed(kind: str, text: str) -> float:
    base, example = BASE[kind]
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{cut(text)} is not a number with a unit. Write one number and one unit, for example 1 {example}."
        )
    divisor = found["word"] or found["divisor"]
    unit = found["unit"] + (f"/{divisor}" if divisor else "")
    usual = USUAL.get((kind, unit))
    value = _by_pint(kind, text, float(found["number"]), unit) if usual is None else float(found["number"]) * usual
    value /= int(found["per"] or 1)
    if not math.isfinite(value):
        raise ValueError(f"{cut(text)} must be finite")
    zero = not re.search("[1-9]", re.split("[eE]", found["number"])[0])
    if not zero and not SMALLEST <= abs(value) <= LARGEST:
        raise ValueError(f"{cut(text)} must lie between {SMALLEST:g} and {LARGEST:g} {base}")
    return value


def _by_pint(kind: str, text: str, number: float, unit: str) -> float:
    """The number of a unit in the base unit.

    Raises:
        ValueError: pint does not know the unit, or it measures something else.
    """
    import pint

    base, example = BASE[kind]
    try:
        quantity = _registry().Quantity(number, _registry().parse_units(_informed(unit)))
        return float(quantity.to(_informed(base)).magnitude)
    except pint.DimensionalityError:
        article = "an" if kind[0] in "ae" else "a"
        raise ValueError(f"{cut(text)} is not {article} {kind.replace('_', ' ')}. Write it in {example}.") from None
    except (pint.PintError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"{cut(text)} is not a number with a unit ({str(error)[:80]}). Write for example 1 {example}."
        ) from None


def parse_bandwidth(text: Any, clock_hz: float) -> float:
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
