"""Reads the blocks of code of a page of the documentation, and the remarks that stand before them.

How blocks are run is in `tests/docs/running.py`; what the remarks mean is told to readers in `docs/index.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
#: The comments that may stand before a block: `<!-- not run: it needs a GPU -->`.
REMARK = re.compile(r"<!-- (not run|numbers vary|part of a search file|part of a chip file)(?:: (.+?))? -->", re.S)
NEED_A_REASON = ("not run", "numbers vary")
#: The first line of a block that is a file: `# net.py`, `# my.yaml: what it is`.
FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml))(?=[:\s])")
LANGUAGES = ("python", "console", "yaml", "text")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: the file that it stands in.
        line: the line of its first line of text, from 1.
        language: what stands behind its fence.
        text: what stands in it, a line break at its end.
        remark: the kind of the comment before it, one of those of `REMARK`, or an empty text.
        reason: what that comment says.
        follows: whether only white space lies between it and the block before it: the output of that one.
    """

    page: Path
    line: int
    language: str
    text: str
    remark: str = ""
    reason: str = ""
    follows: bool = False

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The file that the block is, if its first line names one."""
        found = FILE.match(self.text)
        return found[1] if found and self.language in ("python", "yaml") else None


def read_blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: a block without a known language, an unknown remark, or one without its reason.
    """
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    for number, token in enumerate(tokens):
        if token.type == "code_block" or token.type != "fence":
            continue
        assert token.map
        place = f"{page.name}:{token.map[0] + 2}"
        language = token.info.strip()
        if language not in (*LANGUAGES, "{toctree}"):
            raise ValueError(f"{place} a block says what it is: one of {', '.join(LANGUAGES)}, not '{language}'")
        if language == "{toctree}":
            continue
        before = [None, None, *tokens][number : number + 2]
        remark, reason = "", ""
        if before[1] and before[1].type == "html_block":
            found = REMARK.fullmatch(before[1].content.strip())
            if not found or (found[1] in NEED_A_REASON and not found[2]):
                raise ValueError(f"{place} not a remark on a block: {before[1].content.strip()}")
            remark, reason = found[1], found[2] or ""
            before.pop()
        follows = before[-1] is not None and before[-1].type == "fence"
        yield Block(page, token.map[0] + 2, language, token.content, remark, reason, follows)


def pages(folder: str) -> list[Path]:
    """The pages of a folder of docs/, those of its folders left out."""
    return sorted((ROOT / "docs" / folder).glob("*.md"))
