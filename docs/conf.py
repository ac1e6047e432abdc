"""How Sphinx builds the site: `make docs`. It looks at no network."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docs.generate import write_pages  # noqa: E402

project = "hwmodel"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "generate", "**/__pycache__"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "hwmodel"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
myst_links_external_new_tab = True

autodoc_typehints = "none"  # Args say what they are
autodoc_member_order = "bysource"
napoleon_use_rtype = False
napoleon_use_ivar = True
nitpicky = False
smartquotes = False  # two dashes are an option, not a dash


def as_rst(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with code between backticks: nothing else in them is markup.

    An entry of several names (`a, b: text`) becomes one of each, which napoleon knows.

    Source of the event: sphinx.ext.autodoc, `autodoc-process-docstring`; it runs before napoleon's.
    """
    entry = re.compile(r"^    ((?:\w+, )+\w+)(:.*(?:\n {8}.*)*)", re.MULTILINE)
    each = "\n".join(lines)
    each = entry.sub(lambda m: "\n".join(f"    {name}{m[2]}" for name in m[1].split(", ")), each)
    parts = re.split(r"(`+[^`]+`+)", each)
    parts[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    ends = ["\\ " if after[:1].isalnum() else "" for after in parts[2::2]]  # RST wants no letter right behind code
    parts[1::2] = [f"``{part.strip('`')}``{end}" for part, end in zip(parts[1::2], ends, strict=True)]
    lines[:] = "".join(parts).split("\n")


def keep_inside(app: Any, page: str, source: list[str]) -> None:
    """A link to a file of the project that is not a page of the site becomes its path."""

    def plain(link: re.Match[str]) -> str:
        target = (HERE / page).parent.joinpath(link[2]).resolve()
        if re.match(r"\w+:", link[2]) or target.is_relative_to(HERE):
            return link[0]
        return f"{link[1]} (`{target.relative_to(HERE.parent)}`)"

    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)[^)\s]*\)", plain, source[0])


def setup(app: Any) -> None:
    """Writes the generated pages before Sphinx looks for pages, and connects the rest."""
    app.connect("autodoc-process-docstring", as_rst, priority=100)
    app.connect("source-read", keep_inside)
    write_pages(HERE / "reference" / "_generated")
