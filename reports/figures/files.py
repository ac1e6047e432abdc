"""A figure as bytes and as a file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE_KINDS = ("png", "svg", "pdf")


def figure_bytes(ax: Axes, kind: str = "png") -> bytes:
    """The figure of some axes as `png`, `svg` or `pdf`; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {{"svg": "Date", "pdf": "CreationDate"}.get(kind, "Software"): None}
    with mpl.rc_context({"svg.hashsalt": "hwmodel", "svg.fonttype": "path"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        ax.figure.figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


def save_figure(ax: Axes, path: str | Path) -> Path:
    """Write the figure of some axes; the suffix (`.png`, `.svg`, `.pdf`) decides the format.

    Raises:
        ConfigError: another suffix.
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FIGURE_KINDS:
        raise ConfigError(f"{path}: figures are written as .png, .svg or .pdf, but got {kind!r}")
    return write_atomic(path, figure_bytes(ax, kind))
