"""How many rows (or columns) of the stored input the tiles of a layer cover: those of the padding are no traffic.

A tile of t output rows and u filter rows needs the hull of t * u input rows, L = (t - 1) * stride + (u - 1) *
dilation + 1 of them. That of output tile i and filter tile j starts at i * t * stride + j * u * dilation; the first
`before` rows are padding, and so are the last `after` of all (OY - 1) * stride + (FY - 1) * dilation + 1. So

    rows of the tiles = n * m * L - P(before) - P(after)

with P(a) the rows of the tiles among the first a: as the layer looks the same from its other end, those among the
last a are as many. For one j and tiles that start T = t * stride apart,

    sum_i clip(a - j * U - i * T, 0, L) = S(a - j * U) - S(a - j * U - L),
    S(x) = sum_{i < n} max(0, x - i * T) = r * x - T * r * (r - 1) / 2,  r = min(n, ceil(x / T)), 0 for x <= 0.

Where the tile slides over the output rows and only what is new is fetched (T <= L, so that neighbours touch or
overlap), the b tiles of the innermost loop together are one tile of b * t rows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """The rows of a layer, or its columns.

    Attributes:
        outputs, taps: OY and FY, or OX and FX.
        stride, dilation: along it.
        before, after: padding that the filter reaches.
    """

    outputs: int
    taps: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    def covered(self, tile: int, tap_tile: int) -> int:
        """Stored rows of all tiles together, a row as often as tiles cover it.

        Args:
            tile: output rows of a tile, a divisor of `outputs`.
            tap_tile: filter rows of a tile, a divisor of `taps`.
        """
        length = (tile - 1) * self.stride + (tap_tile - 1) * self.dilation + 1
        tiles, tap_tiles = self.outputs // tile, self.taps // tap_tile
        step, tap_step = tile * self.stride, tap_tile * self.dilation

        def padded(rows: int) -> int:
            return sum(
                _ramp(rows - j * tap_step, step, tiles) - _ramp(rows - j * tap_step - length, step, tiles)
                for j in range(tap_tiles)
            )

        return tiles * tap_tiles * length - padded(self.before) - padded(self.after)


def _ramp(rows: int, step: int, count: int) -> int:
    """sum of max(0, rows - i * step) over i < count."""
    terms = min(count, max(0, -(-rows // step)))
    return terms * rows - step * (terms * (terms - 1) // 2)
