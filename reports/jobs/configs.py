"""A configuration file as the commands read it, and as text in another format."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path
from typing import Any

from hwmodel.chip.yamlfile import dump_yaml
from hwmodel.csvfile import safe_cell
from hwmodel.errors import ConfigError
from reports.terminal.console import plain
from workloads.compress import ConfigFile, read_config


def config_path(source: Path) -> Path:
    """The configuration file of a run folder, or the file itself.

    Raises:
        ConfigError: neither is there.
    """
    if not source.exists():
        raise ConfigError(f"{source}: no such run or configuration file.")
    if not source.is_dir():
        return source
    path = source / "best.yaml"
    if not path.exists():
        resume = f"hwmodel resume {shlex.quote(str(source))}"
        raise ConfigError(f"{source}: holds no best.yaml yet. {resume} goes on with the search.")
    return path


def config_text(path: Path, format: str) -> str:
    """The configuration as `yaml`, `json` or `csv`."""
    file = read_config(path)
    data: dict[str, Any] = {
        "model": file.model,
        "fingerprint": file.fingerprint,
        "weights": weights_path(path, file),
        "layers": file.config.to_dict()["layers"],
        "metrics": plain(file.metrics),
        "provenance": plain(file.provenance.to_dict()),
    }
    if format == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if format == "yaml":
        return dump_yaml(data)
    return _csv(data["layers"])


def _csv(layers: dict[str, dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for choice in layers.values() for name in choice))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["module", *names])
    for module, choice in layers.items():
        writer.writerow([safe_cell(cell) for cell in (module, *(_cell(choice.get(name)) for name in names))])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    return " ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else value


def weights_path(path: Path, file: ConfigFile) -> str | None:
    """The `.safetensors` of a configuration, as a path from where the user stands; None where there is none."""
    named = file.provenance.checkpoint or file.metrics.get("checkpoint")
    candidates = [path.parent / str(named)] if named else []
    candidates.append(path.with_suffix(".safetensors"))
    return next((str(candidate) for candidate in candidates if candidate.is_file()), None)
