"""The colours of the charts, measured: contrast to the paper, and how far apart colour-blind eyes see them.

Simulation: Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision
deficiency, IEEE TVCG 15(6), 2009, table 1, severity 1.0, on linear RGB. Difference: CIE 1976 (L*a*b*), D65, where
2.3 is just noticeable (Mahy et al., Color Research and Application 19(2), 1994).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.page.colours import Colours, colours

MACHADO = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
#: sRGB to XYZ (IEC 61966-2-1), and the white of D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)
#: Four times what is just noticeable. Series differ in marker, dash or place as well.
APART = 10.0
#: WCAG 2.2, 1.4.11, non-text contrast.
CONTRAST = 3.0


def linear(colour: str) -> NDArray[np.float64]:
    """(3,) linear RGB of `#rrggbb`."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.asarray(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(first: str, second: str, vision: str) -> float:
    seen = np.array(MACHADO[vision])
    return float(np.linalg.norm(lab(seen @ linear(first)) - lab(seen @ linear(second))))


def contrast(first: str, second: str) -> float:
    """WCAG's ratio of relative luminances."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def marks(palette: Colours) -> dict[str, str]:
    """The colours that stand in one chart of points."""
    return {name: str(palette[name]) for name in ("ptq", "qat", "test", "uniform", "picked", "ink")}  # type: ignore[literal-required]


def test_black_on_white_is_as_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.02)
    assert difference("#ff0000", "#00ff00", "normal") == pytest.approx(170.6, abs=0.5)  # Lindbloom's calculator


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_stands_out_of_its_paper(theme: str) -> None:
    palette = colours()[theme]
    found = {**marks(palette), **{f"series {n}": colour for n, colour in enumerate(palette["series"])}}
    found |= {f"scale {n}": colour for n, colour in enumerate(palette["scale"])} | {"muted": palette["muted"]}
    low = {name: round(contrast(colour, palette["paper"]), 2) for name, colour in found.items()}
    assert {name: value for name, value in low.items() if value < CONTRAST} == {}


@pytest.mark.parametrize("vision", MACHADO)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_one_chart_stay_apart(theme: str, vision: str) -> None:
    palette = colours()[theme]
    stacked = {f"series {n}": colour for n, colour in enumerate(palette["series"])}
    for group in (marks(palette), stacked):
        close = {
            (a, b): round(difference(group[a], group[b], vision), 1)
            for a, b in itertools.combinations(group, 2)
            if difference(group[a], group[b], vision) < APART
        }
        assert close == {}


@pytest.mark.parametrize("vision", MACHADO)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_steps_of_the_scale_go_one_way(theme: str, vision: str) -> None:
    """Lightness alone orders them, for every kind of colour vision."""
    seen = np.array(MACHADO[vision])
    lightness = [lab(seen @ linear(colour))[0] for colour in colours()[theme]["scale"]]
    steps = np.diff(lightness)
    assert (steps > 2.3).all() or (steps < -2.3).all()
