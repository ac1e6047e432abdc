"""The pages of the reference that follow from the code: written when the site is built, never committed."""

from __future__ import annotations

from pathlib import Path

from docs.generate.api import api_pages
from docs.generate.commands import commands_page
from docs.generate.keys import keys_of_chips, keys_of_explorations, keys_of_searches
from docs.generate.names import names_page


def write_pages(folder: Path) -> None:
    """Writes all generated pages into a folder, those of an earlier build replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        old.unlink()
    pages = {
        "commands": commands_page(),
        "search-file": keys_of_searches(),
        "explore-file": keys_of_explorations(),
        "chip-file": keys_of_chips(),
        "names": names_page(),
        **api_pages(),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
