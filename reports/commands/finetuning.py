"""`hwmodel finetune`: a configuration goes back to training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import DeviceOption, JsonOption, PickOption

_PANEL: dict[str, Any] = {
    "rich_help_panel": "Training; what is not given stays as the search trained",
    "show_default": False,
}


def finetune(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            metavar="best.yaml|RUN",
            help="A configuration of `search`, or its run.",
            autocompletion=completing.configurations,
        ),
    ],
    pick: PickOption = None,
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
    memory_format: Annotated[
        str | None, typer.Option("--memory-format", help="Of images: contiguous or channels_last.", **_PANEL)
    ] = None,
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
    jobs.finetune(
        config=config,
        pick=pick,
        checkpoint=checkpoint,
        output=output,
        epochs=epochs,
        milestones=milestones,
        settings={
            "lr": lr, "batch_size": batch_size, "optimizer": optimizer, "schedule": schedule,
            "warmup_epochs": warmup, "label_smoothing": smoothing, "crop": crop, "flip": flip, "cutout": cutout,
            "ema_decay": ema, "clip_norm": clip, "amp": amp, "memory_format": memory_format,
            "compile": compile,
        },
        other=other,
        seed=seed,
        checkpoint_every=checkpoint_every,
        resume=resume,
        device=device,
        json=json,
    )  # fmt: skip
