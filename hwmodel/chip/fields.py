"""Fields of a YAML file that carry a unit, for pydantic."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from hwmodel.chip.units import parse_quantity
from hwmodel.network.layer import MAX_ACC_BITS, MAX_BITS


def quantity(kind: str, *, positive: bool = False) -> BeforeValidator:
    """A quantity of one kind (see `hwmodel.chip.units.BASE`) in its base unit, >= 0, or > 0 where `positive`."""

    def parse(text: Any) -> float:
        value = parse_quantity(kind, text)
        if value < 0 or (positive and value == 0):
            raise ValueError(f"must be {'above' if positive else 'at least'} 0, but got {text}")
        return value

    return BeforeValidator(parse)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, each named once."""
    if len(set(values)) < len(values):
        raise ValueError(f"must name each once, but got {list(values)}")
    return values


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("must say something, but got blanks alone")
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"must be one line of printable characters, but got {text!r}")
    return text


#: A text, what is no more than a line, and a name.
Said = Annotated[str, Field(min_length=1), AfterValidator(_said)]
Line = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[Said, AfterValidator(_one_line)]


def _bits(text: Any) -> int:
    value = parse_quantity("width", text)
    if value != int(value) or value < 1:
        raise ValueError(f"must be a whole number of bits >= 1, but got {text}")
    return int(value)


def _at_most(limit: int) -> BeforeValidator:
    def parse(text: Any) -> int:
        bits = _bits(text)
        if bits > limit:
            raise ValueError(f"must be 1 to {limit} bit, but got {text}")
        return bits

    return BeforeValidator(parse)


Width = Annotated[int, BeforeValidator(_bits)]
#: Of an operand of a MAC, and of the sum of its products.
OperandWidth = Annotated[int, _at_most(MAX_BITS)]
AccumulatorWidth = Annotated[int, _at_most(MAX_ACC_BITS)]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, but got {str(value).lower()}")
    return value


#: Whole numbers of things, from 1 and from 0.
Count = Annotated[int, BeforeValidator(_no_truth), Field(ge=1, le=2**31)]
Small = Annotated[int, BeforeValidator(_no_truth), Field(ge=0, le=2**31)]
