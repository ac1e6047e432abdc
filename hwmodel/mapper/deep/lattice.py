"""The tiles of a layer: every divisor of every loop bound."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hwmodel.mapper.counting import Ints
from hwmodel.network.layer import Dims
from hwmodel.network.numbers import divisors


class Lattice(NamedTuple):
    """Every vector of one divisor per bound.

    Attributes:
        vectors: (V, 8); multiples stand behind what they are multiples of, the bounds themselves last.
        rests: (V, 8) the bounds over the vectors.
        coords: (J, 3) dim, prime and the distance in `vectors` of a tile that is larger by it.
        grows: (V, J) 1 where a tile may be larger by the prime of a coordinate.
        factors: (F, 2) divisors above 1 of the bounds, dim by dim, and their distance in `vectors`.
        steps: (9) where the divisors of a dim begin among them.
    """

    vectors: Ints
    rests: Ints
    coords: Ints
    grows: Ints
    factors: Ints
    steps: Ints

    def offsets(self, factors: Ints) -> Ints:
        """Distances (S) of tiles that are larger by these factors (S, 8)."""
        total = np.zeros(len(factors), dtype=np.int64)
        for dim in range(8):
            rows = self.factors[self.steps[dim] : self.steps[dim + 1]]
            larger = factors[:, dim] > 1
            total[larger] += rows[np.searchsorted(rows[:, 0], factors[larger, dim]), 1]
        return total


@lru_cache(maxsize=256)
def lattice(dims: Dims) -> Lattice:
    """The tiles of a layer with these bounds."""
    coords: list[tuple[int, int, int, int]] = []
    stride = 1
    for dim, bound in enumerate(dims.values_tuple):
        for prime, power in _prime_powers(bound):
            coords.append((dim, prime, power, stride))
            stride *= power + 1
    vectors = np.ones((stride, 8), dtype=np.int64)
    for dim, prime, power, step in coords:
        vectors[:, dim] *= prime ** (np.arange(stride) // step % (power + 1))
    rests = np.array(dims.values_tuple, dtype=np.int64) // vectors
    grows = [rests[:, dim] % prime == 0 for dim, prime, _, _ in coords]
    factors, steps = [], [0]
    for dim, bound in enumerate(dims.values_tuple):
        own = [(prime, step) for d, prime, _, step in coords if d == dim]
        for divisor in divisors(bound)[1:]:
            factors.append((divisor, sum(_power(divisor, prime) * step for prime, step in own)))
        steps.append(len(factors))
    return Lattice(
        vectors,
        rests,
        np.array([(dim, prime, step) for dim, prime, _, step in coords], dtype=np.int64).reshape(-1, 3),
        np.array(grows, dtype=np.int64).reshape(-1, stride).T.copy(),
        np.array(factors, dtype=np.int64).reshape(-1, 2),
        np.array(steps, dtype=np.int64),
    )


def _prime_powers(number: int) -> Iterator[tuple[int, int]]:
    prime = 2
    while number > 1:
        if prime * prime > number:
            prime = number
        if power := _power(number, prime):
            yield prime, power
            number //= prime**power
        prime += 1


def _power(number: int, prime: int) -> int:
    power = 0
    while number % prime == 0:
        number, power = number // prime, power + 1
    return power
