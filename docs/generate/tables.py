"""Tables of Markdown, and what docstrings say of attributes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what would break a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(text: str) -> str:
    """A text in one cell of a table."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def code(text: str) -> str:
    """A text as code, in one cell."""
    return f"`{text}`" if text else ""


def summary_of(thing: object) -> str:
    """The first paragraph of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def section_of(thing: object, title: str) -> dict[str, str]:
    """The entries of a section of a docstring, such as `Attributes`: name -> text. `a, b: text` is of both."""
    doc = inspect.getdoc(thing) or ""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", doc, re.MULTILINE)
    entries: dict[str, str] = {}
    if found:
        for entry in re.split(r"^    (?=\S)", found[1], flags=re.MULTILINE)[1:]:
            names, _, text = entry.partition(":")
            entries |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return entries
