"""Several values of one quantity: a list, or a range as text."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from typing import Any

from hwmodel.chip.units import BASE, NUMBER, parse_quantity
from hwmodel.chip.yamllimits import cut

MAX_VALUES = 100_000
_RANGE = re.compile(
    rf"\s*(?P<first>{NUMBER})\s*(?P<first_unit>[^\W\d_].*?)?\s*\.\.\s*(?P<last>{NUMBER})\s*(?P<unit>[^\W\d_].*?)?\s*"
    rf"(?P<sign>[*+])\s*(?P<step>{NUMBER})\s*(?P<step_unit>[^\W\d_][^*+]*?)?\s*"
)
_HOW = "Write a list, or a range such as 64 KiB..1 MiB*2 (times two each step) or 4..16+4"


def values_of(stated: Any) -> tuple[Any, ...]:
    """The values of a list, or of a range as text: `8..64*2`, `64 KiB..1 MiB*2`, `0.5..2+0.25 pJ`.

    A range begins at its first value and ends at the last step that is not beyond its last one. Values are written
    in the unit of the first; a unit that only one end has is that of both.

    Raises:
        ValueError: it is neither, or empty, or repeats a value.
    """
    if isinstance(stated, str) and ".." in stated:
        return _range(stated)
    if not isinstance(stated, list) or not stated:
        raise ValueError(f"must be several values, but got {cut(stated)}. {_HOW}.")
    said: dict[tuple[str, float], Any] = {}
    for index, value in enumerate(stated):
        meanings, again = _meanings(value), value in stated[:index]
        same = next((said[meaning] for meaning in meanings if meaning in said), None)
        if again or same is not None:
            also = "" if again else f": {value} is {same}"
            raise ValueError(f"must name each value once, but got {cut(stated)}{also}")
        said |= dict.fromkeys(meanings, value)
    return tuple(stated)


def _meanings(value: Any) -> set[tuple[str, float]]:
    """What a text with a unit says, by kind of quantity."""
    found: set[tuple[str, float]] = set()
    for kind in BASE if isinstance(value, str) else ():
        with contextlib.suppress(ValueError):
            found.add((kind, parse_quantity(kind, value)))
    return found


def _range(text: str) -> tuple[Any, ...]:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{cut(text)} is no range. {_HOW}.")
    unit = found["first_unit"] or found["unit"] or ""
    first = Fraction(found["first"])
    last = Fraction(found["last"]) * _ratio(found["unit"] or unit, unit)
    step = Fraction(found["step"])
    if found["sign"] == "*":
        if found["step_unit"]:
            raise ValueError(f"{cut(text)}: a factor has no unit, but got {found['step_unit']!r}")
        if not (first > 0 and step > 1):
            raise ValueError(f"{cut(text)}: `first > 0` and `factor > 1` must hold")
    else:
        step *= _ratio(found["step_unit"] or unit, unit)
        if step <= 0:
            raise ValueError(f"{cut(text)}: `step > 0` must hold")
    if last <= first:
        raise ValueError(f"{cut(text)}: `first < last` must hold")
    values = []
    value = first
    while value <= last:
        values.append(_written(value, unit))
        if len(values) > MAX_VALUES:
            raise ValueError(f"{cut(text)} has more than {MAX_VALUES:,} values")
        value = value * step if found["sign"] == "*" else value + step
    return tuple(values)


def _ratio(unit: str, base: str) -> Fraction:
    """How many of `base` one `unit` is, as the parser of quantities has it.

    Raises:
        ValueError: they are not units of one kind.
    """
    if unit == base:
        return Fraction(1)
    for kind in BASE:
        try:
            ratio = Fraction(parse_quantity(kind, f"1 {unit}")) / Fraction(parse_quantity(kind, f"1 {base}"))
            return ratio.limit_denominator(10**15)  # 1e-3, not the nearest float to it
        except ValueError:
            continue
    raise ValueError(f"{unit or 'a bare number'} and {base or 'a bare number'} are not units of one kind")


def _written(value: Fraction, unit: str) -> Any:
    whole = value.denominator == 1
    if not unit:
        return int(value) if whole else float(value)
    return f"{int(value) if whole else f'{float(value):.12g}'} {unit}"
