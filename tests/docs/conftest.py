"""Runs pages, each in a folder of its own; a page that looks at `runs/quick` finds it there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.docs.running import PageRun, run_command


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The folder that `hwmodel search examples/quick.yaml` leaves; it is made once, when a page first needs it."""
    made: list[Path] = []

    def folder() -> Path:
        if not made:
            run = tmp_path_factory.mktemp("quick") / "run"
            answer = run_command(f"hwmodel search {ROOT / 'examples' / 'quick.yaml'} --run {run}")
            assert not answer.endswith("]\n"), answer
            made.append(run)
        return made[0]

    return folder


@pytest.fixture
def run_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_run: Callable[[], Path], plain_figures: None
) -> Callable[[Path], PageRun]:
    """Runs all blocks of a page; reports that its commands write are without their pictures."""

    def run(page: Path) -> PageRun:
        if "runs/quick" in page.read_text(encoding="utf-8"):
            shutil.copytree(quick_run(), tmp_path / "runs" / "quick")
        page_run = PageRun(tmp_path)
        page_run.run_page(page, monkeypatch)
        return page_run

    return run
