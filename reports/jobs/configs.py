"""A configuration file as the commands read it, as text in another format, and beside another (`hwmodel diff`)."""

from __future__ import annotations

import csv
import io
import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwmodel.chip.yamlfile import dump_yaml
from hwmodel.csvfile import safe_cell
from hwmodel.errors import ConfigError
from reports.terminal.console import emit_json, make_console, plain
from reports.terminal.tables import print_lines
from workloads.compress import ConfigFile, read_config
from workloads.compress import diff as differences


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


def diff(*, first: Path, second: Path, json: bool) -> None:
    """Show what differs, one line per layer and field."""
    one, two = (read_config(config_path(path)).config for path in (first, second))
    found = differences(one, two)
    if json:
        emit_json([asdict(item) for item in found])
        return
    modules = len({item.module for item in found})
    total = f"{len(found)} differences in {modules} of {len(one.layers)} layers"
    print_lines(make_console(), [("", text) for text in (*map(str, found), total)])
