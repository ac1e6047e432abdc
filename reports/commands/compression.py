"""`hwmodel export`: a configuration leaves for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.commands.options import JsonOption

if TYPE_CHECKING:
    from workloads.compress import ConfigFile

TEXTS = ("yaml", "json", "csv", "torchao", "brevitas", "bits")
FILES = ("onnx", "qonnx", "safetensors")
FORMATS = (*TEXTS, *FILES)
SUFFIX = {"onnx": ".onnx", "qonnx": ".onnx", "safetensors": ".safetensors"}
CheckpointOption = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE.safetensors", help="Its weights; default: those of the file."),
]


def export(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="RUN|best.yaml", help="Folder of a run, or a configuration.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="best.yaml", help="The same, as an option.", show_default=False),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    ] = "yaml",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here; text goes to stdout without it.", show_default=False),
    ] = None,
    checkpoint: CheckpointOption = None,
    fold: Annotated[
        bool, typer.Option("--fold-norms", help="ONNX: batch norms go into scales and biases.")
    ] = False,
    images: Annotated[int, typer.Option("--check", min=0, help="ONNX: validation images to compare on.")] = 64,
    json: JsonOption = False,
) -> None:
    """Write the picked configuration, or its compressed model, for another tool."""
    from reports.jobs.exporting import write_model, written
    from reports.terminal.console import emit, say

    if (source is None) == (config is None):
        raise typer.BadParameter("give a run or a configuration, once", param_hint="RUN|best.yaml")
    chosen = _checked_format("json" if json and format == "yaml" else format, output)
    path = config_path(source or config or Path())
    if chosen in FILES and output is not None:
        write_model(path, chosen, output, checkpoint, fold=fold, images=images, json=json)
        return
    text = exported(path, chosen) if chosen in ("yaml", "json", "csv") else written(path, chosen, checkpoint)
    if output is None:
        emit(text.rstrip("\n"))
        return
    from hwmodel.files import write_atomic

    write_atomic(output, text)
    say(f"Wrote {output}")


def _checked_format(format: str, output: Path | None) -> str:
    from hwmodel.errors import did_you_mean

    if format not in FORMATS:
        raise typer.BadParameter(
            f"must be among {', '.join(FORMATS)}, but got {format!r}.{did_you_mean(format, FORMATS)}",
            param_hint="--format",
        )
    wanted = SUFFIX.get(format)
    if wanted is not None and (output is None or output.suffix != wanted):
        raise typer.BadParameter(
            f"{format} is a file: give one that ends in {wanted}, as -o model{wanted}", param_hint="--output"
        )
    return format


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run or a configuration.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Show in which layers two configurations differ."""
    from dataclasses import asdict

    from reports.terminal.console import emit, emit_json
    from workloads.compress import diff as differences
    from workloads.compress import read_config

    one, two = (read_config(config_path(path)).config for path in (first, second))
    found = differences(one, two)
    if json:
        emit_json([asdict(item) for item in found])
    else:
        modules = len({item.module for item in found})
        emit("\n".join([*map(str, found), f"{len(found)} differences in {modules} of {len(one.layers)} layers"]))


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

    from hwmodel.chip.yamlfile import dump_yaml
    from reports.terminal.console import plain
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
