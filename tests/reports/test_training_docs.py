"""The examples of docs/training.md run as shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(compile(block, str(PAGE), "exec"), names)
    assert pd.read_csv("curves.csv").epoch.tolist() == [1, 2]
    assert Path("curves.png").stat().st_size > 1000
    assert names["read_state"]("run.state.safetensors")["epoch"] == 2


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
