"""The colours of the page's charts, on white and on dark paper.

Hues follow Okabe and Ito (`reports.figures.theme`), darkened or lightened until each has a contrast of 3 : 1 to its
paper (WCAG 2.2, 1.4.11) and every two differ under simulated colour blindness; `tests/reports/page/test_colours.py`
measures both.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TypedDict

from reports.figures import theme


class Colours(TypedDict):
    """Of one paper: what series are drawn in, the parts that are no data, and the steps of a scale."""

    ptq: str
    qat: str
    test: str
    uniform: str
    picked: str
    dimmed: str
    ink: str
    muted: str
    grid: str
    paper: str
    series: list[str]
    scale: list[str]


#: Cividis (Nunez, Anderton and Renslow, PLOS ONE 2018), nine steps: even to every kind of colour vision.
CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#fee838"]

LIGHT: Colours = {
    "ptq": "#c27a00", "qat": "#0072b2", "test": "#00805c", "uniform": "#b0508a", "picked": "#d55e00",
    "dimmed": "#8a8f98", **{name: asdict(theme.LIGHT)[name] for name in ("ink", "muted", "grid", "paper")},
    "series": ["#0072b2", "#c27a00", "#4c4f56", "#b0508a", "#00a37a", "#7a3b00", "#5b9bd5"], "scale": CIVIDIS,
}  # type: ignore[typeddict-item]  # fmt: skip
DARK: Colours = {
    "ptq": "#e69f00", "qat": "#56b4e9", "test": "#2fc79a", "uniform": "#cc79a7", "picked": "#ff7f2a",
    "dimmed": "#7d8590", **{name: asdict(theme.DARK)[name] for name in ("ink", "muted", "grid", "paper")},
    "series": ["#56b4e9", "#e69f00", "#c9ced6", "#cc79a7", "#009e73", "#f5e08a", "#4f74b8"], "scale": CIVIDIS,
}  # type: ignore[typeddict-item]  # fmt: skip


def colours() -> dict[str, Colours]:
    """By theme."""
    return {"light": LIGHT, "dark": DARK}
