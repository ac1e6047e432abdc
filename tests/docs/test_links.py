"""No link of a page is dead: files exist, and headings are there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.blocks import ROOT

ROOMS = ("hwmodel", "workloads", "search", "reports", "examples", "benchmarks", "tests")
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "tests" / "reference" / "README.md",
        *(path for path in (ROOT / "docs").rglob("*.md") if not {"_build", "_generated"} & set(path.parts)),
    ]
)


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))


def targets(page: Path) -> list[str]:
    """Where the links and pictures of a page lead."""
    inside = [child for token in tokens(page) for child in token.children or ()]
    links = [token for token in inside if token.type in ("link_open", "image")]
    found = [str(token.attrGet("href") or token.attrGet("src")) for token in links]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as forges and MyST make them."""
    pairs = zip(tokens(page), tokens(page)[1:], strict=False)
    titles = [title.children or () for before, title in pairs if before.type == "heading_open"]
    plain = ("".join(part.content for part in title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in targets(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(target)
    assert dead == []


def test_pages_that_the_code_names_exist() -> None:
    dead = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".yaml", ".j2"):
                named = set(re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")))
                dead += [f"{path.relative_to(ROOT)}: {name}" for name in named if not (ROOT / name).exists()]
    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    """By plain links, as on a forge."""
    index = ROOT / "docs" / "index.md"
    reached, waiting = {index}, [index]
    while waiting:
        page = waiting.pop()
        for target in targets(page):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.exists() and path not in reached:
                reached.add(path)
                waiting.append(path)
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []
