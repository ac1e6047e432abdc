"""The pages of the keys of search files and chip files, read from the records that check them."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.generate.tables import code, section_of, summary_of, table
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.components.keys import ArithmeticKeys, PartKeys
from hwmodel.chip.formats import Format, FormatSection
from search import SearchSpec, Space
from search.explore.spec import ExploreSpec
from workloads.training import TrainSettings

#: Keys that a run writes into its copy of the file.
WRITTEN_BY_RUNS = frozenset({"provenance"})

#: Records that others take keys from.
KEYS = (PartKeys, ArithmeticKeys)

#: The record of a number format, of which a `Format` is made.
FORMATS: object = typing.get_args(FormatSection)[0]


def keys_of_searches() -> str:
    """The page of `hwmodel search FILE`."""
    parts = [
        "# Keys of a search file\n",
        "What a search does with them: [Searching](../../explain/search.md).\n",
        *_sections(SearchSpec, "The file", hidden=WRITTEN_BY_RUNS),
        "## training.float, training.qat\n",
        f"{summary_of(TrainSettings)}\n",
        _settings(),
    ]
    return "\n".join(parts)


def keys_of_explorations() -> str:
    """The page of `hwmodel explore FILE.yaml`."""
    intro = "What an exploration does with them: [Exploring chips](../../howto/exploring.md).\n"
    return "\n".join(["# Keys of an exploration file\n", intro, *_sections(ExploreSpec, "The file")])


def keys_of_chips() -> str:
    """The page of accelerator files."""
    intro = "One file with comments, and what is refused: [Describing an accelerator](../accelerators.md).\n"
    return "\n".join(["# Keys of a chip file\n", intro, *_sections(ChipFile, "The file")])


def models_below(model: type[BaseModel], path: str = "") -> dict[str, type[BaseModel]]:
    """The records that a record is made of, each under the path of its keys: '' is itself."""
    found = {path: model}
    for name, field in model.model_fields.items():
        for inner in _models_in(field.annotation):
            found |= models_below(inner, f"{path}.{name}".lstrip("."))
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _sections(top: type[BaseModel], title: str, hidden: frozenset[str] = frozenset()) -> list[str]:
    parts = []
    for path, model in models_below(top).items():
        parts += [f"## {path or title}\n", f"{summary_of(model)}\n", _fields(model, hidden)]
    return parts


def _fields(model: type[BaseModel], hidden: frozenset[str]) -> str:
    said = _meanings(model)
    rows = []
    for name, field in model.model_fields.items():
        if name not in hidden:
            rows.append((code(name), code(type_name(field.annotation)), _default(field), said.get(name, "")))
    return table(("key", "value", "default", "meaning"), rows)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstring of a record says of its keys, or that of what the keys are arguments of."""
    if model is FORMATS:
        said = section_of(Format, "Attributes")
        named = [field for field in dataclasses.fields(Format) if "key" in field.metadata]
        return {field.metadata["key"]: said[field.name] for field in named}
    own = section_of(model, "Attributes")
    if not own:
        return section_of(Space.from_graph, "Args")
    return {**(_meanings(model.__base__) if model.__base__ in KEYS else {}), **own}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory_takes_validated_data:
        return "it depends"
    return _shown(field.get_default(call_default_factory=True))


def _settings() -> str:
    said = section_of(TrainSettings, "Attributes")
    types_of = typing.get_type_hints(TrainSettings)
    rows = [
        (code(field.name), code(type_name(types_of[field.name])), _shown(field.default), said.get(field.name, ""))
        for field in dataclasses.fields(TrainSettings)
    ]
    return table(("key", "value", "default", "meaning"), rows)


def type_name(annotation: Any) -> str:
    """A type in few words: `int`, `list of int`, `ws, os, is`, `text or int`."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(part) for part in args if part is not type(None))
    if origin in (list, tuple, typing.Annotated):
        return f"list of {type_name(args[0])}" if origin is not typing.Annotated else type_name(args[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    plain = {str: "text", Any: "anything", dict: "mapping"}
    return plain.get(origin or annotation, getattr(annotation, "__name__", str(annotation)))


def _shown(value: object) -> str:
    if value is None or value in ("", (), [], {}) or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(str(list(value) if isinstance(value, tuple) else value))
