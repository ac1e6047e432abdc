"""The examples of docs/pruning.md run as shown."""

from __future__ import annotations

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[3] / "docs" / "pruning.md"


def test_the_page_runs_from_top_to_bottom(capsys) -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("conv1: 16 channels of conv1, layer1.0.conv2 -> layer1.0.conv1, layer2.0.conv1")
    assert torch.allclose(names["lasso"].x, names["same"].x, atol=1e-5)
    assert names["best5"].nonzeros == 5
