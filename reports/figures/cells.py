"""Where the nodes of one cell of a picture stand, and how its edges run between them [inch, y downwards].

Nodes stand in rows by their longest path from the entry. An edge to the next row bends in the gap between the
rows; one that skips rows runs straight down where nothing stands in its way, else in a lane on the right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.figures.diagram import Cell, Item

NODE_WIDTH, NODE_HEIGHT, JOIN_SIZE = 1.56, 0.36, 0.17
SLOT, ROW_GAP, LANE = 0.1, 0.17, 0.09
TITLE_HEIGHT, PADDING = 0.2, 0.08
ENTRY, EXIT = "<in>", "<out>"

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """The centre of a node and its size; `is_alone` in its row."""

    x: float
    y: float
    width: float
    height: float
    is_alone: bool

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    def moved(self, dx: float, dy: float) -> Spot:
        return Spot(x=self.x + dx, y=self.y + dy, width=self.width, height=self.height, is_alone=self.is_alone)


@dataclass(frozen=True, kw_only=True)
class CellLayout:
    """A cell around x = 0, its top at y = 0.

    Attributes:
        spots: of its items, of `ENTRY` and of `EXIT`.
        paths: the corners of its edges, last corner at the head.
        ways_out: likewise, of edges that go on in the next cell.
        left, right: half widths, padding and lanes included.
        height: of the whole.
        has_entry: some edge enters where the cell before ends.
    """

    cell: Cell
    spots: Mapping[str, Spot]
    paths: Sequence[Sequence[Point]]
    ways_out: Sequence[Sequence[Point]]
    left: float
    right: float
    height: float
    has_entry: bool


def lay_out(cell: Cell, edges: Sequence[tuple[str, str]]) -> CellLayout:
    """Place the items of a cell.

    Args:
        cell: its items in topological order.
        edges: among them, from `ENTRY` to some, and from one to `EXIT`.
    """
    rows = _rows(cell.items, edges)
    row_of = {name: index for index, row in enumerate(rows) for name in row}
    starts = not cell.title and all(row_of[target] == 1 for source, target in edges if source == ENTRY)
    top = TITLE_HEIGHT if cell.title else 0.0
    spots = _spots(
        rows, {item.name: item for item in cell.items}, top, starts_at_once=starts, ends_at_once=not cell.title
    )
    half = max(abs(spot.x) + spot.width / 2 for spot in spots.values())
    lanes: list[list[tuple[int, int]]] = []
    paths: dict[tuple[str, str], list[Point]] = {}
    for source, target in sorted(edges, key=lambda edge: (row_of[edge[0]], row_of[edge[1]])):
        a, b = spots[source], spots[target]
        between = [spots[name] for row in rows[row_of[source] + 1 : row_of[target]] for name in row]
        if row_of[target] - row_of[source] == 1:
            path = bent(a, b)
        elif source != ENTRY and all(abs(spot.x - a.x) > spot.width / 2 + 0.03 for spot in between):
            path = routed(a, b, a.x)
        else:
            lane = _lane(lanes, (row_of[source], row_of[target]))
            path = routed(a, b, half + LANE * (lane + 1))
        if path[0] != path[-1]:
            paths[source, target] = path
    pad = PADDING if cell.title else 0.0
    return CellLayout(
        cell=cell,
        spots=spots,
        paths=[path for (_, target), path in paths.items() if target != EXIT],
        ways_out=[path for (_, target), path in paths.items() if target == EXIT],
        left=half + pad,
        right=half + LANE * len(lanes) + pad,
        height=spots[EXIT].y,
        has_entry=any(source == ENTRY for source, _ in edges),
    )


def _rows(items: Sequence[Item], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Names by row, the entry first and the exit last; within a row by where their sources stand."""
    order = {item.name: index for index, item in enumerate(items)}
    sources: dict[str, list[str]] = {name: [] for name in order}
    for source, target in edges:
        if source in order and target in order:
            sources[target].append(source)
    depth: dict[str, int] = {}
    generations: list[list[str]] = []
    for name in order:
        depth[name] = max((depth[source] + 1 for source in sources[name]), default=0)
        generations += [[]] if depth[name] == len(generations) else []
        generations[depth[name]].append(name)
    place: dict[str, float] = {}
    rows = [[ENTRY]]
    for generation in generations:
        wanted = {}
        for name in generation:
            known = [place[source] for source in sources[name]]
            wanted[name] = (sum(known) / len(known) if known else 0.0, order[name])
        row = sorted(generation, key=wanted.__getitem__)
        place |= {name: index - (len(row) - 1) / 2 for index, name in enumerate(row)}
        rows.append(row)
    return [*rows, [EXIT]]


def _spots(
    rows: Sequence[Sequence[str]], items: Mapping[str, Item], y: float, *, starts_at_once: bool, ends_at_once: bool
) -> dict[str, Spot]:
    """Rows from `y` down. A single node may stand right where the cell starts or ends."""
    spots = {}
    for index, row in enumerate(rows):
        sizes = [_size(items.get(name)) for name in row]
        height = max(h for _, h in sizes)
        x = -(sum(w for w, _ in sizes) + SLOT * (len(row) - 1)) / 2
        for name, (w, h) in zip(row, sizes, strict=True):
            spots[name] = Spot(x=x + w / 2, y=y + height / 2, width=w, height=h, is_alone=len(row) == 1)
            x += w + SLOT
        is_first, is_last = index == 0 and len(rows[1]) == 1, index == len(rows) - 2 and len(row) == 1
        y += height + (0.0 if (is_first and starts_at_once) or (is_last and ends_at_once) else ROW_GAP)
    return spots


def _size(item: Item | None) -> Point:
    """Entry and exit are points."""
    if item is None:
        return 0.0, 0.0
    return (JOIN_SIZE, JOIN_SIZE) if item.kind == "join" else (NODE_WIDTH, NODE_HEIGHT)


def _lane(lanes: list[list[tuple[int, int]]], rows: tuple[int, int]) -> int:
    """The first lane in which nothing runs beside these rows."""
    for index, taken in enumerate(lanes):
        if all(rows[0] > end or rows[1] < start for start, end in taken):
            taken.append(rows)
            return index
    lanes.append([rows])
    return len(lanes) - 1


def bent(a: Spot, b: Spot) -> list[Point]:
    """From the bottom of a node to the top of one in the next row."""
    if abs(a.x - b.x) < 1e-6:
        return [(a.x, a.bottom), (b.x, b.top)]
    middle = b.top - ROW_GAP / 2
    return [(a.x, a.bottom), (a.x, middle), (b.x, middle), (b.x, b.top)]


def routed(a: Spot, b: Spot, lane: float) -> list[Point]:
    """From a node to one further down through a lane: sideways where the row is free, else through the gaps.

    Edges leave below the middle and arrive above it, so that one that ends is not one that goes on.
    """
    if abs(lane - a.x) < 1e-6:
        start = [(a.x, a.bottom)]
    elif a.is_alone:
        start = [(a.right, a.y + a.height / 5), (lane, a.y + a.height / 5)]
    else:
        start = [(a.x, a.bottom), (a.x, a.bottom + ROW_GAP * 0.35), (lane, a.bottom + ROW_GAP * 0.35)]
    if b.is_alone and lane > b.right and b.width:
        return [*start, (lane, b.y - b.height / 5), (b.right, b.y - b.height / 5)]
    above = b.top - ROW_GAP * 0.5
    return [*start, (lane, above), (b.x, above), (b.x, b.top)]
