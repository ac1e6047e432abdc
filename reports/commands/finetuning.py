"""`hwmodel finetune`: a configuration goes back to training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.commands.options import DeviceOption, JsonOption
from reports.jobs.common import parse_options

if TYPE_CHECKING:
    from search.finetuning import FinetuneResult
    from workloads.training import Accuracy

_PANEL: dict[str, Any] = {
    "rich_help_panel": "Training; what is not given stays as the search trained",
    "show_default": False,
}


def finetune(
    config: Annotated[Path, typer.Option("--config", metavar="best.yaml", help="A configuration of `search`.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE.safetensors", help="Weights to start from; default: its own."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.safetensors", help="Default: finetuned.safetensors."),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=0, help="0 only checks.", **_PANEL)] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.", **_PANEL)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Images per step.", **_PANEL)] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="sgd or adam (AdamW).", **_PANEL)] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="cosine, constant or multistep.", **_PANEL)
    ] = None,
    milestones: Annotated[
        str | None, typer.Option("--milestones", metavar="15,25", help="Epochs of multistep.", **_PANEL)
    ] = None,
    warmup: Annotated[float | None, typer.Option("--warmup", help="Epochs of warm-up.", **_PANEL)] = None,
    smoothing: Annotated[float | None, typer.Option("--label-smoothing", help="0..1.", **_PANEL)] = None,
    crop: Annotated[int | None, typer.Option("--crop", help="Pad by N pixels, crop at random.", **_PANEL)] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror half of the images.", **_PANEL)
    ] = None,
    cutout: Annotated[int | None, typer.Option("--cutout", help="Side of a square set to zero.", **_PANEL)] = None,
    ema: Annotated[float | None, typer.Option("--ema", help="Average the weights, as 0.999.", **_PANEL)] = None,
    clip: Annotated[float | None, typer.Option("--clip", help="Longest gradient.", **_PANEL)] = None,
    amp: Annotated[str | None, typer.Option("--amp", help="Mixed precision: off, bf16 or fp16.", **_PANEL)] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Train through torch.compile.", **_PANEL)
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any other setting, as momentum=0.8. Repeatable.", **_PANEL
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of shuffling and augmentation.", **_PANEL)] = None,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, metavar="N", help="Keep the state each N epochs.")
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the last run of this output was interrupted.")
    ] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild the quantized, pruned model of a configuration and train it further.

    Beside the output lie its curves (.csv, .png) and, for --resume, the state of the run.
    """
    from reports.terminal.console import emit_json, make_console, say
    from reports.terminal.progress import observing
    from reports.terminal.tables import print_lines
    from search.finetuning import finetune_job
    from workloads.training import select_device

    named = {
        "lr": lr, "batch_size": batch_size, "optimizer": optimizer, "schedule": schedule,
        "milestones": _milestones(milestones), "warmup_epochs": warmup, "label_smoothing": smoothing, "crop": crop,
        "flip": flip, "cutout": cutout, "ema_decay": ema, "clip_norm": clip, "amp": amp, "compile": compile,
    }  # fmt: skip
    hint = "the same command with --resume goes on"
    try:
        with observing(config.stem, device=str(select_device(device)), hint=hint) as observer:
            result = finetune_job(
                config,
                checkpoint,
                epochs=epochs,
                output=output,
                seed=seed,
                changes=parse_options(other, "--set") | named_only(named),
                checkpoint_every=checkpoint_every,
                resume=resume,
                device=device,
                observer=observer,
            )
    except KeyboardInterrupt:
        say(f"The last whole epoch is kept: {hint}.")
        raise
    figure = _draw(result)
    if json:
        emit_json(_finetuned(result) | {"figure": str(figure) if figure else None})
    else:
        print_lines(make_console(), _finetune_lines(result, figure))
    if result.reproduced is False:
        say("The weights do not score as the file records. Was it made on another machine, or with other data?")


def named_only(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that were not given."""
    return {name: value for name, value in options.items() if value is not None}


def _milestones(text: str | None) -> list[float] | None:
    """`15,25` as epochs."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"must be epochs with commas between, as 15,25, but got {text!r}", param_hint="--milestones"
        ) from None


def _draw(result: FinetuneResult) -> Path | None:
    """The curves beside their CSV; None where nothing was trained."""
    from reports.figures.curves import plot_curves
    from reports.figures.plots import save_figure

    if not result.training.history:
        return None
    return save_figure(plot_curves(result.training), result.curves.with_suffix(".png"))


def _finetuned(result: FinetuneResult) -> dict[str, Any]:
    def score(value: Accuracy | None) -> dict[str, Any] | None:
        return None if value is None else {"correct": value.correct, "total": value.total}

    return {
        "output": str(result.output),
        "epochs": result.epochs,
        "before": score(result.before),
        "after": score(result.after),
        "test": score(result.test),
        "recorded": score(result.recorded),
        "reproduced": result.reproduced,
        "device": result.device,
        "wall_s": result.wall_s,
        "curves": str(result.curves),
    }


def _finetune_lines(result: FinetuneResult, figure: Path | None) -> list[tuple[str, str]]:
    from hwmodel.network.names import OK, WARNING
    from reports import units

    def text(score: Accuracy) -> str:
        return f"{units.percent(score.value)} ({score.correct}/{score.total})"

    lines = []
    if result.recorded is not None:
        mark, word = (OK, "as recorded") if result.reproduced else (WARNING, f"recorded {text(result.recorded)}")
        lines.append((mark, f"before: {text(result.before)} on the validation split, {word}"))
    else:
        lines.append(("", f"before: {text(result.before)} on the validation split"))
    epochs = f"{result.epochs} epoch{'s' if result.epochs != 1 else ''}"
    scores = f"{text(result.after)} validation, {text(result.test)} test"
    lines.append(("", f"after {epochs} on {result.device}, {units.seconds(result.wall_s)}: {scores}"))
    files = [result.output, result.curves, *([figure] if figure else [])]
    lines.append((OK, f"wrote {', '.join(map(str, files))}"))
    return lines
