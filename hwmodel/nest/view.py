"""What the array of a chip sees of a layer: narrow widths lengthen an axis, and the host unfolds images.

**Fused axes.** A fusion unit of native width 8x8 bit is sixteen 2-bit bricks. At narrower widths they work as
(8 / b_w) * (8 / b_i) separate multipliers whose products are summed inside the unit, so the *reduction* axis of the
array grows by that rate, while the other axis stays:

    cycles = B * OY * OX * FY * FX * ceil(C / (rows * rate)) * ceil(K / columns)

**Unfolded images.** The layer that reads the images has too few channels to fill the rows. Its windows are unfolded
by the host (im2col) and C * FY * FX is one reduction, at the price of sending a pixel once per window around it:

    cycles = B * OY * OX * ceil(C * FY * FX / (rows * rate)) * ceil(K / columns)

**Cells.** In a compute-in-memory array a weight of b_w bits takes b_w cells of an axis, and its adder some more:
`size // (b_w + cells)` weights fit; with analog sums it takes ceil(b_w / cell) of them in place of b_w.

Sources: Sharma et al., Bit Fusion, ISCA 2018, sections II and III, and the counting rules of its public simulator;
Kim et al., Colonnade, JSSC 2021.
"""

from __future__ import annotations

from dataclasses import replace

from hwmodel.chip.accelerator import Accelerator, Axis, Widths
from hwmodel.nest.task import Task
from hwmodel.network.layer import NO_PADS, Layer

#: Chips of other lengths are remembered up to this many.
MOST_FITTED = 4096
_fitted: dict[tuple[str, int, int], Accelerator] = {}


def array_view(task: Task) -> Task:
    """The layer and the array that a mapping is made for; the same two objects where neither changes.

    Idempotent: the view of a view is the view.

    Returns:
        The layer, unfolded where the host does so (its reduction, and so its widths, stay), and the accelerator
        with the lengths that its axes have at these widths (a fused rate is in the length then, and no longer in
        the MACs).
    """
    layer = unfold(task.layer, task.accelerator.unfolded_channels)
    return Task(layer, fit_axes(task.accelerator, task.widths), task.widths, task.stay)


def unfold(layer: Layer, channels: int) -> Layer:
    """The layer as a matrix product over C * FY * FX, if it is a convolution over at most `channels` channels.

    I: (B, 1, C * FY * FX, OY, OX) instead of (B, 1, C, IY, IX); W and O keep their sizes. The windows come with
    their zeros.
    """
    d = layer.dims
    if d.G > 1 or channels < d.C or (d.FY, d.FX) == (1, 1):
        return layer
    dims = replace(d, C=d.C * d.FY * d.FX, FY=1, FX=1)
    return replace(layer, dims=dims, stride=(1, 1), dilation=(1, 1), padding=NO_PADS)


def fit_axes(accelerator: Accelerator, widths: Widths) -> Accelerator:
    """The accelerator with its axes as long as they are at these widths."""
    if not any(axis.fused or axis.weight_cells is not None for axis in accelerator.axes):
        return accelerator
    key = (accelerator.fingerprint, widths.w, widths.i)
    # memories are told apart as objects, so those of an equal chip are not these
    if key not in _fitted or _fitted[key].levels is not accelerator.levels:
        if len(_fitted) >= MOST_FITTED:
            _fitted.clear()
        rate = accelerator.precision.fusion_rate(widths.w, widths.i)
        fused = any(axis.fused for axis in accelerator.axes)
        places = accelerator.precision.places(widths.w)
        _fitted[key] = replace(
            accelerator,
            precision=replace(accelerator.precision, unrolled=rate if fused else 1),
            axes=tuple(_fitted_axis(axis, rate, places) for axis in accelerator.axes),
        )
    return _fitted[key]


def _fitted_axis(axis: Axis, rate: int, places: int) -> Axis:
    size = axis.size * (rate if axis.fused else 1)
    if axis.weight_cells is not None:
        size = max(1, size // (places + axis.weight_cells))
    return replace(axis, size=size, fused=False, weight_cells=None)
