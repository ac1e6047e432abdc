"""The summary of a network: an indented tree of its modules as wide as the reader's screen, then the totals."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import OPERANDS
from hwmodel.network.names import filter_shape, out_shape, safe_name
from hwmodel.show.notebook import outline_html
from hwmodel.show.outline import Line, cost_outline, graph_outline
from reports import units
from reports.terminal.tables import marked, print_lines
from reports.terminal.totals import cost_lines, graph_lines

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from hwmodel.price.results import NetworkCost
    from hwmodel.show.sums import Mean, Sums

#: The name column is this wide at least, as long as there is another column to leave out.
MIN_NAME = 16
#: A column of this rank is left out before a name is cut.
EXTRA = 5
FOLDED = "×N: N equal blocks on one line, with their sums (--unfold shows each)"
#: Columns of a summary as text where the width of the screen is not known.
DEFAULT_WIDTH = 100


@dataclass(frozen=True)
class Column:
    """A column beside the names.

    Attributes:
        header: above it.
        cell: its text on a line, given that line and the one of the whole network.
        is_text: stands left; numbers stand right.
        rank: where not all columns fit, the highest is left out first; 0 stays.
    """

    header: str
    cell: Callable[[Line, Line], str]
    is_text: bool = False
    rank: int = 0


def mean_width(mean: Mean) -> str:
    """One width, or the mean of several with a decimal [bit]."""
    if math.isnan(mean.value):
        return units.MISSING
    return f"{mean.value:.0f}" if mean.is_uniform else f"{mean.value:.1f}"


def _bits(line: Line, _: Line) -> str:
    return f"{mean_width(line.sums.w_bits)}/{mean_width(line.sums.a_bits)}"


def _out(line: Line, _: Line) -> str:
    if line.hidden:
        return f"{line.hidden} layers"
    return "" if line.layer is None else out_shape(line.layer)


_OUT = Column("Out", _out, is_text=True, rank=2)
_FILTER = Column(
    "Filter", lambda line, _: "" if line.layer is None else filter_shape(line.layer), is_text=True, rank=EXTRA
)
_BITS = Column("W/A", _bits, is_text=True, rank=3)
_DENSITY = Column("Density", lambda line, _: units.number(line.sums.density.value), rank=4)
_PARAMS = Column("Params", lambda line, _: units.count(line.sums.params), rank=1)
_MACS = Column("MACs", lambda line, _: units.count(line.sums.macs))
_SHARE = Column("Share", lambda line, whole: units.percent(_share(line.sums.macs, whole.sums.macs), 1), rank=2)
_CYCLES = Column("Cycles", lambda line, _: units.count(line.sums.cycles))
_ENERGY = Column("Energy", lambda line, _: units.energy(line.sums.energy_pj))
_UTILIZATION = Column("Util", lambda line, _: units.percent(line.sums.utilization, 0), rank=4)
_RESIDENT = Column("Stays", lambda line, _: _resident(line.sums), is_text=True, rank=4)
_BOUND = Column("Bound", lambda line, _: safe_name(line.sums.bound) if line.level else "", is_text=True, rank=1)

GRAPH_COLUMNS: tuple[Column, ...] = (_OUT, _FILTER, _BITS, _DENSITY, _PARAMS, _MACS, _SHARE)
COST_COLUMNS: tuple[Column, ...] = (_OUT, _BITS, _DENSITY, _MACS, _CYCLES, _UTILIZATION, _ENERGY, _BOUND)


def _resident(sums: Sums) -> str:
    """The operands that lie in the chip's resident memory, in brackets where only some layers' do."""
    counts = [(operand, sums.resident.get(operand, 0)) for operand in OPERANDS]
    return " ".join(o if n == sums.num_layers else f"({o})" for o, n in counts if n)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The tree of a network, with totals and what was not counted below: text, HTML, or a frame.

    Attributes:
        lines: of the tree, the network first.
        columns: of the tree, beside the names.
        notes: (mark, text) of the lines below it.
    """

    lines: Sequence[Line]
    columns: Sequence[Column]
    notes: Sequence[tuple[str, str]]

    def __str__(self) -> str:
        width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
        notes = [line for note in self.notes for line in textwrap.wrap(safe_name(marked(*note)), width)]
        return "\n".join([*self.tree(width), *notes])

    def _repr_html_(self) -> str:
        return outline_html(self.lines, self.notes)

    def tree(self, width: int) -> list[str]:
        """The rows of the tree, header first, at most `width` columns wide."""
        return layout(self.lines, self.columns, width)

    def print(self, console: Console) -> None:
        """The tree as wide as a console, then the notes."""
        header, network, *rows = self.tree(console.width)
        console.out(header, style="bold", highlight=False)
        console.out(network, style="bold", highlight=False)
        if rows:
            console.out("\n".join(rows), highlight=False)
        print_lines(console, self.notes)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per line of the tree; the sums of modules beside the layers, so do not add a column up."""
        import pandas as pd

        return pd.DataFrame([_record(line, self.lines[0]) for line in self.lines])


def summary(
    source: LayerGraph | NetworkCost,
    depth: int | None = None,
    *,
    name: str = "total",
    fold: bool = True,
    notes: Sequence[tuple[str, str]] | None = None,
) -> Summary:
    """The summary of a traced or a priced network.

    Args:
        source: as `trace` or `evaluate` gives it.
        depth: levels of modules that are shown; what is nested deeper is summed. None shows all.
        name: of a priced network; a graph has its own.
        fold: show equal neighbours, such as the blocks of a transformer, as one with their sum.
        notes: (mark, text) of the lines below the tree; None gives totals and what was not counted.

    Example:
        >>> print(summary(trace(model, images), depth=2))
    """
    if isinstance(source, LayerGraph):
        lines, columns = graph_outline(source, depth=depth, fold=fold), GRAPH_COLUMNS
        shown = graph_lines(source) if notes is None else notes
    else:
        lines, columns = cost_outline(source, name=name, depth=depth, fold=fold), COST_COLUMNS
        if lines[0].sums.resident:
            columns = (*columns, _RESIDENT)
        shown = cost_lines(source) if notes is None else notes
    folded = [("", FOLDED)] if any(line.times > 1 for line in lines) else []
    return Summary(lines=lines, columns=columns, notes=[*folded, *shown])


def _record(line: Line, network: Line) -> dict[str, object]:
    sums = line.sums
    record: dict[str, object] = {
        "name": line.name,
        "level": line.level,
        "times": line.times,
        "layers": sums.num_layers,
        "out_shape": "" if line.layer is None else out_shape(line.layer),
        "w_bits": sums.w_bits.value,
        "a_bits": sums.a_bits.value,
        "density": sums.density.value,
        "params": sums.params,
        "macs": sums.macs,
        "macs_share": _share(sums.macs, network.sums.macs),
    }
    if network.sums.bounds:
        record |= {
            "cycles": sums.cycles,
            "utilization": sums.utilization,
            "energy_pj": sums.energy_pj,
            "bound": sums.bound,
        }
    return record


# ---- layout --------------------------------------------------------------------------------------


def cells_of(column: Column, lines: Sequence[Line]) -> list[str]:
    """The header and the cells of a column."""
    return [column.header, *(column.cell(line, lines[0]) for line in lines)]


def name_width(lines: Sequence[Line]) -> int:
    """What the names take with their guides [cells]."""
    from rich.cells import cell_len

    return max(cell_len(guide) + cell_len(label) for guide, label in _names(lines))


def _names(lines: Sequence[Line]) -> list[tuple[str, str]]:
    return [("", "Layer"), *((line.guide, _label(line)) for line in lines)]


def layout(lines: Sequence[Line], columns: Sequence[Column], width: int) -> list[str]:
    """Rows of text: a name that is too long goes on below, columns that do not fit are left out."""
    from rich.cells import cell_len

    names, longest = _names(lines), name_width(lines)
    cells = {column: cells_of(column, lines) for column in columns}
    widths = {column: max(map(cell_len, texts)) for column, texts in cells.items()}
    shown, gap = _fitting(widths, width - min(longest, MIN_NAME), width - longest)
    room = min(longest, width - sum(widths[column] + gap for column in shown))
    rows = []
    for index, name in enumerate(names):
        first, *others = _folded(*name, room)
        row = [_padded(first, room, is_text=True)]
        row += [_padded(cells[column][index], widths[column], is_text=column.is_text) for column in shown]
        rows += [(" " * gap).join(row).rstrip(), *others]
    return rows


def _fitting(widths: dict[Column, int], most: int, best: int) -> tuple[list[Column], int]:
    """(columns, gap) that fit into `most` cells, with a wide gap where they fit into `best` even so."""
    shown = list(widths)
    for column in sorted(widths, key=lambda column: -column.rank):
        if column.rank and sum(widths[other] + 1 for other in shown) > (best if column.rank >= EXTRA else most):
            shown.remove(column)
    return shown, 2 if sum(widths[column] + 2 for column in shown) <= best else 1


def _label(line: Line) -> str:
    """The name on a line, with the number of equal ones folded into it."""
    return safe_name(line.label) + (f" ×{line.times}" if line.times > 1 else "")


def _folded(guide: str, label: str, room: int) -> list[str]:
    """A label behind its guide, cut into pieces of `room` cells; the branches of the tree go on beside them."""
    from rich.cells import cell_len, chop_cells

    if cell_len(label) + len(guide) <= room:
        return [guide + label]
    if len(guide) > room // 2:
        guide = "…" + guide[-(room // 2) :]
    below = guide.replace("├─", "│ ").replace("└─", "  ")
    first, *others = chop_cells(label, max(room - len(guide), 2)) or [""]
    return [guide + first, *(below + other for other in others)]


def _padded(text: str, width: int, *, is_text: bool) -> str:
    from rich.cells import cell_len

    blanks = " " * (width - cell_len(text))
    return text + blanks if is_text else blanks + text
