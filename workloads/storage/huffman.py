"""Canonical Huffman codes: how few bits per weight the codes of a layer need.

Source: Huffman, Proc. IRE 40(9), 1952; canonical form: Schwartz and Kallick, CACM 7(3), 1964. For weights:
Han et al., Deep Compression, ICLR 2016, section 4.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError


def entropy_bits(counts: Sequence[int] | NDArray[Any]) -> float:
    """Shannon entropy of symbols that occur so often [bit/symbol].

    Args:
        counts: >= 0, at least one > 0.
    """
    share = np.asarray(counts, dtype=np.float64)
    share = share[share > 0] / share.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


@dataclass(frozen=True, eq=False)
class HuffmanCode:
    """A prefix code with the shortest average length, given by the lengths of its words alone.

    Words of one length are consecutive numbers in the order of the symbols; a shorter word, continued by
    zeros, precedes a longer one.

    Attributes:
        lengths: of the word of every symbol 0, 1, ... [bit]; 0 for one that does not occur.
        only: the symbol, where one alone occurs: its word is empty.
    """

    lengths: tuple[int, ...]
    only: int | None = None

    @classmethod
    def of(cls, counts: Sequence[int] | NDArray[Any]) -> HuffmanCode:
        """The code for symbols 0, 1, ... that occur so often.

        Raises:
            ConfigError: a negative count, or no symbol occurs.
        """
        numbers = [int(count) for count in counts]
        if min(numbers, default=0) < 0 or not any(numbers):
            raise ConfigError(f"counts must be >= 0 and not all 0, but got {numbers[:8]}")
        lengths = [0] * len(numbers)
        trees = [(count, symbol, [symbol]) for symbol, count in enumerate(numbers) if count]
        heapq.heapify(trees)
        while len(trees) > 1:
            (first, tie, left), (second, _, right) = heapq.heappop(trees), heapq.heappop(trees)
            for symbol in left + right:
                lengths[symbol] += 1
            heapq.heappush(trees, (first + second, tie, left + right))
        used = [symbol for symbol, count in enumerate(numbers) if count]
        return cls(tuple(lengths), used[0] if len(used) == 1 else None)

    @cached_property
    def words(self) -> tuple[int, ...]:
        """The word of every symbol, as a number of `lengths[symbol]` bits."""
        words = [0] * len(self.lengths)
        word = last = 0
        for symbol in sorted(self._used, key=lambda symbol: (self.lengths[symbol], symbol)):
            word <<= self.lengths[symbol] - last
            words[symbol], last = word, self.lengths[symbol]
            word += 1
        return tuple(words)

    @property
    def _used(self) -> list[int]:
        return [symbol for symbol, length in enumerate(self.lengths) if length]

    def average_bits(self, counts: Sequence[int] | NDArray[Any]) -> float:
        """Mean length of a word [bit/symbol]."""
        weights = np.asarray(counts, dtype=np.float64)
        return float(weights @ np.array(self.lengths) / weights.sum())

    def encode(self, symbols: NDArray[Any]) -> bytes:
        """The words one after the other, first bit highest; the last byte is filled up with zeros.

        Args:
            symbols: integers, any shape, in order of memory; each must have a word.
        """
        flat = np.asarray(symbols).reshape(-1)
        lengths = np.array(self.lengths, dtype=np.int64)[flat]
        words = np.array(self.words, dtype=np.uint64)[flat]
        starts = np.cumsum(lengths) - lengths
        total = int(lengths.sum())
        places = np.arange(total) - np.repeat(starts, lengths)
        shifts = (np.repeat(lengths, lengths) - 1 - places).astype(np.uint64)
        bits = (np.repeat(words, lengths) >> shifts) & np.uint64(1)
        return np.packbits(bits.astype(np.uint8)).tobytes()

    def decode(self, data: bytes, count: int) -> NDArray[np.int64]:
        """The first `count` symbols.

        Args:
            data: of `encode`.
            count: how many.

        Raises:
            ConfigError: the data end too early, or hold no word.
        """
        if self.only is not None:
            return np.full(count, self.only, dtype=np.int64)
        symbol_of = {(self.lengths[s], self.words[s]): s for s in self._used}
        longest = max(self.lengths)
        found: list[int] = []
        word = length = 0
        for bit in np.unpackbits(np.frombuffer(data, dtype=np.uint8)).tolist():
            if len(found) == count:
                break
            word, length = 2 * word + bit, length + 1
            symbol = symbol_of.get((length, word))
            if symbol is not None:
                found.append(symbol)
                word = length = 0
            elif length >= longest:
                break
        if len(found) != count:
            raise ConfigError(f"the data must hold {count} words of this code, but hold {len(found)}")
        return np.array(found, dtype=np.int64)
