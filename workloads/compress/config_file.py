"""`best.yaml`: a configuration with the model it was made for, its metrics and its provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from hwmodel.chip.yamlfile import Field, Schema, dump_yaml, model_validator, parse_yaml, read_yaml
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from hwmodel.network.graph import LayerGraph
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.patterns import is_pattern

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.chip.sweep.designs import Designs

SCHEMA_VERSION = 1
_NOT_YAML = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".npz", ".safetensors"})
_RECORDED = ("hwmodel", "torch", "numpy", "optuna", "safetensors")


class MadeWith(Schema):
    """A model or a data set by name, and the options that `load_model` or `load_data` made it with."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class ChipRecord(Schema):
    """An accelerator by name, and the hash of its description; both "" where there is none."""

    name: str = ""
    fingerprint: str = ""

    @classmethod
    def of(cls, chip: Accelerator | Designs | None) -> Self:
        """Of an accelerator, of all designs of a chip file with ranges, or none."""
        return cls() if chip is None else cls(name=chip.name, fingerprint=chip.fingerprint)


class Provenance(Schema, extra="allow"):
    """Where a configuration comes from, and what rebuilds its model. Keys of users stay as they are.

    Attributes:
        versions: of what computed it, by package.
        seed: of the run.
        accelerator: that priced it.
        command: that reproduces it.
        model, data: that it was searched on; None where the file does not name them.
        training: settings of its finetuning, by the names of `TrainSettings`.
        checkpoint, float_checkpoint: its weights, and those of the float model, relative to the file.
    """

    versions: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    accelerator: ChipRecord = Field(default_factory=ChipRecord)
    command: str = ""
    model: MadeWith | None = None
    data: MadeWith | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    checkpoint: str | None = None
    float_checkpoint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a file holds it; what would rebuild the model is left out where it is not known."""
        rebuilding = ("model", "data", "training", "checkpoint", "float_checkpoint")
        return self.model_dump(exclude={name for name in rebuilding if not getattr(self, name)})


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """What a configuration file holds.

    Attributes:
        config: the choices.
        fingerprint: of the graph of the model it was made for.
        model: that model's name.
        metrics: what was measured with it.
        provenance: where it comes from.
        path: where it was read, for messages.
    """

    config: CompressionConfig
    fingerprint: str
    model: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    path: str = "configuration"


class _LayerRecord(Schema):
    w_bits: int | None = Field(default=32, strict=True)
    a_bits: int | None = Field(default=32, strict=True)
    density: float = Field(default=1.0, strict=True)
    pattern: str = "unstructured"
    keep_channels: list[int] | None = None
    quantizer: str = "lsq"
    granularity: str = "tensor"
    observer: str = "default"
    rounding: str = "nearest"

    @model_validator(mode="after")
    def _valid(self) -> _LayerRecord:
        LayerChoice.from_dict(self.model_dump())
        return self


class _FileRecord(Schema):
    schema_version: Literal[1] = Field(alias="schema")
    model: str
    fingerprint: str = Field(pattern=r"^[0-9a-f]+$", strict=True)
    layers: dict[str, _LayerRecord]
    metrics: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance = Field(default_factory=Provenance)


def _check_suffix(path: str | Path) -> None:
    """Raises:
    ConfigError: the suffix is one of weights.
    """
    if Path(path).suffix.lower() in _NOT_YAML:
        raise ConfigError(f"{Path(path).name}: a configuration is YAML, but this is of weights. Name it .yaml.")


def write_config(
    path: str | Path,
    config: CompressionConfig,
    graph: LayerGraph,
    *,
    metrics: Mapping[str, Any] | None = None,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> Path:
    """Write `best.yaml`, whole or not at all.

    Args:
        path: the file; folders are made as needed.
        config: every name must match a layer of `graph`.
        graph: of the model; gives name and fingerprint.
        metrics: plain values (numbers, text, lists, mappings of these).
        provenance: a record, or plain values under its names and others.

    Returns:
        The path.

    Raises:
        ConfigError: the suffix is one of weights, a value is not plain, or `provenance` has a name of the
            record with another kind of value.
        GraphError: a name matches no layer.
    """
    _check_suffix(path)
    config = config.resolved(graph)
    data = {
        "schema": SCHEMA_VERSION,
        "model": graph.name,
        "fingerprint": graph.fingerprint,
        "layers": config.to_dict()["layers"],
        "metrics": _plain(metrics or {}, "metrics"),
        "provenance": _plain_provenance(provenance),
    }
    header = "Bits, density and quantizer by module name. Modules left out stay float."
    return write_atomic(path, dump_yaml(data, header=header))


def read_config(path: str | Path) -> ConfigFile:
    """Read a file of `write_config`.

    Raises:
        ConfigError: it is absent, a file of weights, no valid YAML, has an unknown key or an invalid value; the
            message starts with the line and column.
    """
    _check_suffix(path)
    record = read_yaml(path, _FileRecord)
    layers = {name: LayerChoice.from_dict(item.model_dump()) for name, item in record.layers.items()}
    return ConfigFile(
        config=CompressionConfig(layers),
        fingerprint=record.fingerprint,
        model=record.model,
        metrics=MappingProxyType(record.metrics),
        provenance=record.provenance,
        path=Path(path).name,
    )


def check_model(file: ConfigFile, graph: LayerGraph, *, allow_other_shape: bool = False) -> None:
    """The file must have been made for the model of this graph.

    Args:
        file: what was read.
        graph: of the model at hand.
        allow_other_shape: accept another fingerprint as long as every name matches (the same model at
            another input size).

    Raises:
        ConfigError: another model; the message counts the names that do not match.
    """
    if file.fingerprint == graph.fingerprint:
        return
    known = graph.layer_modules.union(graph.aliases)
    missing = [name for name in file.config.layers if name not in known and not is_pattern(name)]
    made_for = f"{file.path} was made for {file.model} (fingerprint {file.fingerprint[:4]}…); this is {graph.name}"
    if missing:
        raise ConfigError(f"{made_for}: {len(missing)} of {len(file.config.layers)} names do not match.")
    if not allow_other_shape:
        raise ConfigError(
            f"{made_for} (fingerprint {graph.fingerprint[:4]}…): all {len(file.config.layers)} names match, but "
            "the shapes or connections differ. If only the input size changed, allow another shape."
        )


def provenance(
    *,
    seed: int | None = None,
    accelerator: str = "",
    accelerator_fingerprint: str = "",
    command: str = "",
) -> Provenance:
    """Where a result comes from: versions of what computed it, and what the caller says.

    Args:
        seed: of the run.
        accelerator, accelerator_fingerprint: its name and the hash of its description.
        command: that reproduces the result.
    """
    chip = ChipRecord(name=accelerator, fingerprint=accelerator_fingerprint)
    return Provenance(versions=versions(), seed=seed, accelerator=chip, command=command)


def versions() -> dict[str, str]:
    """Python and the packages that decide a result."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _plain_provenance(given: Provenance | Mapping[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    record = given.to_dict() if isinstance(given, Provenance) else given
    plain: dict[str, Any] = _plain(record, "provenance")
    if not isinstance(given, Provenance):
        parse_yaml(dump_yaml(plain), Provenance, place="provenance")  # refused here, not when it is read
    return plain


def _plain(value: Any, place: str) -> Any:
    """Values that YAML can hold; NumPy scalars become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, (bool, str)):
        return value
    scalar = value.item() if hasattr(value, "item") else value
    if isinstance(scalar, (bool, int, float)):
        return int(scalar) if isinstance(scalar, int) and not isinstance(scalar, bool) else scalar
    raise ConfigError(f"{place} must be a number, text, a list or a mapping, but got {value!r}")
