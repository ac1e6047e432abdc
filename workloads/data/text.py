"""A text file as bytes: every position's target is the next byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.data.dataset import Dataset, Split
from workloads.options import check_count

BYTES = 256
_WHAT = "data 'text'"


def text(
    path: str | Path, context: int = 64, validation: float = 0.05, test: float = 0.05, limit: int | None = None
) -> Dataset:
    """Windows of a text that do not overlap: the start trains, then comes validation, the end tests.

    The three parts are contiguous, so that no window of one continues in another.

    Args:
        path: of the file; its bytes are the tokens, whatever its encoding.
        context: tokens of a window.
        validation, test: share of the text, in (0, 1); together below 1.
        limit: keep so many training windows; None keeps all.

    Returns:
        Splits with x and y int64 (N, context), y one byte ahead of x; 256 classes.

    Raises:
        ConfigError: no such file, a share out of range, or a part too short for one window.
    """
    check_count(_WHAT, "context", context)
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ConfigError(
            f"{_WHAT}: `0 < validation, test` and `validation + test < 1` must hold, "
            f"but got validation={validation!r}, test={test!r}"
        )
    source = Path(path)
    try:
        values = np.frombuffer(source.read_bytes(), np.uint8)
    except OSError as error:
        raise ConfigError(f"{_WHAT}: cannot read {source}: {error.strerror}") from None
    first, second = int(len(values) * (1 - validation - test)), int(len(values) * (1 - test))
    train, rest, last = (
        _windows(values[start:stop], context, part)
        for part, start, stop in (("train", 0, first), ("validation", first, second), ("test", second, len(values)))
    )
    if limit is not None:
        train = train.take(check_count(_WHAT, "limit", limit))
    return Dataset(
        name=source.stem,
        train=train,
        validation=rest,
        test=last,
        num_classes=BYTES,
        source=f"bytes of {source.name}",
    )


def _windows(values: np.ndarray, context: int, part: str) -> Split:
    count = (len(values) - 1) // context
    if count < 1:
        raise ConfigError(
            f"{_WHAT}: the {part} part must have more than context={context} bytes, but has {len(values)}. "
            "Use a longer text or a shorter context."
        )
    tokens: Tensor = torch.from_numpy(values[: count * context + 1].astype(np.int64))
    return Split(x=tokens[:-1].reshape(count, context), y=tokens[1:].reshape(count, context))
