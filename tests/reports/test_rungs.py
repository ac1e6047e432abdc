"""What was finetuned in part is shown as that, and never as what others are compared with."""

from __future__ import annotations

from dataclasses import replace

from reports.run.baselines import most_precise
from search.front.results import Result, results_frame
from tests.search.helpers import make_result


def short(result: Result) -> Result:
    return replace(result, stage="short", share=0.25)


def test_no_short_run_is_amost_precise() -> None:
    precise = short(make_result(0, avg_w_bits=8.0))
    full = make_result(1, stage="qat", avg_w_bits=6.0)
    assert most_precise([precise, full], None) == (full, "the most precise candidate")
    assert most_precise([precise], None) == (None, "")


def test_tables_tell_how_much_of_a_run_it_was() -> None:
    full = make_result(0, stage="qat")
    assert "share" not in results_frame([full]).columns
    frame = results_frame([full, short(make_result(1))])
    assert frame["share"].tolist() == [1.0, 0.25]
    assert frame["stage"].tolist() == ["qat", "short"]
