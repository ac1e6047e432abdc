"""One way to unroll a layer, as the numbers that the search wants: what every tile takes and costs.

Tiles are of the temporal loops alone: what the axes unroll inside of a memory comes to its tiles.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hwmodel.mapper.counting import FX, FY, INPUT, OUTPUT, OY, Floats, Ints
from hwmodel.mapper.deep.lattice import Lattice, lattice
from hwmodel.mapper.deep.splits import REDUCED
from hwmodel.mapper.space.tiles import tile_lengths, tile_sizes
from hwmodel.mapper.uneven.ways import Ways, share_of
from hwmodel.network.layer import DIM_NAMES

#: Rows of what is told apart: W, I, O whose sums are unfinished, and O whose sums are finished.
FINISHED, ROWS = 3, 4


class Prices(NamedTuple):
    """What the search knows of a way to unroll a layer.

    Attributes:
        number: (3) holders of W, I and O but their homes; H is the most of them.
        energy: (4, H, V) of the hop out of a holder whose tile is v, if nothing slides; infinite where the memory
            cannot hold it [pJ].
        bits: (4, H, V) that the tile takes of the memory [bit].
        slides: (H, H + 1, F, V) the energy of a hop of I whose tile slides by a factor of the tiles, where the next
            holder is the one of the second index.
        done: (V) 1 where no reduction is left around the tile.
        narrows: (H) 1 where O is as narrow as finished outputs if no reduction was left around the holder inside.
        widths_differ: 1 where that makes a difference.
        loops: (3, H + 1, 8) 1 where a loop may lie right inside the tile of a holder, or of the home, or does not
            index the operand.
        pool: (3, H) the memory, among those that several operands share; -1 where it is the operand's own.
        rooms: (R) of these memories [bit].
    """

    number: Ints
    energy: Floats
    bits: Floats
    slides: Floats
    done: Ints
    narrows: Ints
    widths_differ: int
    loops: Ints
    pool: Ints
    rooms: Floats


class Nest:
    """One way to unroll a layer: number `n` of all."""

    def __init__(self, ways: Ways, n: int) -> None:
        self.ways, self.n = ways, n
        self.ladder, self.pace = ways.branch.ladder, tuple(ways.branch.ladder.pace.tolist())
        dims, whole = ways.branch.dims, ways.whole[n].tolist()
        rest = {dim: bound // own for dim, bound, own in zip(DIM_NAMES, dims.values_tuple, whole, strict=True)}
        self.tiles: Lattice = lattice(replace(dims, **rest))
        self.volume = float(math.prod(dims.values_tuple))

    def prices(self) -> Prices:
        """Those of all tiles."""
        chains, shape, widths = self.ways.chains, self.ladder.shape, self.ladder.widths
        number = np.array([len(chain) - 1 for chain in chains], dtype=np.int64)
        size = (ROWS, max(int(number.max()), 1), len(self.tiles.vectors))
        energy, bits = np.full(size, math.inf), np.zeros(size)
        done = (self.tiles.rests[:, REDUCED] == 1).all(axis=1)
        for x, chain in enumerate(chains):
            for hop, level in enumerate(chain[:-1]):
                words, moved = self._moved(x, hop)
                places = self._places(hop, self._inside(x, hop)) if x == INPUT else None
                if places is not None:
                    moved = moved * self.ladder.held[places, 0]
                if x == OUTPUT and hop == len(chain) - 2 and self.ways.branch.whole_sums:
                    beyond = self.ways.sums_beyond(level + 1)[self.n] > 1
                    moved = np.where(done & ~beyond, moved, math.inf)
                for row in (OUTPUT, FINISHED) if x == OUTPUT else (x,):
                    wide = x == OUTPUT and (row == OUTPUT or hop == 0)
                    bits[row, hop] = words * widths[3 if wide else x]
                    fits = bits[row, hop] <= shape.capacity[level, shape.slot[level, x]]
                    energy[row, hop] = np.where(fits, moved, math.inf)
        pool, rooms = self._shared(size[1])
        narrows = np.zeros(size[1], dtype=np.int64)
        for hop in range(1, number[OUTPUT]):
            narrows[hop] = self.ways.narrows[hop][self.n]
        slides = self._slides(energy[INPUT])
        differ = int(widths[3] != widths[OUTPUT] and narrows.any())
        loops = self.ways.loops(size[1])
        return Prices(number, energy, bits, slides, done.astype(np.int64), narrows, differ, loops, pool, rooms)

    def _inside(self, x: int, hop: int) -> Ints:
        """Tiles of a holder, with what the axes unroll inside of it. (V, 8)"""
        return np.asarray(self.tiles.vectors * self.ways.inside[x][hop][self.n])

    def _moved(self, x: int, hop: int) -> tuple[Floats, Floats]:
        """Words of a holder's tiles, and the energy of the hop out of it. (V) each"""
        inside, level = self._inside(x, hop), self.ways.chains[x][hop]
        words = tile_sizes(inside, self.pace)[x]
        rate = self.ladder.costs.near[0, level, x] + self.ladder.costs.far[0, level, x] * self._share(
            x, hop, inside
        )
        return words, rate * words * (self.volume / inside.prod(axis=1))

    def _share(self, x: int, hop: int, inside: Ints) -> Floats:
        """Share of the transfers of all places that the next holder sees, of tiles (V, 8). (V)"""
        share = np.ones(len(inside))
        for network in self.ways.networks[x][hop]:
            if not network.alone:
                steps = inside * network.steps[self.n]
                share *= share_of(x, network.factors[self.n], steps, self.ladder.pace)
        return share

    def _places(self, hop: int, inside: Ints) -> Ints | None:
        """Of a hop of I from off the chip, where its tiles (V, 8) lie among those of the layer; None of others, and
        where nothing around I counts. (V)"""
        off_chip = self.ways.chains[INPUT][hop] == self.ladder.shape.last_inputs
        return self.ladder.tiles.offsets(inside) if off_chip and len(self.ladder.held) > 1 else None

    def _slides(self, energy: Floats) -> Floats:
        """`Prices.slides`. energy: (H, V) of the hops of I where nothing slides."""
        tiles, number = self.tiles, len(self.ways.chains[INPUT]) - 1
        found = np.full((len(energy), len(energy) + 1, len(tiles.factors), len(tiles.vectors)), math.inf)
        for hop in range(number if any(self.overlaps(dim) for dim in range(OY, FX + 1)) else 0):
            inside, (_, moved) = self._inside(INPUT, hop), self._moved(INPUT, hop)
            lengths, places = tile_lengths(inside, self.pace), self._places(hop, inside)
            for dim in range(OY, FX + 1):
                pace, length = self.pace[dim - OY], lengths[dim % 2]
                rows = slice(tiles.steps[dim], tiles.steps[dim + 1])
                if not self.overlaps(dim):
                    continue
                factors, touch = tiles.factors[rows, :1], inside[:, dim] * pace <= length
                may = (tiles.rests[:, dim] % factors == 0) & (energy[hop] < math.inf)
                cost = np.where(may, moved, math.inf)
                if places is not None:
                    larger = np.ones((len(factors), 8), dtype=np.int64)
                    larger[:, dim] = factors[:, 0]
                    along = places + self.ladder.tiles.offsets(larger)[:, None] * touch
                    cost = np.where(may, moved * self.ladder.held[np.where(may, along, 0), 0], math.inf)
                last = hop + 1 if self.ways.branch.rules.one_window else number
                for to in range(hop + 1, last + 1):
                    fresh = np.minimum(self._inside(INPUT, to)[:, dim] * pace, length) / length
                    found[hop, to, rows] = cost * (1.0 + (factors - 1) * fresh) / factors
        return found

    def overlaps(self, dim: int) -> bool:
        """Windows that a loop over a dim moves may overlap: some of it is left, and so is what crosses it."""
        layer, across = self.ways.branch.dims, dim + 2 if dim < FY else dim - 2
        reach = (layer.values_tuple[across] - 1) * self.pace[across - OY] + 1
        return bool(self.tiles.vectors[-1, dim] > 1 and reach > self.pace[dim - OY])

    def _shared(self, most: int) -> tuple[Ints, Floats]:
        """`Prices.pool` and `.rooms`."""
        shape, rooms = self.ladder.shape, list[float]()
        pool = np.full((3, most), -1, dtype=np.int64)
        users: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for x, chain in enumerate(self.ways.chains):
            for hop, level in enumerate(chain[:-1]):
                users.setdefault((level, int(shape.slot[level, x])), []).append((x, hop))
        for (level, slot), own in users.items():
            if len(own) > 1 and shape.capacity[level, slot] < math.inf:
                for x, hop in own:
                    pool[x, hop] = len(rooms)
                rooms.append(float(shape.capacity[level, slot]))
        return pool, np.array(rooms, dtype=np.float64)
