"""What a search found, in a sentence."""

from __future__ import annotations

import math

from reports.run.candidates import front_rows
from reports.run.folder import Run


def finding(run: Run) -> str:
    """One sentence on what the search found; a difference within the noise is called that."""
    candidates, picked = run.candidates, run.picked_row
    failed = int((candidates["status"] == "failed").sum())
    scored = f"{len(candidates) - failed} scores of {candidates['key'].nunique()} configurations"
    tail = f", {failed} failed" if failed else ""
    if picked is None:
        return f"{scored}{tail}. No configuration is picked yet."
    text = f"{scored}{tail}; {len(front_rows(candidates))} on the front. Picked: candidate {int(picked['number'])}"
    if run.float_accuracy is None or not math.isfinite(picked["standard_error"]):
        return f"{text}."
    gap = picked["accuracy"] - run.float_accuracy
    noise = math.hypot(picked["standard_error"], run.float_error)
    spread = f"± {noise * 100:.2f}"
    if abs(gap) <= noise:
        return f"{text}, within one standard error of the float model ({gap * 100:+.2f} points, {spread})."
    side = "above" if gap > 0 else "below"
    return f"{text}, {abs(gap) * 100:.2f} points {side} the float model ({spread})."
