"""Every access count of Timeloop v3.0.3 on its own mappings, to the word."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hwmodel.interop.timeloop import OPERAND, accelerator_of, layer_of, mapping_of
from hwmodel.nest.access import count_accesses

FOLDER = os.environ.get("HWMODEL_REFERENCE")
CASES = json.loads((Path(FOLDER) / "timeloop_counts.json").read_text()) if FOLDER else []


@pytest.mark.parametrize("case", CASES, ids=[case["layer"] for case in CASES])
def test_counts_equal_timeloop(case):
    accelerator = accelerator_of(case["arch_spec"])
    counts = count_accesses(
        layer_of(case["problem"]), accelerator, mapping_of(case["arch_spec"], case["mapping"]["mapping"])
    )
    expected = {
        (level, OPERAND[name]): (
            values["Scalar reads (per-instance)"],
            values["Scalar fills (per-instance)"],
            values["Scalar updates (per-instance)"],
            values["Utilized capacity"],
            values["Utilized instances (max)"],
        )
        for level, operands in case["counts"].items()
        for name, values in operands.items()
        if name in OPERAND
    }
    got = {key: (c.reads, c.fills, c.updates, c.tile, c.instances) for key, c in counts.items()}
    assert got == expected
