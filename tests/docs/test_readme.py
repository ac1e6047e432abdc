"""The README runs as shown, and is short."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from search import read_spec
from tests.docs.blocks import ROOT, read_blocks

PAGE = ROOT / "README.md"


def test_the_page_runs_from_top_to_bottom(run_page: Callable[[Path], object]) -> None:
    run_page(PAGE)


def test_it_is_short() -> None:
    program = next(block for block in read_blocks(PAGE) if block.language == "python")
    assert len(program.text.splitlines()) <= 20
    assert len(PAGE.read_text("utf-8").splitlines()) <= 170


def test_it_shows_the_demo_as_it_is() -> None:
    """The widths and images of its table are those of the file that `make demo` runs."""
    text = " ".join(PAGE.read_text("utf-8").split())
    spec = read_spec(ROOT / "examples" / "demo.yaml")
    table = text[text.index("`make demo` searches") : text.index("## Your own model")]
    assert f"({spec.data_options['test']} images" in table
    named = re.findall(r"uniform (W\d+A\d+)", table)
    assert named and set(named) <= set(spec.search.uniform)
    assert f"mean of {spec.search.test_seeds} seeds" in table
