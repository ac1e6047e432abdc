"""Frozen dataclasses from the plain values of a file: names and types checked, no number that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

import pydantic

from hwmodel.errors import ConfigError

Record = TypeVar("Record")


def read_record(kind: Callable[..., Record], data: Mapping[str, Any]) -> Record:
    """A record of plain values; its own `__post_init__` checks ranges.

    Args:
        kind: a dataclass of plain fields. A bool is no int, text is no number, NaN and infinities are refused.
        data: field -> value, as JSON gives it.

    Raises:
        ConfigError: a field is missing, unknown, of another type or out of range; the message starts with it.
    """
    try:
        _model(kind).model_validate(dict(data))
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)
        first = next((item for item in found if item["type"] == "extra_forbidden"), found[0])  # a name misspelt
        name = ".".join(map(str, first["loc"]))
        shown = "" if first["type"] == "missing" else f", but got {_short(first['input'])}"
        raise ConfigError(f"{name}: {first['msg'].lower()}{shown}") from None
    return kind(**data)


@cache
def _model(kind: Any) -> type[pydantic.BaseModel]:
    hints = get_type_hints(kind)
    config = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    members: dict[str, Any] = {
        item.name: (hints[item.name], ...)
        if item.default is MISSING and item.default_factory is MISSING
        else (hints[item.name], None)
        for item in fields(kind)
    }
    model: type[pydantic.BaseModel] = pydantic.create_model(kind.__name__, __config__=config, **members)
    return model


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
