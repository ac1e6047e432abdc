"""Models, shapes and configurations by name, as several commands read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.mapper.free import Objective
    from hwmodel.network.choice import Choice
    from hwmodel.network.graph import LayerGraph
    from workloads.compress import CompressionConfig, ConfigFile

PHASES = ("prefill", "decode")
DEFAULT_CONTEXT = 2048
OBJECTIVES: dict[str, Objective] = {"energy": "energy", "latency": "latency", "edp": "edp"}


def check_objective(name: str) -> Objective:
    """The objective of the mapper, checked; a typo is a usage error."""
    from hwmodel.errors import did_you_mean

    if name not in OBJECTIVES:
        raise typer.BadParameter(
            f"must be among {', '.join(OBJECTIVES)}, but got {name!r}.{did_you_mean(name, OBJECTIVES)}",
            param_hint="--optimize",
        )
    return OBJECTIVES[name]


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """`1,3,224,224` (or with x) as a tuple."""
    if text is None:
        return None
    parts = text.replace("x", ",").replace("×", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"must be integers >= 1 with commas between, as 1,3,224,224, but got {text!r}", param_hint="--input"
        )
    shape = tuple(int(part) for part in parts)
    if len(shape) < 2:
        raise typer.BadParameter(
            f"must be the batch and then the shape of one input, as 1,3,224,224, but got {text!r}",
            param_hint="--input",
        )
    return shape


def parse_options(pairs: list[str] | None, hint: str = "--option") -> dict[str, Any]:
    """`["width=2", "pretrained=false"]` as {"width": 2, "pretrained": False}."""
    options: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"must be KEY=VALUE, but got {pair!r}", param_hint=hint)
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


MEASURED_IMAGES = 64


def traced(
    model: str,
    shape: str | None,
    pairs: list[str] | None,
    *,
    strict: bool = False,
    made_with: Mapping[str, Any] | None = None,
    measure: str | None = None,
) -> LayerGraph:
    """The graph of a model given by name.

    Args:
        model: a name, FILE.py:function, timm:NAME, hf:CONFIG or FILE.onnx.
        shape: of the input, batch first, as text; None is the model's own. Of an ONNX file also by name.
        pairs: options as KEY=VALUE.
        strict: an op without a rule is an error.
        made_with: options unless `pairs` give others.
        measure: name of the data on which to measure the density of activations; None leaves them dense.

    Raises:
        HwModelError: no model has that name, it does not run on the input, or (strict) an op of it
            has no rule.
    """
    if model.endswith(".onnx"):
        if measure is not None:
            raise typer.BadParameter("an ONNX file is not run: give the model", param_hint="--measure-density")
        return _traced_onnx(model, shape, pairs, strict=strict)
    options, shape_with_batch = {**(made_with or {}), **parse_options(pairs)}, parse_shape(shape)
    from workloads.models import load_model_with_input
    from workloads.tracing import trace_model

    if shape_with_batch is None:
        module, args = load_model_with_input(model, **options)
    else:
        batch, *one = shape_with_batch
        module, args = load_model_with_input(model, input_shape=one, batch=batch, **options)
    graph = trace_model(module, args, strict=strict, name=short_name(model))
    if measure is None:
        return graph
    from reports.terminal.console import say
    from workloads import load_data
    from workloads.tracing import measure_activation_density

    if args[0].dim() != 4:
        raise typer.BadParameter(
            f"needs a model of images, but {model} takes {tuple(args[0].shape)}", param_hint="--measure-density"
        )
    channels, size = args[0].shape[1], args[0].shape[-1]
    sizes = {"channels": channels, "size": size} if measure in ("digits", "mnist") else {}
    images = load_data(measure, **sizes).validation.take(MEASURED_IMAGES).x
    measured = measure_activation_density(module, graph, images)
    mean = sum(layer.macs * layer.density.i for layer in measured.layers) / (measured.macs or 1)
    say(f"Activations on {len(images)} images of {measure}: density {mean:.2f}, mean by MACs.")
    return measured


def phase_traced(
    model: str, pairs: list[str] | None, *, phase: str, context: int | None, strict: bool = False
) -> LayerGraph:
    """The prefill or the decode step of a language model given by name.

    Raises:
        HwModelError: as for `traced`, or the model has no cache.
    """
    from workloads.decode import decode_workloads
    from workloads.models import load_model

    options = parse_options(pairs)
    if model == "transformer" and context is not None:
        options.setdefault("context", context)
    module = load_model(model, **options)
    length = context or getattr(module, "input_shape", (DEFAULT_CONTEXT,))[0]
    phases = decode_workloads(module, context=length, name=short_name(model), strict=strict)
    return phases.prefill if phase == "prefill" else phases.decode


def check_phase(phase: str | None, context: int | None, *, with_shape: bool, measured: bool) -> None:
    """`--phase` and what goes with it; a usage error where they do not fit."""
    from hwmodel.errors import did_you_mean

    if phase is None:
        if context is not None:
            raise typer.BadParameter("needs --phase prefill or --phase decode", param_hint="--context")
        return
    if phase not in PHASES:
        raise typer.BadParameter(
            f"must be among {', '.join(PHASES)}, but got {phase!r}.{did_you_mean(phase, PHASES)}",
            param_hint="--phase",
        )
    if with_shape:
        raise typer.BadParameter("give --context instead of --input", param_hint="--phase")
    if measured:
        raise typer.BadParameter("densities are measured on images, not on tokens", param_hint="--measure-density")


def check_output(path: Path | None, kinds: tuple[str, ...], option: str) -> None:
    """A file to write has one of the suffixes (`.png`, ...); checked before anything is computed."""
    if path is not None and path.suffix.lower() not in kinds:
        raise typer.BadParameter(f"must end in {', '.join(kinds)}, but got {str(path)!r}", param_hint=option)


def check_csv(csv: str | None, *, json: bool) -> None:
    """Two results cannot share stdout."""
    if csv == "-" and json:
        raise typer.BadParameter("give either --csv - or --json: both go to stdout", param_hint="--csv")


def write_csv(frame: pd.DataFrame, csv: str) -> None:
    """A frame as CSV into a file, or on stdout where that is `-`."""
    from hwmodel.files import write_atomic
    from reports.terminal.console import emit, say

    text = frame.to_csv(index=False, lineterminator="\n")
    if csv == "-":
        emit(text.removesuffix("\n"))
    else:
        with writing(csv, "--csv"):
            write_atomic(csv, text)
        say(f"{csv}: {len(frame)} layers")


@contextmanager
def writing(path: str | Path, option: str) -> Iterator[None]:
    """A path that cannot be written is a usage error of the option that names it."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"cannot write {str(path)!r}: {error.strerror}", param_hint=option) from error


def _traced_onnx(path: str, shapes: str | None, pairs: list[str] | None, *, strict: bool) -> LayerGraph:
    if pairs:
        raise typer.BadParameter("an ONNX file has no options", param_hint="--option")
    from workloads import trace_onnx

    return trace_onnx(path, shapes=parse_shapes(shapes), strict=strict)


def check_input(model: str, text: str | None) -> None:
    """A shape that cannot be read is a usage error, before anything is loaded."""
    if model.endswith(".onnx"):
        parse_shapes(text)
    else:
        parse_shape(text)


def parse_shapes(text: str | None) -> dict[str, tuple[int, ...] | int]:
    """`ids=1,128;sequence=16` as {"ids": (1, 128), "sequence": 16}; a shape without a name as {"": shape}."""
    shapes: dict[str, tuple[int, ...] | int] = {}
    for part in text.split(";") if text else ():
        name, equals, bounds = part.rpartition("=")
        if equals and bounds.strip().isdecimal():
            shapes[name.strip()] = int(bounds)
        elif (shape := parse_shape(bounds)) is not None:
            shapes[name.strip()] = shape
    return shapes


def short_name(model: str) -> str:
    """`nets.py:build` -> `build`, `timm:resnet18` -> `resnet18`, `resnet20` -> `resnet20`."""
    return model.rpartition(":")[2] or model


def check_choices(
    config: Path | None, w_bits: int | None, a_bits: int | None, density: float | None
) -> ConfigFile | None:
    """The configuration file, if one is given; bits beside it are a usage error.

    Raises:
        HwModelError: the file is invalid.
    """
    if config is None:
        return None
    if (w_bits, a_bits, density) != (None, None, None):
        raise typer.BadParameter("give either --config or --w-bits, --a-bits and --density, not both")
    from workloads.compress import read_config

    return read_config(config)


def model_options(file: ConfigFile | None, model: str) -> dict[str, Any]:
    """The options that the model of a configuration file was made with, if it is this one."""
    made = file.provenance.get("model") if file is not None else None
    if not isinstance(made, dict) or made.get("name") != model:
        return {}
    return dict(made.get("options", {}))


def file_config(file: ConfigFile, graph: LayerGraph) -> CompressionConfig:
    """The configuration of a file, for a model with the same layers; another input size is said, not refused.

    Raises:
        HwModelError: the names are those of another model.
    """
    from reports.terminal.console import say
    from workloads.compress import check_model

    check_model(file, graph, allow_other_shape=True)
    if file.fingerprint != graph.fingerprint:
        say(f"{file.path} was made for other shapes of {file.model}: its bits are priced on those of this input.")
    return file.config


def uniform_choices(
    graph: LayerGraph, accelerator: Accelerator, *, w_bits: int | None, a_bits: int | None, density: float | None
) -> Mapping[str, Choice] | None:
    """The same choice for every layer, native and dense where nothing is given; None where nothing is."""
    from hwmodel.network.choice import Choice

    if (w_bits, a_bits, density) == (None, None, None):
        return None
    native = accelerator.native_bits
    choice = Choice(
        w_bits=native.w if w_bits is None else w_bits,
        a_bits=native.i if a_bits is None else a_bits,
        density=1.0 if density is None else density,
    )
    return {layer.module: choice for layer in graph.layers}
