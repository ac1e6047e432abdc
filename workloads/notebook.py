"""A configuration and a data set as they show themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodel.network.choice import FLOAT_BITS
from hwmodel.show.notebook import html_line, html_table

if TYPE_CHECKING:
    from workloads.compress.config import CompressionConfig, LayerChoice
    from workloads.data.dataset import Dataset


def config_html(config: CompressionConfig) -> str:
    """One row per module; what is left out stays float."""
    headers = ["<Module", "W bits", "A bits", "Density", "<Pattern", "<Quantizer"]
    rows = [[name, *_choice_cells(choice)] for name, choice in config.layers.items()]
    return html_table(headers, rows, [f"{len(rows)} modules; others stay float"])


def _choice_cells(choice: LayerChoice) -> list[str]:
    kept = "" if choice.keep_channels is None else f", {len(choice.keep_channels)} channels kept"
    grid = choice.quantizer if choice.granularity == "tensor" else f"{choice.quantizer} per {choice.granularity}"
    quantizer = "" if choice.w_bits == choice.a_bits == FLOAT_BITS else grid
    return [
        _width(choice.w_bits), _width(choice.a_bits), f"{choice.density:.2f}", choice.pattern + kept, quantizer
    ]  # fmt: skip


def _width(bits: int | None) -> str:
    return "float" if bits in (None, FLOAT_BITS) else str(bits)


def data_html(data: Dataset) -> str:
    """What it is in a line, and its splits."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    rows = [[name, *_split_cells(split)] for name, split in splits.items()]
    note = f"validation is cut from {data.validation_from}" if data.validation_from in ("train", "test") else ""
    table = html_table(["<Split", "Items", "<Inputs", "<Targets"], rows, [note] if note else [])
    return html_line(data.describe()) + table


def _split_cells(split: Any) -> list[str]:
    """Items and shapes; of a split that streams what its loader says."""
    x, y = getattr(split, "x", None), getattr(split, "y", None)
    if x is None or y is None:
        return ["streamed", type(split).__name__, ""]
    return [f"{len(split):,}", *(f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape[1:])}" for t in (x, y))]
