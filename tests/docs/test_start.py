"""Every block of the pages of docs/start runs as printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import pages


@pytest.mark.parametrize("page", pages("start"), ids=lambda path: path.stem)
def test_a_page_runs_from_top_to_bottom(page: Path, run_page: Callable[[Path], object]) -> None:
    run_page(page)
