"""Arithmetic of whole numbers: the next multiple, and divisors."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:  # scalars need no numpy, and the command line starts without it
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@overload
def round_up(value: int, multiple: int) -> int: ...
@overload
def round_up(value: Ints, multiple: int) -> Ints: ...
@overload
def round_up(value: int, multiple: Ints) -> Ints: ...


def round_up(value: int | Ints, multiple: int | Ints) -> int | Ints:
    """The next multiple; of arrays, each by each."""
    return -(-value // multiple) * multiple


@lru_cache(maxsize=4096)
def divisors(number: int) -> tuple[int, ...]:
    """Divisors of a number, rising."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*small, *(number // d for d in small)}))
