"""The colours of the page's charts, on white and on dark paper.

Hues follow Okabe and Ito (`reports.figures.theme`), darkened or lightened until each has a contrast of 3 : 1 to its
paper (WCAG 2.2, 1.4.11) and every two differ under simulated colour blindness; `tests/reports/page/test_colours.py`
measures both.
"""

from __future__ import annotations

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


#: Cividis (Nunez, Anderton and Renslow, PLOS ONE 2018), even to every kind of colour vision: the part that stands
#: out of each paper, the most striking colour last.
ON_WHITE = ["#918c78", "#7f7c75", "#707173", "#5f636e", "#4c556c", "#31446b", "#123570", "#00224e"]
ON_DARK = ["#707173", "#7f7c75", "#918c78", "#a59c74", "#b8ab6e", "#ccbb64", "#e4cf52", "#fee838"]

LIGHT: Colours = {
    "ptq": "#c27a00", "qat": "#0072b2", "test": "#00805c", "uniform": "#b0508a", "picked": "#a50f15",
    "dimmed": "#8a8f98", "ink": theme.LIGHT.ink, "muted": theme.LIGHT.muted, "grid": theme.LIGHT.grid,
    "paper": theme.LIGHT.paper, "scale": ON_WHITE,
    "series": ["#0072b2", "#c27a00", "#4c4f56", "#b0508a", "#00a37a", "#7a3b00", "#8a2be2"],
}  # fmt: skip
DARK: Colours = {
    "ptq": "#e69f00", "qat": "#56b4e9", "test": "#2fc79a", "uniform": "#cc79a7", "picked": "#f2294f",
    "dimmed": "#7d8590", "ink": theme.DARK.ink, "muted": theme.DARK.muted, "grid": theme.DARK.grid,
    "paper": theme.DARK.paper, "scale": ON_DARK,
    "series": ["#56b4e9", "#e69f00", "#c9ced6", "#cc79a7", "#009e73", "#f5e08a", "#4f74b8"],
}  # fmt: skip


def colours() -> dict[str, Colours]:
    """By theme."""
    return {"light": LIGHT, "dark": DARK}
