"""Every access count of Timeloop v3.0.3 on its own mappings, to the word."""

from __future__ import annotations

import pytest

from benchmarks.replays.figures import figures
from benchmarks.replays.timeloop import OPERAND, case_of
from hwmodel.nest.access import count_accesses

CASES = figures("timeloop_counts.json")


@pytest.mark.parametrize("case", CASES, ids=[case["layer"] for case in CASES])
def test_counts_equal_timeloop(case):
    counts = count_accesses(*case_of(case))
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
