"""Validated files: YAML read with line numbers, checked by pydantic, answered with place and fix.

PyYAML reads `1e9` as a string and `no` as False, and keeps the last of two duplicate keys;
ruamel.yaml follows YAML 1.2 and refuses duplicates. Every file is read within the limits of `yamllimits`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from hwmodel.chip.yamllimits import INTEGER_LIMIT, MAX_BYTES, LimitedComposer, LimitedScanner, check_text, cut
from hwmodel.errors import ConfigError, HwModelError, did_you_mean

__all__ = [
    "Document", "Field", "Location", "Schema", "dump_yaml", "field_validator", "misplaced", "model_validator",
    "parse_document",
    "parse_yaml", "read_document", "read_yaml",
]  # fmt: skip


class Schema(BaseModel):
    """Base of every validated record: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
#: Problems of one file that are listed; the rest are counted.
MAX_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML file that was read but not validated.

    Attributes:
        place: its name in messages.
        text: as it was read.
        tree: what it says, with the positions of everything.
        data: the same as plain values.
        error: the class to raise.
    """

    place: str
    text: str
    tree: Any
    data: dict[str, Any]
    error: type[HwModelError]

    def at(self, location: Location) -> str:
        """`file:line:column` of the deepest part of a location that the file has."""
        line, column = _position(self.tree, location)
        return f"{self.place}:{line}:{column}"

    def named(self, location: Location) -> str:
        """`file:line:column memories[0].size`."""
        return f"{self.at(location)} {_path(location)}"

    def validated(
        self,
        model: type[Model],
        data: Mapping[str, Any] | None = None,
        *,
        moved: Mapping[Location, Location] | None = None,
        note: str = "",
    ) -> Model:
        """The file as a record.

        Args:
            model: the pydantic model of its top level.
            data: other values than its own; messages place them where the file has them.
            moved: where else in the file such a value stands.
            note: ends every message.

        Raises:
            HwModelError: (`error`) an unknown key or an invalid value.
        """
        given = self.data if data is None else data
        try:
            return model.model_validate(given)
        except ValidationError as problem:
            errors = _without_tags(problem.errors(), given)
            found = (_message(details, self.tree, model, self.place, moved or {}) + note for details in errors)
            messages = list(dict.fromkeys(found))
            if len(messages) > MAX_PROBLEMS:
                messages[MAX_PROBLEMS:] = [f"{self.place}: and {len(messages) - MAX_PROBLEMS} more"]
            raise self.error("\n".join(messages)) from None


def read_yaml(path: str | Path, model: type[Model], error: type[HwModelError] = ConfigError) -> Model:
    """Read and validate one YAML file.

    Args:
        path: the file.
        model: the pydantic model of its top level.
        error: the class to raise.

    Raises:
        HwModelError: (as `error`) the file is absent, is not YAML, breaks a limit, sets a key twice, has an unknown
            key or an invalid value. The message starts with `file:line:column` and ends with the fix.
    """
    return read_document(path, error).validated(model)


def parse_yaml(
    text: str, model: type[Model], place: str = "<text>", error: type[HwModelError] = ConfigError
) -> Model:
    """As `read_yaml`, from text; `place` stands for the file name in messages."""
    return parse_document(text, place, error).validated(model)


def read_document(path: str | Path, error: type[HwModelError] = ConfigError) -> Document:
    """Read one YAML file, whatever its keys.

    Raises:
        HwModelError: as `read_yaml`, but for keys and values.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{path}: is not UTF-8 text (byte {problem.start})") from problem
    return parse_document(text, str(path), error)


def parse_document(text: str, place: str = "<text>", error: type[HwModelError] = ConfigError) -> Document:
    """As `read_document`, from text."""
    tree = _load(text, place, error)
    if not isinstance(tree, Mapping):
        raise error(f"{place}:1 must be a mapping of keys to values, but is {_kind(tree)}")
    try:
        data = _plain(tree, ())
    except _NotPlainError as problem:
        line, column = _position(tree, problem.location)
        raise error(f"{place}:{line}:{column} {_path(problem.location)}: {problem}") from None
    return Document(place=place, text=text, tree=tree, data=data, error=error)


def dump_yaml(data: Mapping[str, Any], header: str = "") -> str:
    """Plain values as block-style YAML; `header` becomes leading comment lines."""
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = False
    yaml.width = 110
    stream = StringIO()
    yaml.dump(dict(data), stream)
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + stream.getvalue()


def _load(text: str, place: str, error: type[HwModelError]) -> Any:
    try:
        check_text(text)
    except ValueError as problem:
        raise error(f"{place}: {problem}") from None
    yaml = YAML(typ="rt", pure=True)
    yaml.Scanner, yaml.Composer = LimitedScanner, LimitedComposer
    try:
        return yaml.load(text)
    except DuplicateKeyError as problem:
        mark = problem.problem_mark
        key, first = _duplicate(problem, text)
        raise error(f"{place}:{mark.line + 1}:{mark.column + 1} {key!r} is already set at line {first}.") from None
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"{place}:{mark.line + 1}:{mark.column + 1}" if mark else place
        raise error(f"{where} is not valid YAML: {problem.problem or problem.context}") from None
    except YAMLError as problem:
        raise error(f"{place}: is not valid YAML: {problem}") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
    ) as problem:  # of the constructors, for what their tag does not fit
        raise error(f"{place}: is not valid YAML: {str(problem)[:200]}") from None


def _duplicate(problem: DuplicateKeyError, text: str) -> tuple[str, int]:
    """The doubled key, and the line on which its mapping sets it first."""
    lines = text.splitlines()
    mark, start = problem.problem_mark, problem.context_mark
    key = lines[mark.line][mark.column :].split(":", 1)[0].strip().strip("'\"")
    for number in range(start.line, mark.line + 1):
        before = lines[number][: mark.column] if number == mark.line else lines[number]
        for piece_start in (mark.column, before.find(f"{key}:")):
            if piece_start >= 0 and before[piece_start:].split(":", 1)[0].strip().strip("'\"") == key:
                return key, number + 1
    return key, start.line + 1


class _NotPlainError(Exception):
    """A value that is no text, number, truth value, list or mapping; `location`: where."""

    def __init__(self, text: str, location: Location) -> None:
        super().__init__(text)
        self.location = location


def _plain(node: Any, where: Location) -> Any:
    if isinstance(node, Mapping):
        keys = [_key(key, where) for key in node]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise _NotPlainError(f"{cut(twice)} is set twice, as a number and as text", where)
        return {key: _plain(value, (*where, key)) for key, value in zip(keys, node.values(), strict=True)}
    if isinstance(node, list):
        return [_plain(value, (*where, index)) for index, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError:
            raise _NotPlainError("holds half a character (a lone surrogate)", where) from None
        return str(node)
    if isinstance(node, int) and abs(node) < INTEGER_LIMIT:
        return int(node)
    if isinstance(node, float) and math.isfinite(node):
        return float(node)
    if isinstance(node, int | float):
        raise _NotPlainError(f"must be finite, and below 2^63 where it is whole, but got {cut(node)}", where)
    raise _NotPlainError(f"{type(node).__name__} is no kind of value here. Write text in quotes.", where)


def _key(key: Any, where: Location) -> str:
    if isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool) and abs(key) < INTEGER_LIMIT):
        return str(key)
    raise _NotPlainError(f"keys are text, but got {cut(key)}. Write it in quotes.", where)


def _position(tree: Any, location: Location) -> tuple[int, int]:
    """1-based line and column of the deepest part of `location` that the file has."""
    node, where = tree, (1, 1)
    for part in location:
        try:
            if isinstance(node, Mapping) and part in node:
                line, column = node.lc.key(part)  # type: ignore[attr-defined]
            elif isinstance(node, list) and isinstance(part, int):
                line, column = node.lc.item(part)  # type: ignore[attr-defined]
            else:
                continue  # pydantic adds the tag of a union to the location
            where, node = (line + 1, column + 1), node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return where


def _path(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def misplaced(text: str, *location: str | int) -> PydanticCustomError:
    """The error of a rule that several keys make up, at the one that breaks it.

    Args:
        text: the rule, the value, the fix.
        location: of that key, from the section whose validator raises this.
    """
    return PydanticCustomError(_MISPLACED, "{text}", {"text": text, "location": location})


_MISPLACED = "misplaced"


def _without_tags(errors: Sequence[ErrorDetails], data: Any) -> list[ErrorDetails]:
    """The errors at places that a file has, one of each value: pydantic puts the types of a union into places, and
    has an error for each of them."""
    found: dict[Location, ErrorDetails] = {}
    words: dict[Location, list[str]] = {}
    for details in errors:
        location = _in_data(details["loc"], data, is_key=details["type"] in ("missing", "extra_forbidden"))
        if details["type"] == "literal_error":
            words.setdefault(location, []).append(str(details.get("ctx", {}).get("expected")))
        before = found.get(location)
        if before is None or before["type"] == "literal_error" or before["type"].endswith("_type"):
            found[location] = {**details, "loc": location}  # of a union the member that says most
    for location, details in found.items():
        if words.get(location) and details["type"] != "literal_error":
            details["msg"] = f"{details['msg'].rstrip('.')}, or {' or '.join(words[location])}."
    return list(found.values())


def _in_data(location: Location, data: Any, *, is_key: bool) -> Location:
    """A location without what is no key or index of the data; `is_key`: its end is one that lacks or is unknown."""
    node, parts = data, list[int | str]()
    for n, part in enumerate(location):
        inside = isinstance(node, list | tuple) and isinstance(part, int) and part < len(node)
        if inside or (isinstance(node, Mapping) and part in node):
            node = node[part]
        elif not (is_key and n == len(location) - 1):
            continue
        parts.append(part)
    return tuple(parts)


def _message(
    details: ErrorDetails, tree: Any, model: type[BaseModel], place: str, moved: Mapping[Location, Location]
) -> str:
    location = details["loc"] + tuple(details.get("ctx", {}).get("location", ()))
    stated = next((moved[location[:n]] for n in range(len(location), 0, -1) if location[:n] in moved), location)
    line, column = _position(tree, stated)
    where = f"{place}:{line}:{column}"
    inside = f" in {_path(location[:-1])}" if len(location) > 1 else ""
    if details["type"] == "extra_forbidden":
        key = str(location[-1])
        return f"{where} unknown key {key!r}{inside}.{did_you_mean(key, _keys_at(model, location[:-1]))}"
    if details["type"] == "missing":
        return f"{where} {str(location[-1])!r} is missing{inside}."
    text = details["msg"].removeprefix("Value error, ")
    value = details["input"]
    if details["type"] not in ("value_error", _MISPLACED):
        text = f"{text}, but got {cut(value)}"
    path = _path(location)
    said = not path or text.startswith(f"{path}:")  # the rule names its own place
    return f"{where} {text}" if said else f"{where} {path}: {text}"


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """Keys that the model at a location accepts; the union of them where there are several models."""
    models = [model]
    for part in location:
        if isinstance(part, int):
            continue
        found = [m for owner in models if part in owner.model_fields
                 for m in _models_in(owner.model_fields[part].annotation)]  # fmt: skip
        models = found or models
    return [key for owner in models for key in owner.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _kind(value: Any) -> str:
    return "empty" if value is None else f"a {type(value).__name__}"
