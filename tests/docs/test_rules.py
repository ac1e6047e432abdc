"""The blocks that are not run are counted, and what runs the others can fail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hwmodel.errors import HwModelError
from tests.docs.blocks import ROOT, Block, read_blocks
from tests.docs.running import PageRun, commands, matches, read_as_file

#: Page -> blocks that are not run. Each has its reason in a comment before it; a new one has to be added here too.
NOT_RUN = {
    "README.md": 3,
    "docs/architecture.md": 1,
    "docs/explain/export.md": 2,
    "docs/explain/onnx.md": 1,
    "docs/explain/quantizers.md": 1,
    "docs/explain/search.md": 1,
    "docs/explain/tracing.md": 1,
    "docs/howto/cluster.md": 2,
    "docs/howto/gpu.md": 2,
    "docs/howto/own-data.md": 1,
    "docs/reference/accelerators.md": 1,
    "docs/start/index.md": 2,
}
PAGES = [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if "_" not in path.parent.name)]


def block(language: str, text: str, remark: str = "", *, follows: bool = False) -> Block:
    return Block(ROOT / "page.md", 1, language, text, remark, "a reason" if remark else "", follows)


def test_the_blocks_that_are_not_run_are_counted() -> None:
    found = [part for page in PAGES for part in read_blocks(page) if part.remark == "not run"]
    assert Counter(str(part.page.relative_to(ROOT)) for part in found) == NOT_RUN
    assert all(len(part.reason.split()) >= 3 for part in found)


def test_a_block_needs_a_language_and_a_remark_a_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    fence = "```python\n1\n```\n"
    for text in ("```\nls\n```\n", f"<!-- not run -->\n{fence}", f"<!-- skip: me -->\n{fence}"):
        page.write_text(text)
        with pytest.raises(ValueError, match=r"page\.md:\d"):
            list(read_blocks(page))


def test_outputs_are_compared() -> None:
    assert matches("a  \nb...d\n", "\na\nb c\nd\n")
    assert not matches("a\nb", "a\nb\nc")
    assert matches("12 % of 1,234  items", "9.5 %  of 7 items", any_number=True)
    assert not matches("12 % of 1,234 items", "9.5 % of 7 things", any_number=True)


def test_commands_and_their_outputs() -> None:
    text = "$ one \\\n  --two\nout\n\nput\n$ three  # why\n"
    assert commands(block("console", text)) == [("one --two", "out\n\nput\n"), ("three  # why", "")]


@pytest.mark.parametrize("part", [
    block("python", "1 / 0"),
    block("python", "nobody"),
    block("python", "(", "not run"),
    block("console", "$ hwmodel hw list\nnothing\n"),
    block("console", "$ hwmodel cost lenet5 --hw nothing\n"),
    block("console", "$ hwmodel cost lenet5 --no-such-option\n", "not run"),
    block("console", "$ false\n"),
    block("text", "3\n"),
    block("text", "3\n", follows=True),
    block("yaml", "model: resnet8\nobjektives: [accuracy]\n"),
    block("yaml", "objektives: [accuracy]\n", "part of a search file"),
    block("yaml", "gating: [I]\nclock: 200\n", "part of a chip file"),
], ids=range(12))  # fmt: skip
def test_what_is_wrong_fails(part: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((Exception, SyntaxError)):
        PageRun(tmp_path, printed="2\n").run(part)


def test_parts_of_files_are_read_in_a_frame(tmp_path: Path) -> None:
    read_as_file(block("yaml", "objectives: [accuracy, energy]\n", "part of a search file"), tmp_path)
    sweep = "sweep:\n  - array.X.size: [4, 8]\n"
    read_as_file(block("yaml", sweep, "part of a chip file"), tmp_path)
    with pytest.raises(HwModelError):
        read_as_file(block("yaml", "memories:\n  - {name: dram, size: 4 KiB}\n", "part of a chip file"), tmp_path)
