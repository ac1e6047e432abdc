"""Layers in words: names, shapes and numbers as they are printed, and the marks of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwmodel.network.layer import Layer

#: Marks of lines: good, and to be read.
OK, WARNING = "✓", "!"


def safe_name(name: object) -> str:
    """A name as one printable line: control characters become escapes, so that none reaches the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def shortened(name: str, length: int) -> str:
    """A name of at most `length` characters: a longer one loses its middle, as both ends tell it from others."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


def out_shape(layer: Layer) -> str:
    """`64×112×112` of a convolution, `1000` of a linear layer, `128×4096` where it runs on 128 positions.

    `32×128×64` of 32 batched products; the batch is left out.
    """
    d = layer.dims
    if layer.kind == "conv":
        return f"{d.G * d.K}×{d.OY}×{d.OX}"
    groups = (d.G,) if layer.kind == "matmul" else ()
    filters = d.K if groups else d.G * d.K
    return "×".join(str(size) for size in (*(size for size in (*groups, d.OY * d.OX) if size > 1), filters))


def filter_shape(layer: Layer) -> str:
    """`3×3 /32 s2` of a convolution with groups and stride, `120→84` of a linear layer, `×4` of batched matmuls."""
    d = layer.dims
    if layer.kind != "conv":
        return f"{d.C}→{d.K}" + (f" ×{d.G}" if d.G > 1 else "")
    groups = f" /{d.G}" if d.G > 1 else ""
    return f"{d.FY}×{d.FX}{groups}" + (f" s{layer.stride[0]}" if max(layer.stride) > 1 else "")


def times(number: int, word: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number} {word}{'s' if number != 1 else ''}"
