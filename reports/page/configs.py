"""The configurations of the candidates, compactly: an alphabet of choices, and an index in it per layer.

The page writes the YAML of any candidate from the same parts, as `workloads.compress.read_config` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from hwmodel.chip.yamlfile import dump_yaml
from hwmodel.network.names import safe_name
from reports.run.folder import Run
from workloads.compress import CompressionConfig, LayerChoice
from workloads.compress.config_file import SCHEMA_VERSION

#: Digits of the indices.
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: The files of a run that a configuration of another candidate must not claim.
_OF_THE_PICK = ("checkpoint",)


class Choice(TypedDict):
    """What a layer may be; `yaml` are the lines below its name, none where it is left out and stays float."""

    w: int
    a: int
    label: str
    yaml: list[str]


class Configs(TypedDict):
    """All configurations.

    `modules` are names, `keys` the same as YAML; `codes` hold `width` digits of `DIGITS` per module, an index in
    `choices`; `of` is the position in `codes` of every candidate. `head` and `tail` stand around the layers and the
    metrics of a file.
    """

    modules: list[str]
    keys: list[str]
    choices: list[Choice]
    digits: str
    width: int
    codes: list[str]
    of: list[int]
    head: str
    tail: str


def configs_of(run: Run, numbers: Sequence[int]) -> Configs:
    """The configurations of the candidates with these numbers."""
    results = {result.number: result for result in run.results}
    rows = [results[number] for number in numbers]
    layers = {result.key: CompressionConfig.from_dict(result.config).layers for result in rows}
    modules = _modules(run, layers.values())
    alphabet: dict[LayerChoice | None, int] = {None: 0}
    indices = {
        key: [alphabet.setdefault(found.get(name), len(alphabet)) for name in modules]
        for key, found in layers.items()
    }
    width = 1 if len(alphabet) <= len(DIGITS) else 2
    position = {key: number for number, key in enumerate(layers)}
    return {
        "modules": [safe_name(name) for name in modules],
        "keys": [yaml_key(name) for name in modules],
        "choices": [_choice(choice) for choice in alphabet],
        "digits": DIGITS,
        "width": width,
        "codes": ["".join(_code(index, width) for index in found) for found in indices.values()],
        "of": [position[result.key] for result in rows],
        "head": _head(run),
        "tail": dump_yaml({"provenance": _provenance(run)}),
    }


def _modules(run: Run, layers: Any) -> list[str]:
    """Every module that some configuration names, in the order of the graph."""
    named = {name for found in layers for name in found}
    return [name for name in dict.fromkeys([*run.graph.modules, *sorted(named)]) if name in named]


def _code(index: int, width: int) -> str:
    return DIGITS[index] if width == 1 else DIGITS[index // len(DIGITS)] + DIGITS[index % len(DIGITS)]


def _choice(choice: LayerChoice | None) -> Choice:
    own = choice or LayerChoice()
    lines = [] if choice is None else [f"{name}: {json.dumps(value)}" for name, value in choice.to_dict().items()]
    return {"w": own.w_bits or 32, "a": own.a_bits or 32, "label": choice_label(own), "yaml": lines}


def choice_label(choice: LayerChoice) -> str:
    """`4/8` (weight and activation bits), `4/8 × 0.5` where it is pruned, `float`."""
    widths = "/".join("float" if bits == 32 else str(bits) for bits in (choice.w_bits, choice.a_bits))
    kept = "" if choice.keep_channels is None else f", {len(choice.keep_channels)} channels"
    return ("float" if widths == "float/float" else widths) + (
        f" × {choice.density:g}{kept}" if choice.density < 1 or kept else ""
    )


def yaml_key(name: str) -> str:
    """A name as a key of YAML: in double quotes, everything but printable ASCII escaped."""
    escaped = (c if " " <= c <= "~" and c not in '"\\' else _escape(c) for c in name)
    return f'"{"".join(escaped)}"'


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _head(run: Run) -> str:
    header = "Bits, density and quantizer by module name. Modules left out stay float."
    return dump_yaml(
        {"schema": SCHEMA_VERSION, "model": run.graph.name, "fingerprint": run.graph.fingerprint}, header=header
    )


def _provenance(run: Run) -> Mapping[str, Any]:
    return {name: value for name, value in run.provenance.items() if name not in _OF_THE_PICK}
