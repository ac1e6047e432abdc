"""The pick of a run, and everything in its folder that follows it.

A pick changes several files, and a process may die between two of them. So what is going to be picked is written
first (`pick.json`), and removed when all files follow: whoever opens a folder with that file finishes the pick or
says how (`unfinished_pick`). The page and its figures belong to `reports`; those of another pick are removed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.front.objective import Objective
from search.front.picking import NoCandidateError, Rule, parse_rule, pick
from search.front.results import Result
from search.guard.seal import inside
from search.materials import Materials
from search.outputs import BEST_WEIGHTS, RunOutputs
from search.propose.posterior import Beliefs, means_of
from workloads import compress
from workloads.compress.config import CompressionConfig

INTENT = "pick.json"
#: What `reports` makes of a run; other files in its folder are not ours.
PAGE_FILES = ("report.html", "figures/pareto_*.png", "figures/layers.png", "figures/breakdown.png")


def pick_or_knee(
    front: Sequence[Result], objectives: Sequence[Objective], rule: Rule, beliefs: Beliefs
) -> tuple[Result, str]:
    """The candidate of a rule, or the knee and a note where the rule picks none: a search has ended, and keeps it.

    Raises:
        ConfigError: the rule is unknown, or the front empty.
    """
    accuracies = means_of(beliefs)
    try:
        return pick(front, objectives, rule, accuracies), ""
    except NoCandidateError as error:
        picked = pick(front, objectives, "knee", accuracies)
        return picked, f"{error} The knee, candidate {picked.number}, is picked: hwmodel pick chooses another."


def unfinished_pick(folder: str | Path) -> tuple[int, int | None] | None:
    """Numbers of the candidate whose pick was interrupted and of its design where there are several, or None.

    Raises:
        ConfigError: the record is damaged.
    """
    path = Path(folder) / INTENT
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        number, design = record["number"], record.get("design")
        if isinstance(number, int) and parse_rule(number) == number and (design is None or type(design) is int):
            return number, design
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ConfigError(f"{path}: is damaged. hwmodel pick {shlex.quote(str(folder))} RULE chooses anew.")


def refuse_unfinished(config_path: Path) -> None:
    """A configuration whose folder is between two picks may lie beside the weights of another.

    Raises:
        ConfigError: it does, with the command that finishes the pick.
    """
    found = unfinished_pick(config_path.parent)
    if found is not None:
        number, design = found
        option = "" if design is None else f" --design {design}"
        raise ConfigError(
            f"{config_path.parent}: picking candidate {number} was interrupted, so its files may disagree. "
            f"hwmodel pick {shlex.quote(str(config_path.parent))} {number}{option} finishes it."
        )


def settle(materials: Materials, outputs: RunOutputs, write_spec: Callable[[], object] = lambda: None) -> None:
    """Make everything in the folder follow the pick: weights, tables, `best.yaml`; the page of another goes.

    Args:
        materials: of the run.
        outputs: of the pick.
        write_spec: writes a specification that has changed with the pick.
    """
    folder = outputs.folder
    design = {} if outputs.sweep is None else {"design": outputs.sweep.picked.design.number}
    write_atomic(folder / INTENT, json.dumps({"number": outputs.picked.number, **design}) + "\n")
    write_spec()
    for pattern in PAGE_FILES:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    _write_best_weights(materials, outputs.picked)
    outputs.write()
    (folder / INTENT).unlink()


def _write_best_weights(materials: Materials, picked: Result) -> None:
    """`checkpoints/best.safetensors`: a copy of the pick's checkpoint, or its calibrated model."""
    target = materials.folder / BEST_WEIGHTS
    if picked.checkpoint:
        write_atomic(target, inside(materials.folder, picked.checkpoint).read_bytes())
        return
    model: Any = materials.scorer.compressed(CompressionConfig.from_dict(picked.config))
    compress.save_weights(target, model, {"key": picked.key})
