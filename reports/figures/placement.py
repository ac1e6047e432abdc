"""Where the cells of a picture stand: in columns, with the edges between them [inch, y downwards]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from reports.figures.cells import ENTRY, EXIT, LANE, CellLayout, Point, Spot, lay_out, routed
from reports.figures.diagram import Diagram, Item

PAGE_WIDTH, COLUMN_HEIGHT = 7.2, 9.0
CELL_GAP, GUTTER = 0.2, 0.22
#: Edges past other cells that a column draws as lines; more get letters.
MAX_FAR = 6


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The border of a cell, and its title."""

    left: float
    top: float
    right: float
    bottom: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Everything that is drawn.

    Attributes:
        nodes: every item with its spot.
        frames: of the cells that have one.
        paths: corners of the edges; the head is at the last one.
        ways_out: corners of edges that another path goes on with: no head.
        tags: (x, y, letter, is_source) where an edge leaves and enters that is not drawn as a line.
        width, height: of the whole.
    """

    nodes: Sequence[tuple[Item, Spot]]
    frames: Sequence[Frame]
    paths: Sequence[Sequence[Point]]
    ways_out: Sequence[Sequence[Point]]
    tags: Sequence[tuple[float, float, str, bool]]
    width: float
    height: float


def place(diagram: Diagram) -> Placement:
    """Place the cells of a diagram in as few columns as keep a page in proportion."""
    where = {item.name: index for index, cell in enumerate(diagram.cells) for item in cell.items}
    feeds = _feeding(diagram, where)
    layouts = [_layout_of(diagram, index, where, feeds) for index in range(len(diagram.cells))]
    columns = _columns(layouts)
    column_of = [index for index, column in enumerate(columns) for _ in column]
    far = [
        (a, b) for a, b in diagram.edges
        if where[a] != where[b] and not (where[b] == where[a] + 1 and feeds.get(where[b]) == a)
    ]  # fmt: skip
    near = [edge for edge in far if column_of[where[edge[0]]] == column_of[where[edge[1]]]]
    near = near if len(near) <= MAX_FAR * len(columns) else []
    lanes = {edge: index for index, edge in enumerate(near)}
    spots: dict[str, Spot] = {}
    frames: list[Frame] = []
    paths: list[Sequence[Point]] = []
    ways_out: list[Sequence[Point]] = []
    x = height = 0.0
    before: Point | None = None
    for column in columns:
        left, right = _halves(column)
        centre, y = x + left, 0.0
        inside = {item.name for layout in column for item in layout.cell.items}
        for layout in column:
            if before is not None and layout.has_entry:
                paths.append(_joined(before, (centre, y), x - GUTTER / 2))
            spots |= {
                name: spot.moved(centre, y) for name, spot in layout.spots.items() if name not in (ENTRY, EXIT)
            }
            paths += [_moved(path, centre, y) for path in layout.paths]
            ways_out += [_moved(path, centre, y) for path in layout.ways_out]
            if layout.cell.title:
                frames.append(_frame(layout, centre, y))
            y += layout.height
            before = (centre, y)
            y += CELL_GAP
        own = [edge for edge in near if edge[0] in inside]
        paths += [
            routed(spots[a], spots[b], centre + right + LANE * (number + 1)) for number, (a, b) in enumerate(own)
        ]
        x = centre + right + LANE * len(own) + GUTTER
        height = max(height, y - CELL_GAP)
    tags = _tags([edge for edge in far if edge not in lanes], spots)
    items = [(item, spots[item.name]) for cell in diagram.cells for item in cell.items]
    return Placement(
        nodes=items, frames=frames, paths=paths, ways_out=ways_out, tags=tags, width=x - GUTTER, height=height
    )


def _moved(path: Sequence[Point], dx: float, dy: float) -> list[Point]:
    return [(x + dx, y + dy) for x, y in path]


def _feeding(diagram: Diagram, where: Mapping[str, int]) -> dict[int, str]:
    """Cell -> the last item of the cell before it that feeds it; nothing where none does."""
    position = {item.name: index for index, item in enumerate(item for c in diagram.cells for item in c.items)}
    feeds: dict[int, str] = {}
    for source, target in diagram.edges:
        if where[target] == where[source] + 1:
            known = feeds.get(where[target], source)
            feeds[where[target]] = max(known, source, key=position.__getitem__)
    return feeds


def _layout_of(diagram: Diagram, index: int, where: Mapping[str, int], feeds: Mapping[int, str]) -> CellLayout:
    source = feeds.get(index)
    edges = [(a, b) for a, b in diagram.edges if where[a] == where[b] == index]
    edges += [(ENTRY, b) for a, b in diagram.edges if where[b] == index and a == source]
    edges += [(feeds[index + 1], EXIT)] if index + 1 in feeds else []
    return lay_out(diagram.cells[index], edges)


def _halves(layouts: Sequence[CellLayout]) -> Point:
    """What cells below each other need on the left and on the right of their centre."""
    return max((item.left for item in layouts), default=0.0), max((item.right for item in layouts), default=0.0)


def _columns(layouts: Sequence[CellLayout]) -> list[list[CellLayout]]:
    total = sum(layout.height + CELL_GAP for layout in layouts)
    widest = sum(_halves(layouts)) + GUTTER
    num = min(max(1, math.ceil(total / COLUMN_HEIGHT)), max(1, int((PAGE_WIDTH + GUTTER) / widest)))
    columns: list[list[CellLayout]] = [[]]
    filled = 0.0
    for layout in layouts:
        step = layout.height + CELL_GAP
        if columns[-1] and len(columns) < num and filled + step / 2 > total * len(columns) / num:
            columns.append([])
        columns[-1].append(layout)
        filled += step
    return columns


def _joined(a: Point, b: Point, gutter: float) -> list[Point]:
    """From the end of a cell to the start of the next, which may stand at the top of the next column."""
    if b[1] > a[1]:
        return [a, b]
    low, high = a[1] + CELL_GAP / 2, b[1] - CELL_GAP * 0.7
    return [a, (a[0], low), (gutter, low), (gutter, high), (b[0], high), b]


def _frame(layout: CellLayout, centre: float, y: float) -> Frame:
    return Frame(
        left=centre - layout.left,
        top=y,
        right=centre + layout.right,
        bottom=y + layout.height,
        title=layout.cell.title,
    )


def _tags(edges: Sequence[tuple[str, str]], spots: Mapping[str, Spot]) -> list[tuple[float, float, str, bool]]:
    """A letter at both ends of every edge, the same for all edges that leave a node."""
    names = {source: _letters(index) for index, source in enumerate(dict.fromkeys(a for a, _ in edges))}
    tags = [(spots[a].right, spots[a].top, name, True) for a, name in names.items()]
    seen: dict[str, int] = {}
    for source, target in edges:
        spot, number = spots[target], seen.get(target, 0)
        seen[target] = number + 1
        tags.append((spot.x - spot.width / 2 + 0.16 * number, spot.top, names[source], False))
    return tags


def _letters(index: int) -> str:
    """A, B, ..., Z, A1, B1, ..."""
    letter = ascii_uppercase[index % len(ascii_uppercase)]
    return letter + (str(index // len(ascii_uppercase)) if index >= len(ascii_uppercase) else "")
