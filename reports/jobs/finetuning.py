"""`hwmodel finetune`: a configuration goes back to training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.figures.curves import plot_curves
from reports.figures.files import save_figure
from reports.jobs.arguments import parse_milestones, parse_options
from reports.jobs.choices import say_code
from reports.jobs.configs import config_path
from reports.jobs.picking import picked_run
from reports.live.progress import observing
from reports.terminal.console import emit_json, make_console, say
from reports.terminal.tables import print_lines
from reports.terminal.trainings import finetune_data, finetune_lines
from search.finetuning import FinetuneResult, finetune_job
from workloads import training


def finetune(
    *,
    config: Path,
    pick: str | None,
    checkpoint: Path | None,
    output: Path | None,
    epochs: int | None,
    milestones: str | None,
    settings: dict[str, Any],
    other: Sequence[str] | None,
    seed: int | None,
    checkpoint_every: int,
    resume: bool,
    device: str | None,
    json: bool,
) -> None:
    """Rebuild the model of a configuration, train it further, draw its curves.

    Args:
        settings: by the names of `TrainSettings`; None was not given.
        other: more of them as KEY=VALUE.
    """
    source, config = config, config_path(config)
    named = {**settings, "milestones": parse_milestones(milestones)}
    changes = parse_options(other, "--set") | {name: value for name, value in named.items() if value is not None}
    say_code(config)
    picked_run(source, pick, device)
    hint = "the same command with --resume goes on"
    try:
        with observing(config.stem, device=str(training.select_device(device)), hint=hint) as observer:
            result = finetune_job(
                config,
                checkpoint,
                epochs=epochs,
                output=output,
                seed=seed,
                changes=changes,
                checkpoint_every=checkpoint_every,
                resume=resume,
                device=device,
                progress=observer,
            )
    except KeyboardInterrupt:
        say(f"The last whole epoch is kept: {hint}.")
        raise
    figure = _draw(result)
    if json:
        emit_json({**finetune_data(result), "figure": str(figure) if figure else None})
    else:
        print_lines(make_console(), finetune_lines(result, figure))
    if result.reproduced is False:
        say("The weights do not score as the file records. Was it made on another machine, or with other data?")


def _draw(result: FinetuneResult) -> Path | None:
    """The curves beside their CSV; None where nothing was trained."""
    if not result.training.history:
        return None
    return save_figure(result.curves.with_suffix(".png"), plot_curves(result.training))
