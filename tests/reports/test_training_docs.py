"""docs/explain/training.md names every setting. Its blocks run in `tests/docs`."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "explain" / "training.md"


def test_every_setting_and_option_is_on_the_page() -> None:
    from typer.testing import CliRunner

    from reports.cli import app
    from workloads.training import TrainSettings

    text = PAGE.read_text()
    unnamed = {"epochs", "batch_size", "seed"}
    assert [n for n in TrainSettings.__dataclass_fields__ if f"`{n}`" not in text and n not in unnamed] == []
    shown = CliRunner().invoke(app, ["finetune", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    options = set(re.findall(r"(?<![\w`-])--[a-z]+", text))
    assert {name for name in options if name not in shown} == set()
