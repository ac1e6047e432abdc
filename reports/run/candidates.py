"""Candidates as a frame, from whatever holds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.run.folder import read_run
from reports.run.frames import completed, results_to_frame

if TYPE_CHECKING:
    import pandas as pd


def candidate_frame(source: Any) -> pd.DataFrame:
    """Every candidate of a study, one row per result, with its front marked.

    Args:
        source: a run folder, an object with a `.folder` (a `Study`), a sequence of `Result`, or a
            frame (returned with the missing columns added).

    Returns:
        The columns of `search.front.results.results_frame`, and `front`, `picked`, `ptq_accuracy`,
        `qat_accuracy` (of the same configuration in either stage), `test_accuracy`, `test_sd`,
        `test_runs`. `attrs["float_accuracy"]` holds the float model's validation accuracy if known.

    Raises:
        ConfigError: the folder is not that of a run.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return completed(source)
    if isinstance(source, (str, Path)) or hasattr(source, "folder"):
        return read_run(source).candidates
    results = list(source)
    return results_to_frame(results, ("accuracy", "avg_w_bits"))
