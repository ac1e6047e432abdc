"""A figure as bytes and as a file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.deprecated import path_was_not_first
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

FIGURE_KINDS = ("png", "svg", "pdf")
#: Fonts with the characters that the usual one lacks (Chinese, Japanese, Korean, then emoji), the first one first.
FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Yu Gothic",
    "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Emoji", "Noto Sans Symbols2", "Symbola",
    "Segoe UI Emoji", "Unifont", "Unifont Upper",
)  # fmt: skip


def figure_bytes(ax: Axes, kind: str = "png") -> bytes:
    """The figure of some axes as `png`, `svg` or `pdf`; the same figure gives the same bytes."""
    import matplotlib as mpl

    _add_fonts(ax.figure.figure)
    missing = _write_out(ax.figure.figure)
    if missing:
        shown = ", ".join(f"{char} (U+{ord(char):04X})" for char in sorted(missing)[:5])
        warnings.warn(f"figure: no font here draws {shown}: written as escapes", stacklevel=3)
    buffer = io.BytesIO()
    metadata = {{"svg": "Date", "pdf": "CreationDate"}.get(kind, "Software"): None}
    with mpl.rc_context({"svg.hashsalt": "hwmodel", "svg.fonttype": "path"}):
        ax.figure.figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


def few_colours(png: bytes, count: int = 64) -> bytes:
    """A PNG with at most `count` colours: a third of the bytes, to stand inside a page."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(count).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _add_fonts(figure: Figure) -> None:
    """Texts beyond ASCII may also use the `FALLBACKS` that are installed."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = [label for axis in axes for label in axis.get_ticklabels()]  # which get their text here
    foreign = {text for text in (*figure.findobj(Text), *ticks) if not text.get_text().isascii()}
    if not foreign:
        return
    names = set(fontManager.get_font_names())
    present = [name for name in FALLBACKS if name in names]
    for text in foreign.union(axis.label for axis in axes):
        text.set_fontfamily([*text.get_fontfamily(), *present])


def _write_out(figure: Figure) -> set[str]:
    """Replaces the characters that no font draws by their escapes (`\\u4f60`), and returns them."""
    from matplotlib.text import Text

    missing: set[str] = set()

    def drawable(text: Text, content: str) -> str:
        lacking = _lacking(content, text)
        missing.update(lacking)
        return "".join(c.encode("unicode_escape").decode() if c in lacking else c for c in content)

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_text() for label in axis.get_ticklabels()]
            drawn = [drawable(axis.label, label) for label in labels]
            if drawn != labels:
                axis.set_ticks(axis.get_ticklocs(), labels=drawn)
    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            text.set_text(drawable(text, text.get_text()))
    return missing


def _lacking(content: str, text: Text) -> set[str]:
    """The characters of a text that none of its fonts has."""
    if content.isascii():
        return set()
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in text.get_fontfamily()]
    return {c for c in content if c.isprintable() and not any(font.get_char_index(ord(c)) for font in fonts)}


@path_was_not_first("ax", "path")
def save_figure(path: str | Path, ax: Axes) -> Path:
    """Write the figure of some axes; the suffix (`.png`, `.svg`, `.pdf`) decides the format.

    Raises:
        ConfigError: another suffix.
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FIGURE_KINDS:
        raise ConfigError(f"{path}: figures are written as .png, .svg or .pdf, but got {kind!r}")
    return write_atomic(path, figure_bytes(ax, kind))
