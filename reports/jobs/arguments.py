"""What users type, as values: shapes, options as KEY=VALUE, objectives. A typo is a usage error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from hwmodel.errors import did_you_mean

if TYPE_CHECKING:
    from hwmodel.mapper.free import Objective

PHASES = ("prefill", "decode")
OBJECTIVES: dict[str, Objective] = {"energy": "energy", "latency": "latency", "edp": "edp"}


def check_among(name: str, options: Sequence[str], hint: str) -> None:
    """The name is one of the options; else the nearest is offered."""
    if name not in options:
        raise typer.BadParameter(
            f"must be among {', '.join(options)}, but got {name!r}.{did_you_mean(name, options)}", param_hint=hint
        )


def parse_objective(name: str, hint: str = "--optimize") -> Objective:
    """The objective of the mapper, or what is compared."""
    check_among(name, list(OBJECTIVES), hint)
    return OBJECTIVES[name]


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """`1,3,224,224` (or with x) as a tuple."""
    if text is None:
        return None
    parts = text.replace("x", ",").replace("×", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"must be integers >= 1 with commas between, as 1,3,224,224, but got {text!r}", param_hint="--input"
        )
    shape = tuple(int(part) for part in parts)
    if len(shape) < 2:
        raise typer.BadParameter(
            f"must be the batch and then the shape of one input, as 1,3,224,224, but got {text!r}",
            param_hint="--input",
        )
    return shape


def parse_shapes(text: str | None) -> dict[str, tuple[int, ...] | int]:
    """`ids=1,128;sequence=16` as {"ids": (1, 128), "sequence": 16}; a shape without a name as {"": shape}."""
    shapes: dict[str, tuple[int, ...] | int] = {}
    for part in text.split(";") if text else ():
        name, equals, bounds = part.rpartition("=")
        if equals and bounds.strip().isdecimal():
            shapes[name.strip()] = int(bounds)
        elif (shape := parse_shape(bounds)) is not None:
            shapes[name.strip()] = shape
    return shapes


def check_input(model: str, text: str | None) -> None:
    """A shape that cannot be read is a usage error, before anything is loaded."""
    if model.endswith(".onnx"):
        parse_shapes(text)
    else:
        parse_shape(text)


def parse_options(pairs: Sequence[str] | None, hint: str = "--option") -> dict[str, Any]:
    """`["width=2", "pretrained=false"]` as {"width": 2, "pretrained": False}."""
    options: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"must be KEY=VALUE, but got {pair!r}", param_hint=hint)
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_widths(text: str, highest: int) -> list[int]:
    """`8,4,2` as widths [bit], each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= highest for part in parts) or len(set(parts)) < len(parts):
        raise typer.BadParameter(
            f"must be different integers in 1..{highest} with commas between, as 8,4,2, but got {text!r}",
            param_hint="--bits",
        )
    return [int(part) for part in parts]


def parse_milestones(text: str | None) -> list[float] | None:
    """`15,25` as epochs."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"must be epochs with commas between, as 15,25, but got {text!r}", param_hint="--milestones"
        ) from None


def check_phase(phase: str | None, context: int | None, *, with_shape: bool, measured: bool) -> None:
    """`--phase` and what goes with it; a usage error where they do not fit."""
    if phase is None:
        if context is not None:
            raise typer.BadParameter("needs --phase prefill or --phase decode", param_hint="--context")
        return
    check_among(phase, PHASES, "--phase")
    if with_shape:
        raise typer.BadParameter("give --context instead of --input", param_hint="--phase")
    if measured:
        raise typer.BadParameter("densities are measured on images, not on tokens", param_hint="--measure-density")
