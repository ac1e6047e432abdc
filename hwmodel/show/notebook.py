"""Graphs and costs as they show themselves in a notebook: a small HTML table, every name escaped.

No colour is set, so that tables read in a light and in a dark notebook.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from hwmodel.network.names import OK, WARNING, out_shape, safe_name
from hwmodel.show.coverage import coverage_lines
from hwmodel.show.fused import fused_lines
from hwmodel.show.load import load_lines
from hwmodel.show.outline import Line, cost_outline, graph_outline
from hwmodel.show.sums import Mean

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph
    from hwmodel.price.results import NetworkCost

#: Lines of the tree that a notebook shows; the text form has all.
MAX_LINES = 500

_LEFT, _RIGHT = "text-align: left; white-space: pre", "text-align: right"


def graph_html(graph: LayerGraph) -> str:
    """The tree of a graph as an HTML table."""
    return outline_html(graph_outline(graph), coverage_lines(graph, verbose=False))


def cost_html(cost: NetworkCost) -> str:
    """The tree of a priced network as an HTML table."""
    notes = [*(("", line) for line in fused_lines(cost)), *((WARNING, note) for note in cost.notes)]
    if not cost.is_lower_bound:
        notes.append((OK, "all MACs counted"))
    stay = [("", line) for line in load_lines(cost)]
    return outline_html(cost_outline(cost, name=cost.accelerator), [*stay, *notes])


def outline_html(lines: Sequence[Line], notes: Sequence[tuple[str, str]] = ()) -> str:
    """An outline as an HTML table with exact counts; columns of costs where it is priced.

    Args:
        lines: the network first.
        notes: (mark, text) of the lines below the table.
    """
    is_priced = bool(lines[0].sums.bounds)
    left = ["Layer", "Out", "W/A"]
    right = ["Density", "Params", "MACs", "Share"] + (["Cycles", "Energy [µJ]"] if is_priced else [])
    header = [_cell("th", text, _LEFT) for text in left] + [_cell("th", text, _RIGHT) for text in right]
    rows = ["".join([*header, _cell("th", "Bound", _LEFT) if is_priced else ""])]
    rows += ["".join(_cells(line, lines[0], is_priced)) for line in lines[:MAX_LINES]]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    texts = [f"{mark} {text}".strip() for mark, text in notes]
    if len(lines) > MAX_LINES:
        texts.insert(0, f"{len(lines) - MAX_LINES} more lines are not shown.")
    return f"<table>{body}</table>" + "".join(f"<div>{escape(safe_name(text))}</div>" for text in texts)


def html_table(headers: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A small HTML table, every cell escaped.

    Args:
        headers: a leading `<` aligns a column left; numbers stand right.
        rows: cells as text; of more than `MAX_LINES` the others are counted.
        notes: lines below the table.
    """
    styles = [_LEFT if header.startswith("<") else _RIGHT for header in headers]
    cells = list(rows)
    texts = [*notes]
    if len(cells) > MAX_LINES:
        texts.insert(0, f"{len(cells) - MAX_LINES} more rows are not shown.")
    lines = [[_cell("th", text.lstrip("<"), style) for text, style in zip(headers, styles, strict=True)]]
    lines += [
        [_cell("td", text, style) for text, style in zip(row, styles, strict=True)] for row in cells[:MAX_LINES]
    ]
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f"<table>{body}</table>" + "".join(map(html_line, texts))


def html_line(text: str) -> str:
    """A line of text, escaped."""
    return f"<div>{escape(safe_name(text))}</div>"


def html_block(text: str) -> str:
    """Lines of text as they stand, escaped."""
    return f"<pre>{escape(chr(10).join(map(safe_name, text.splitlines())))}</pre>"


def _cells(line: Line, network: Line, is_priced: bool) -> list[str]:
    sums = line.sums
    times = f" ×{line.times}" if line.times > 1 else ""
    out = f"{line.hidden} layers" if line.hidden else "" if line.layer is None else out_shape(line.layer)
    share = f"{sums.macs / network.sums.macs:.1%}" if network.sums.macs else ""
    left = [
        line.guide + line.label + times,
        out,
        f"{_number(sums.w_bits)}/{_number(sums.a_bits)}",
    ]
    right = [f"{sums.density.value:.2f}" if sums.num_layers else "–", f"{sums.params:,}", f"{sums.macs:,}", share]
    if is_priced:
        right += [f"{sums.cycles:,}", f"{sums.energy_pj / 1e6:,.3f}"]
    cells = [_cell("td", text, _LEFT) for text in left] + [_cell("td", text, _RIGHT) for text in right]
    return [*cells, _cell("td", sums.bound, _LEFT)] if is_priced else cells


def _number(mean: Mean) -> str:
    """One width, or the mean of several with a decimal; a dash where nothing has one."""
    if math.isnan(mean.value):
        return "–"
    return f"{mean.value:.0f}" if mean.is_uniform else f"{mean.value:.1f}"


def _cell(tag: str, text: str, style: str) -> str:
    return f'<{tag} style="{style}">{escape(safe_name(text))}</{tag}>'
