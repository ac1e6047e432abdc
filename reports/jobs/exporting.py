"""What `hwmodel export` writes for other tools: compressed models, and configurations in their forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.finetuning import Rebuilt
    from workloads.export import Comparison, OnnxExport, PackedSize


def write_model(
    path: Path, format: str, output: Path, checkpoint: Path | None, *, fold: bool, images: int, json: bool
) -> None:
    """Write `onnx`, `qonnx` or `safetensors`, read it back, and say how it compares."""
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.tables import print_lines
    from search.finetuning import rebuild

    rebuilt = rebuild(path, checkpoint)
    if format == "safetensors":
        facts, lines = _packed(rebuilt, output)
    else:
        facts, lines = _onnx(rebuilt, format, output, fold=fold, images=images)
    if json:
        emit_json(facts)
    else:
        print_lines(make_console(), lines)


def _packed(rebuilt: Rebuilt, output: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from hwmodel.network.names import OK
    from workloads.export import save_packed, verify_packed

    size: PackedSize = save_packed(output, rebuilt.compressed, {"model": rebuilt.file.model})
    same = verify_packed(output, rebuilt.compressed)
    facts = {
        "output": str(output), "num_bytes": size.num_bytes, "float_bytes": size.float_bytes, "ratio": size.ratio,
        "code_bytes": size.code_bytes, "parameter_bytes": size.parameter_bytes, "other_bytes": size.other_bytes,
        "tensors_verified": same,
    }  # fmt: skip
    parts = f"codes {size.code_bytes:,}, scales {size.parameter_bytes:,}, other tensors {size.other_bytes:,}"
    return facts, [
        (OK, f"wrote {output}: {size.num_bytes:,} bytes ({parts}), {size.compared}"),
        (OK, f"read back: {same} tensors equal to the last bit"),
    ]


def _onnx(
    rebuilt: Rebuilt, format: str, output: Path, *, fold: bool, images: int
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from dataclasses import asdict

    from hwmodel.network.names import OK, WARNING
    from workloads.export import compare_onnx, export_onnx

    x = rebuilt.data.example(max(1, images))
    made: OnnxExport = export_onnx(
        rebuilt.compressed, x[:1], output, dialect="qdq" if format == "onnx" else "qonnx", fold=fold
    )
    folded = f", {len(made.folded)} batch norms folded" if fold else ""
    lines = [(OK, f"wrote {output}: {made.num_bytes:,} bytes, {len(made.layers)} quantized layers{folded}")]
    facts: dict[str, Any] = {
        "output": str(output), "num_bytes": made.num_bytes, "layers": made.layers, "folded": list(made.folded),
        "comparison": None,
    }  # fmt: skip
    if images:
        found: Comparison = compare_onnx(output, rebuilt.compressed, x)
        facts["comparison"] = asdict(found)
        lines.append((OK if found.same_top1 == 1 else WARNING, str(found)))
    return facts, lines


def written(path: Path, format: str, checkpoint: Path | None) -> str:
    """`torchao`, `brevitas` or `bits` as JSON text."""
    import json

    if format == "brevitas":
        from search.finetuning import rebuild
        from workloads.export import brevitas_layers

        return json.dumps(brevitas_layers(rebuild(path, checkpoint).compressed), indent=2) + "\n"
    return json.dumps(_torchao(path) if format == "torchao" else _bits(path), indent=2) + "\n"


def _torchao(path: Path) -> dict[str, Any]:
    from reports.terminal.console import say
    from search.finetuning import model_of
    from workloads.compress import read_config
    from workloads.export import linear_names, torchao_config

    file = read_config(path)
    model = model_of(file, path)
    made = torchao_config(file.config, linear=None if model is None else linear_names(model))
    for name, reason in made.left_out.items():
        say(f"{name}: left out {reason}")
    return made.data


def _bits(path: Path) -> dict[str, Any]:
    """Both kinds of bit lists, and the layers that they are of."""
    from search.finetuning import model_of
    from workloads.compress import read_config
    from workloads.export import haq_bits, hawq_bits, layer_names

    file = read_config(path)
    model = model_of(file, path)
    names = layer_names(file.config.layers if model is None else model)
    return {"layers": names, "haq": haq_bits(file.config, names), "hawq": hawq_bits(file.config, names)}
