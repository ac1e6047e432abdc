"""`hwmodel export`: configurations and compressed models leave for other tools."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from hwmodel.files import write_atomic
from hwmodel.network.names import OK, WARNING
from reports.jobs.arguments import check_among
from reports.jobs.configs import config_path, config_text
from reports.jobs.formats import CONFIG_TEXTS, FORMATS, SUFFIX
from reports.jobs.picking import picked_run
from reports.terminal.console import emit, emit_json, make_console, say
from reports.terminal.tables import print_lines
from search.finetuning import Rebuilt, model_of, rebuild
from workloads import export as exporters
from workloads.compress import read_config


def export(
    *,
    source: Path | None,
    config: Path | None,
    format: str,
    output: Path | None,
    checkpoint: Path | None,
    pick: str | None,
    fold: bool,
    images: int,
    json: bool,
) -> None:
    """Write a configuration, or its compressed model."""
    if (source is None) == (config is None):
        raise typer.BadParameter("give a run or a configuration, once", param_hint="RUN|best.yaml")
    chosen = _checked_format("json" if json and format == "yaml" else format, output)
    given = source or config or Path()
    if given.exists():
        picked_run(given, pick)
    path = config_path(given)
    if chosen in SUFFIX and output is not None:
        _write_model(path, chosen, output, checkpoint, fold=fold, images=images, json=json)
        return
    text = config_text(path, chosen) if chosen in CONFIG_TEXTS else _other_text(path, chosen, checkpoint)
    if output is None:
        emit(text.rstrip("\n"))
        return
    write_atomic(output, text)
    say(f"Wrote {output}")


def _checked_format(format: str, output: Path | None) -> str:
    check_among(format, FORMATS, "--format")
    wanted = SUFFIX.get(format)
    if wanted is not None and (output is None or output.suffix != wanted):
        raise typer.BadParameter(
            f"{format} is a file: give one that ends in {wanted}, as -o model{wanted}", param_hint="--output"
        )
    return format


def _write_model(
    path: Path, format: str, output: Path, checkpoint: Path | None, *, fold: bool, images: int, json: bool
) -> None:
    """Write `onnx`, `qonnx` or `safetensors`, read it back, and say how it compares."""
    rebuilt = rebuild(path, checkpoint)
    if format == "safetensors":
        data, lines = _packed(rebuilt, output)
    else:
        data, lines = _onnx(rebuilt, format, output, fold=fold, images=images)
    if json:
        emit_json(data)
    else:
        print_lines(make_console(), lines)


def _packed(rebuilt: Rebuilt, output: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    size = exporters.save_packed(output, rebuilt.compressed, {"model": rebuilt.file.model})
    same = exporters.verify_packed(output, rebuilt.compressed)
    data = {
        "output": str(output), "size_bytes": size.size_bytes, "num_bytes": size.size_bytes,
        "float_bytes": size.float_bytes, "ratio": size.ratio,
        "code_bytes": size.code_bytes, "parameter_bytes": size.parameter_bytes, "other_bytes": size.other_bytes,
        "tensors_verified": same,
    }  # fmt: skip
    parts = f"codes {size.code_bytes:,}, scales {size.parameter_bytes:,}, other tensors {size.other_bytes:,}"
    return data, [
        (OK, f"wrote {output}: {size.size_bytes:,} bytes ({parts}), {size.compared}"),
        (OK, f"read back: {same} tensors equal to the last bit"),
    ]


def _onnx(
    rebuilt: Rebuilt, format: str, output: Path, *, fold: bool, images: int
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    x = rebuilt.data.example(max(1, images))
    made = exporters.export_onnx(
        output, rebuilt.compressed, x[:1], dialect="qdq" if format == "onnx" else "qonnx", fold=fold
    )
    folded = f", {len(made.folded)} batch norms folded" if fold else ""
    lines = [(OK, f"wrote {output}: {made.size_bytes:,} bytes, {len(made.layers)} quantized layers{folded}")]
    data: dict[str, Any] = {
        "output": str(output), "size_bytes": made.size_bytes, "num_bytes": made.size_bytes,
        "layers": made.layers, "folded": list(made.folded),
        "comparison": None,
    }  # fmt: skip
    if images:
        found = exporters.compare_onnx(output, rebuilt.compressed, x)
        data["comparison"] = asdict(found)
        lines.append((OK if found.same_top1 == 1 else WARNING, str(found)))
    return data, lines


def _other_text(path: Path, format: str, checkpoint: Path | None) -> str:
    """`torchao`, `brevitas` or `bits` as JSON text."""
    makers = {"torchao": _torchao, "brevitas": _brevitas, "bits": _bits}
    return jsonlib.dumps(makers[format](path, checkpoint), indent=2) + "\n"


def _brevitas(path: Path, checkpoint: Path | None) -> dict[str, Any]:
    return exporters.brevitas_layers(rebuild(path, checkpoint).compressed)


def _torchao(path: Path, _: Path | None) -> dict[str, Any]:
    file = read_config(path)
    model = model_of(file, path)
    made = exporters.torchao_config(file.config, linear=None if model is None else exporters.linear_names(model))
    for name, reason in made.left_out.items():
        say(f"{name}: left out {reason}")
    return made.data


def _bits(path: Path, _: Path | None) -> dict[str, Any]:
    """Both kinds of bit lists, and the layers that they are of."""
    file = read_config(path)
    model = model_of(file, path)
    names = exporters.layer_names(file.config.layers if model is None else model)
    return {
        "layers": names,
        "haq": exporters.haq_bits(file.config, names),
        "hawq": exporters.hawq_bits(file.config, names),
    }
