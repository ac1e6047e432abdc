"""`hwmodel export`: a configuration leaves for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.commands.common import JsonOption

if TYPE_CHECKING:
    from workloads.compress import ConfigFile

FORMATS = ("yaml", "json", "csv")


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|best.yaml", help="Folder of a run, or a configuration.", show_default=False),
    ],
    format: Annotated[str, typer.Option("--format", "-f", help="yaml, json or csv.")] = "yaml",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of to stdout.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the picked configuration, bits by layer, for another tool."""
    from hwmodel.errors import did_you_mean
    from reports.console import emit, say

    chosen = "json" if json else format
    if chosen not in FORMATS:
        raise typer.BadParameter(
            f"must be among {', '.join(FORMATS)}, but got {format!r}.{did_you_mean(format, FORMATS)}",
            param_hint="--format",
        )
    path = config_path(source)
    text = exported(path, chosen)
    if output is None:
        emit(text.rstrip("\n"))
        return
    from hwmodel.files import write_atomic

    write_atomic(output, text)
    say(f"Wrote {output}")


def config_path(source: Path) -> Path:
    """The configuration file of a run folder, or the file itself.

    Raises:
        ConfigError: neither is there.
    """
    from hwmodel.errors import ConfigError

    if not source.exists():
        raise ConfigError(f"{source}: no such run or configuration file.")
    if not source.is_dir():
        return source
    path = source / "best.yaml"
    if not path.exists():
        raise ConfigError(f"{source}: holds no best.yaml yet. hwmodel resume {source} goes on with the search.")
    return path


def exported(path: Path, format: str) -> str:
    """The configuration as text in one of `FORMATS`."""
    import json

    from hwmodel.schema import dump_yaml
    from reports.console import plain
    from workloads.compress import read_config

    file = read_config(path)
    data: dict[str, Any] = {
        "model": file.model,
        "fingerprint": file.fingerprint,
        "weights": weights_path(path, file),
        "layers": file.config.to_dict()["layers"],
        "metrics": plain(file.metrics),
        "provenance": plain(file.provenance),
    }
    if format == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if format == "yaml":
        return dump_yaml(data)
    return _csv(data["layers"])


def _csv(layers: dict[str, dict[str, Any]]) -> str:
    import csv
    import io

    names = list(dict.fromkeys(name for choice in layers.values() for name in choice))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["module", *names])
    for module, choice in layers.items():
        writer.writerow([module, *(_cell(choice.get(name)) for name in names)])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    return " ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else value


def weights_path(path: Path, file: ConfigFile) -> str | None:
    """The `.safetensors` of a configuration, as a path from where the user stands; None where there is none."""
    named = file.provenance.get("checkpoint") or file.metrics.get("checkpoint")
    candidates = [path.parent / str(named)] if named else []
    candidates.append(path.with_suffix(".safetensors"))
    return next((str(candidate) for candidate in candidates if candidate.is_file()), None)
