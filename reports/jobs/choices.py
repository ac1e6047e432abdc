"""Bits and density of every layer, as the options of a command or a configuration file give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hwmodel.network.choice import Choice
from reports.terminal.console import say
from workloads.compress import check_model, read_config

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.network.graph import LayerGraph
    from workloads.compress import CompressionConfig, ConfigFile


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
    return read_config(config)


def say_code(config: Path) -> None:
    """Names the files of code that a configuration is about to run, before it does.

    Raises:
        HwModelError: the file is invalid.
    """
    made = read_config(config).provenance
    for record in (made.model, made.data):
        path, _, function = ("" if record is None else record.name).rpartition(":")
        if path.endswith(".py"):
            say(f"{config} runs code: {function} of {Path(path).resolve()}")


def model_options(file: ConfigFile | None, model: str) -> dict[str, Any]:
    """The options that the model of a configuration file was made with, if it is this one."""
    made = file.provenance.model if file is not None else None
    return dict(made.options) if made is not None and made.name == model else {}


def file_config(file: ConfigFile, graph: LayerGraph) -> CompressionConfig:
    """The configuration of a file, for a model with the same layers; another input size is said, not refused.

    Raises:
        HwModelError: the names are those of another model.
    """
    check_model(file, graph, allow_other_shape=True)
    if file.fingerprint != graph.fingerprint:
        say(f"{file.path} was made for other shapes of {file.model}: its bits are priced on those of this input.")
    return file.config


def uniform_choices(
    graph: LayerGraph, accelerator: Accelerator, *, w_bits: int | None, a_bits: int | None, density: float | None
) -> Mapping[str, Choice] | None:
    """The same choice for every layer, native and dense where nothing is given; None where nothing is."""
    if (w_bits, a_bits, density) == (None, None, None):
        return None
    native = accelerator.native_bits
    choice = Choice(
        w_bits=native.w if w_bits is None else w_bits,
        a_bits=native.i if a_bits is None else a_bits,
        density=1.0 if density is None else density,
    )
    return {layer.module: choice for layer in graph.layers}
