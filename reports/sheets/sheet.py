"""A page as values, and how it is written: one file, offline, in the look of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel import __version__
from hwmodel.files import write_atomic
from reports.figures import theme
from reports.figures.files import figure_bytes
from reports.page.htmltables import HtmlTable
from reports.page.templating import data_uri, environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure in both themes, as data URIs."""

    light: str
    dark: str
    caption: str

    @classmethod
    def of(cls, draw: Callable[..., Axes], caption: str) -> Picture:
        """Drawn twice.

        Args:
            draw: takes `theme`.
            caption: also what a screen reader says.
        """
        light, dark = (
            data_uri(figure_bytes(draw(theme=one), "svg"), "svg+xml") for one in (theme.LIGHT, theme.DARK)
        )
        return cls(light=light, dark=dark, caption=caption)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page; what is empty is left out.

    Attributes:
        id: anchor.
        title: above it.
        text: paragraphs under the title.
        block: lines as they stand.
        pictures, tables: in this order.
        notes: small print at the end.
    """

    id: str
    title: str
    text: Sequence[str] = ()
    block: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[HtmlTable] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A page.

    Attributes:
        title, lead: at the top.
        alerts: what a reader must know first.
        sections: of it.
        source: what it was made from, for the last line.
    """

    title: str
    lead: str
    alerts: Sequence[str] = ()
    sections: Sequence[Section]
    source: str


def write_sheet(path: Path, sheet: Sheet) -> Path:
    """Write a page, whole or not at all."""
    return write_atomic(path, render(sheet))


def render(sheet: Sheet) -> str:
    """A page as text: no network, no script, every name escaped."""
    templates = environment("reports.sheets", "reports.page", keeps_lines=True)
    return templates.get_template("sheet.html.j2").render(sheet=sheet, version=__version__) + "\n"
