"""Anyone's arrays: an .npz with x_train, y_train and, if present, x_val, y_val, x_test, y_test; or x, y."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.data.dataset import Dataset, Normalise, ValidationFrom, make_dataset, num_classes_of, seeded_order
from workloads.npz import read_npz
from workloads.options import check_count

Layout = Literal["auto", "NCHW", "NHWC"]
_NAMES = {"train": ("train", ""), "val": ("val", "valid", "validation"), "test": ("test",)}
_CHANNELS = (1, 3, 4)
_WHAT = "data 'npz'"

Pair = tuple[Tensor, Tensor]


def npz(
    path: str | Path,
    seed: int = 0,
    validation: float | str = 0.1,
    test: float = 0.1,
    limit: int | None = None,
    layout: Layout = "auto",
    regression: bool = False,
    normalize: Normalise = "train",
) -> Dataset:
    """The arrays of a file. A part that the file does not hold is drawn from the training part by the seed.

    Inputs are images (N, H, W), (N, H, W, C) or (N, C, H, W), signals (N, C, T), or features (N, F): uint8, scaled
    to 0 .. 1, or floating-point. Targets are integers 0 .. classes - 1, or floating-point values (N,) or
    (N, outputs).

    Args:
        path: the file.
        seed: of the drawing.
        validation: share of the training part; "test" cuts half of the test part off instead.
        test: share of the training part, where there is no x_test.
        limit: keep so many training items; None keeps all.
        layout: of images with four dims; `auto` takes the channels where there are 1, 3 or 4.
        regression: floating-point targets that are all whole numbers are values, not classes.
        normalize: see `make_dataset`.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    source = Path(path)
    what = f"{_WHAT}: {source.name}"
    arrays = read_npz(source)
    parts = {part: found for part in _NAMES if (found := _part(what, arrays, part)) is not None}
    if "train" not in parts:
        raise ConfigError(f"{what}: must hold x_train and y_train, or x and y, but holds {', '.join(arrays)}")
    pairs = {part: _pair(what, part, x, y, layout, regression) for part, (x, y) in parts.items()}
    origin: ValidationFrom = "own" if "val" in pairs else "train"
    check_count(_WHAT, "seed", seed, least=0)
    if validation == "test":
        origin = _cut_test(what, pairs, seed)
    for part, share in (("test", test), ("val", validation)):
        if part not in pairs:
            pairs["train"], pairs[part] = _draw(what, pairs["train"], share, seed, part)
    if limit is not None:
        kept = check_count(_WHAT, "limit", limit)
        x, y = pairs["train"]
        order = seeded_order(len(x), seed)[:kept]
        pairs["train"] = (x[order], y[order])
    splits = (pairs["train"], pairs["val"], pairs["test"])
    classes = num_classes_of(what, [y for _, y in splits])
    return make_dataset(
        source.stem, splits, classes, f"arrays of {source.name}", normalize=normalize, validation_from=origin
    )


def _part(what: str, arrays: dict[str, np.ndarray], part: str) -> tuple[np.ndarray, np.ndarray] | None:
    for name in _NAMES[part]:
        keys = [f"{letter}_{name}" if name else letter for letter in "xy"]
        found = [key for key in keys if key in arrays]
        if len(found) == 1:
            raise ConfigError(f"{what}: has {found[0]}, but no {next(key for key in keys if key not in arrays)}")
        if found:
            return arrays[keys[0]], arrays[keys[1]]
    return None


def _pair(what: str, part: str, x: np.ndarray, y: np.ndarray, layout: Layout, regression: bool) -> Pair:
    place = f"{what}: the {part} part"
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise ConfigError(f"{place}: inputs must be uint8 or floating-point, but are {x.dtype}")
    if x.ndim < 2 or y.ndim < 1 or not len(x) or len(x) != len(y):
        raise ConfigError(f"{place}: inputs (N, ...) and targets (N,) must agree, but are {x.shape} and {y.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ConfigError(f"{place}: inputs must be finite, but hold NaN or infinity")
    inputs = torch.from_numpy(x.astype(np.float32))
    if x.dtype == np.uint8:
        inputs = inputs / 255.0
    if x.ndim == 3 and x.shape[1] == x.shape[2]:  # square: one grey image each
        inputs = inputs.unsqueeze(1)
    elif x.ndim == 4 and _is_channels_last(place, x.shape, layout):
        inputs = inputs.permute(0, 3, 1, 2)
    return inputs, _targets(place, y, regression)


def _is_channels_last(place: str, shape: tuple[int, ...], layout: str) -> bool:
    if layout in ("NCHW", "NHWC"):
        return layout == "NHWC"
    if layout != "auto":
        raise ConfigError(f"{_WHAT}: layout must be auto, NCHW or NHWC, but got {layout!r}")
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first == last:
        raise ConfigError(
            f"{place}: which dim of {shape} are the channels? Say layout: NCHW (data_options) or layout: NHWC."
        )
    return last


def _targets(place: str, y: np.ndarray, regression: bool) -> Tensor:
    if y.dtype.kind in "iub":
        if y.ndim != 1:
            raise ConfigError(f"{place}: classes must be ({len(y)},), but are {y.shape}. One-hot: take the argmax.")
        return torch.from_numpy(y.astype(np.int64))
    if y.dtype.kind != "f":
        raise ConfigError(f"{place}: targets must be integers (classes) or floating-point, but are {y.dtype}")
    if not np.isfinite(y).all():
        raise ConfigError(f"{place}: targets must be finite, but hold NaN or infinity")
    if not regression and (y == np.round(y)).all():
        raise ConfigError(
            f"{place}: targets are whole numbers stored as {y.dtype}. Classes: store integers. Values: say "
            "regression: true (data_options)."
        )
    return torch.from_numpy(y.astype(np.float32))


def _cut_test(what: str, pairs: dict[str, Pair], seed: int) -> ValidationFrom:
    """Half of the test part becomes the validation part."""
    if "test" not in pairs:
        raise ConfigError(f"{what}: validation: test needs x_test and y_test in the file")
    x, y = pairs["test"]
    if len(x) < 2:
        raise ConfigError(f"{what}: validation: test needs two items in the test part, but it has {len(x)}")
    order = seeded_order(len(x), seed)
    half = len(x) // 2
    pairs["val"], pairs["test"] = (x[order[:half]], y[order[:half]]), (x[order[half:]], y[order[half:]])
    return "test"


def _draw(what: str, pair: Pair, share: float | str, seed: int, part: str) -> tuple[Pair, Pair]:
    """(what stays, what is drawn)."""
    name = "validation" if part == "val" else part
    if isinstance(share, str) or not 0 < share < 1:
        also = ' or "test"' if part == "val" else ""
        raise ConfigError(f"{_WHAT}: `0 < {name} < 1`{also} must hold, but got {name}={share!r}")
    x, y = pair
    count = max(1, round(share * len(x)))
    if count >= len(x):
        raise ConfigError(f"{what}: {len(x)} training items are too few to draw {count} for {name}")
    order = seeded_order(len(x), seed)
    return (x[order[count:]], y[order[count:]]), (x[order[:count]], y[order[:count]])
