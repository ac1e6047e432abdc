"""The data of the page: all that its script shows, as plain values that JSON holds."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from hwmodel.network.names import safe_name
from reports.page.axes import Axis, Value, axes_of
from reports.page.colours import Colours, colours
from reports.page.configs import Configs, configs_of
from reports.page.history import History, histories
from reports.page.prices import Prices, prices_of
from reports.run.candidates import front_rows
from reports.run.folder import Run
from reports.run.frames import records
from reports.run.metrics import seeds_text

if TYPE_CHECKING:
    import pandas as pd

    from workloads.training import Accuracy

#: Letters of an error that the page keeps; the whole is in the ledger.
ERROR_LENGTH = 200


class Reference(TypedDict):
    """An accuracy to compare with [%]."""

    value: float
    low: float
    high: float


class FrontRow(TypedDict):
    """What only members of the front have: both fidelities [%], and the seeds of their test."""

    ptq: Value
    qat: Value
    seeds: str


class Change(TypedDict):
    """A cell of the heat map of sensitivities."""

    group: str
    choice: str
    rise: float
    images: int


class Candidates(TypedDict):
    """One value per row: numbers (rows of one number are its designs), positions in `stages` and `origins`, keys,
    time of scoring [s]; `errors` by row.
    """

    number: list[int]
    design: list[int]
    stages: list[str]
    stage: list[int]
    origins: list[str]
    origin: list[int]
    key: list[str]
    seconds: list[Value]
    errors: dict[str, str]


class PageData(TypedDict):
    """Everything; rows are positions in the candidates. `picked` is -1 before there is a pick."""

    axes: list[Axis]
    candidates: Candidates
    front: list[int]
    ties: list[int]
    picked: int
    final_stage: str
    uniform: list[int]
    float: Reference | None
    float_test: Reference | None
    more: dict[str, FrontRow]
    configs: Configs
    prices: Prices
    changes: list[Change]
    history: list[History]
    colours: dict[str, Colours]
    folder: str


def page_data(run: Run) -> PageData:
    """The data of one run; there must be a candidate."""
    frame = run.candidates.reset_index(drop=True)
    numbers = [int(number) for number in frame["number"]]
    configs = configs_of(run, numbers)
    uniform = (frame["origin"] == "uniform") & (frame["stage"] == "qat") & (frame["status"] == "done")
    return {
        "axes": axes_of(run),
        "candidates": _candidates(frame),
        "front": [int(row) for row in front_rows(frame).index],
        "ties": _rows(frame, frame["tie"]),
        "picked": next(iter(_rows(frame, frame["picked"])), -1),
        "final_stage": "qat" if ((frame["stage"] == "qat") & (frame["status"] == "done")).any() else "ptq",
        "uniform": _rows(frame, uniform),
        "float": _reference(run.float_accuracy),
        "float_test": _float_test(run),
        "more": {str(row): _front_row(item) for row, item in enumerate(records(frame)) if item["front"]},
        "configs": configs,
        "prices": prices_of(run, configs["modules"]),
        "changes": _changes(run),
        "history": histories(run),
        "colours": colours(),
        "folder": shlex.quote(str(run.folder)),
    }


def _candidates(frame: pd.DataFrame) -> Candidates:
    stages, origins = (list(dict.fromkeys(frame[name])) for name in ("stage", "origin"))
    failed = frame[frame["status"] == "failed"]
    return {
        "number": [int(number) for number in frame["number"]],
        "design": [int(design) for design in frame["design"]] if "design" in frame.columns else [],
        "stages": stages,
        "stage": [stages.index(stage) for stage in frame["stage"]],
        "origins": origins,
        "origin": [origins.index(origin) for origin in frame["origin"]],
        "key": [str(key)[:8] for key in frame["key"]],
        "seconds": [_rounded(value, 3) for value in frame["wall_s"]] if "wall_s" in frame.columns else [],
        "errors": {str(row): safe_name(text)[:ERROR_LENGTH] for row, text in failed["error"].items()},
    }


def _rows(frame: pd.DataFrame, chosen: Any) -> list[int]:
    return [int(row) for row in frame.index[chosen]]


def _reference(score: Accuracy | None) -> Reference | None:
    if score is None:
        return None
    return _percents(score.value, score.interval.low, score.interval.high)


def _float_test(run: Run) -> Reference | None:
    test = run.float_test
    return None if test is None else _percents(test.mean, test.interval.low, test.interval.high)


def _percents(value: float, low: float, high: float) -> Reference:
    return {"value": round(value * 100, 2), "low": round(low * 100, 2), "high": round(high * 100, 2)}


def _front_row(row: Any) -> FrontRow:
    ptq, qat = (_rounded(row[f"{stage}_accuracy"] * 100, 2) for stage in ("ptq", "qat"))
    return {"ptq": ptq, "qat": qat, "seeds": seeds_text(row)}


def _changes(run: Run) -> list[Change]:
    return [
        {
            "group": safe_name(change.group), "choice": _choice_text(change.combination),
            "rise": round(change.rise, 3), "images": change.total,
        }
        for change in run.changes
        if math.isfinite(change.rise)
    ]  # fmt: skip


def _choice_text(combination: Sequence[float]) -> str:
    """`4/8` of weight and activation bits, `4/8 × 0.5` where it is pruned."""
    widths = "/".join(f"{bits:g}" for bits in combination[:2])
    density = combination[2] if len(combination) > 2 else 1.0
    return widths if density == 1.0 else f"{widths} × {density:g}"


def _rounded(value: float, digits: int) -> Value:
    return round(float(value), digits) if math.isfinite(value) else None
