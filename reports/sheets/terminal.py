"""Tables and trees of the terminal as tables of a page: the same cells, from one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.page.htmltables import Column, HtmlTable, Row
from reports.terminal.trees import Summary

if TYPE_CHECKING:
    from rich.table import Table


def html_of(table: Table) -> HtmlTable:
    """A table of `reports.terminal.tables.new_table`."""
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    return HtmlTable(
        columns=[
            Column(header=str(column.header), align="right" if column.justify == "right" else "left")
            for column in table.columns
        ],
        rows=[Row(cells=row) for row in zip(*cells, strict=True)],
    )


def html_of_tree(tree: Summary) -> HtmlTable:
    """The tree of a network with every column; names with the guides of the tree before them."""
    network = tree.lines[0]
    rows = [
        Row(
            cells=[
                f"{line.guide}{line.label}{f' ×{line.times}' if line.times > 1 else ''}",
                *(column.cell(line, network) for column in tree.columns),
            ],
            mark="" if line.level else "picked",
        )
        for line in tree.lines
    ]
    columns = [Column(header=column.header, align="left" if column.is_text else "right") for column in tree.columns]
    return HtmlTable(columns=[Column(header="Layer", align="tree"), *columns], rows=rows)
