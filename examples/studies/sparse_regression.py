"""Study 13. Which method finds the sparsest answer of a small linear regression, and along which path?

Three equations, five unknowns (then two equations): gradient descent, iterative pruning to two weights, L1 by
subgradients, proximal gradient, and trimmed L1, which leaves the two largest weights alone.
"""

from __future__ import annotations

import math
from typing import Any

from reports import plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from workloads.training import sparse_regression

X = [[1, -2, -1, -1, 1], [2, -1, 2, 0, -2], [-1, 0, 2, 2, 1]]
Y = [-7, -1, -1]
RATE = 0.02
#: Sum of squares, from zero, 200 steps, every iterate kept.
BOOK: dict[str, Any] = {
    "scale": 1, "step": RATE, "start": 0, "iterations": 200, "tolerance": 0, "iterates": True,
}  # fmt: skip
#: name -> options; a proximal cut of t per step is gamma = t / rate.
METHODS: dict[str, dict[str, Any]] = {
    "gradient descent": {"method": "subgradient"},
    "pruned to two": {"method": "iht", "kept": 2},
    **{f"L1 {g}": {"method": "subgradient", "gamma": g} for g in (0.2, 0.5, 1, 2)},
    **{f"proximal {t}": {"method": "ista", "gamma": t / RATE} for t in (0.004, 0.01, 0.02, 0.04)},
    **{
        f"trimmed L1 {g}": {"method": "ista", "gamma": g, "penalty_name": "trimmed_l1", "largest": 2}
        for g in (1, 2, 5, 10)
    },
}


def solved(name: str, equations: int) -> dict[str, Any]:
    found = sparse_regression(X[:equations], Y[:equations], **METHODS[name], **BOOK)
    return {"x": found.x, "losses": found.losses, "iterates": found.iterates}


def main(study: Experiment) -> None:
    rows, paths = [], []
    for equations in (3, 2):
        for name in METHODS:
            found = study.once(solved, name=name, equations=equations)
            small = sum(abs(value) < 1e-2 for value in found["x"])
            weights = {f"x{index}": round(value, 4) for index, value in enumerate(found["x"])}
            rows.append({
                "method": name, "equations": equations, **weights, "below_0.01": small, "loss": found["losses"][-1],
            })  # fmt: skip
            paths += [
                {"method": name, "equations": equations, "step": step, "log_loss": math.log10(max(loss, 1e-30)),
                 **{f"x{index}": value for index, value in enumerate(x)}}
                for step, (loss, x) in enumerate(zip(found["losses"], found["iterates"], strict=True), start=1)
            ]  # fmt: skip
    for equations in (3, 2):
        study.table(f"{equations} equations", [row for row in rows if row["equations"] == equations])
    study.curves("paths", paths)
    draw(study, [path for path in paths if path["equations"] == 3])
    ends = {(row["method"], row["equations"]): row for row in rows}
    exact, trimmed, proximal = (ends[name, 3] for name in ("pruned to two", "trimmed L1 5", "proximal 0.02"))
    study.finding(
        f"Pruning ({exact['x1']:g}, {exact['x4']:g}) and trimmed L1 ({trimmed['x1']:g}, {trimmed['x4']:g}) end at "
        "the same two weights without a bias; the proximal step of 0.02 finds the two as well, shrunk to "
        f"({proximal['x1']:g}, {proximal['x4']:g}); gradient descent fits as exactly with all five."
    )


def draw(study: Experiment, paths: list[dict[str, Any]]) -> None:
    """The squares of five methods, and the weights of each, over the steps."""
    shown = ("gradient descent", "pruned to two", "L1 1", "proximal 0.02", "trimmed L1 5")
    panels = new_panels(6, 11, 6.4)
    picked = [path for path in paths if path["method"] in shown]
    plot_lines(
        picked, "step", "log_loss", "method", panels[0], legend="inside", labels=("Step", "log10 of the squares")
    )
    for name, ax in zip(shown, panels[1:], strict=True):
        path = [
            {"step": row["step"], "weight": f"x{index}", "value": row[f"x{index}"]}
            for index in range(5) for row in picked if row["method"] == name
        ]  # fmt: skip
        plot_lines(path, "step", "value", "weight", ax, legend="inside", labels=("Step", f"Weights, {name}"))
    study.figure(panels[0])


if __name__ == "__main__":
    run(main)
