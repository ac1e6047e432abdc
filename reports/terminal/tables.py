"""Tables and lines of text for the terminal, and names that are printed as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwmodel.network.names import OK, WARNING, safe_name

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def safe_text(name: object, style: str = "") -> Text:
    """The name as rich text that is never read as markup."""
    from rich.text import Text

    return Text(safe_name(name), style=style)


def new_table(*headers: str, width: int = 80) -> Table:
    """A table without a frame; a leading `<` aligns a column left. The first column folds, others stay whole."""
    from rich.table import Table

    gap = 2 if width >= 96 else 1
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(
            header.lstrip("<"),
            justify="left" if header.startswith("<") else "right",
            no_wrap=index > 0,
            overflow="fold" if index == 0 else "ellipsis",
        )
    return table


def marked(mark: str, text: str) -> str:
    """A line with its mark, if it has one."""
    return f"{mark} {text}" if mark else text


def print_lines(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Lines of (mark, text): `!` in yellow, a tick in green, others plain; wrapped at the terminal's width."""
    styles = {WARNING: "yellow", OK: "green"}
    for mark, text in lines:
        console.print(safe_text(marked(mark, text), styles.get(mark, "")), overflow="fold")
