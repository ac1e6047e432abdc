"""`hwmodel ladder`: a checkpoint at a list of widths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import DeviceOption, JsonOption, OptionOption


def ladder(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name, FILE.py:function or timm:NAME.",
            show_default=False,
            autocompletion=completing.models,
        ),
    ],
    weights: Annotated[
        Path, typer.Option("--weights", metavar="FILE", help="A checkpoint: .safetensors, .npz, .pt.")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="NAME",
            help="A name, FILE.npz, a folder, FILE.py:function.",
            autocompletion=completing.data,
        ),
    ],
    bits: Annotated[str, typer.Option("--bits", metavar="8,4,2", help="Widths of the weights.")] = "8,6,5,4,3,2",
    a_bits: Annotated[
        int | None, typer.Option("--a-bits", min=1, max=16, help="Of every layer's input; else float.")
    ] = None,
    quantizer: Annotated[str, typer.Option("--quantizer", help="minmax, affine, symmetric, lsq, ...")] = "lsq",
    granularity: Annotated[
        str, typer.Option("--granularity", help="Of weight grids: tensor or channel.")
    ] = "tensor",
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            "--float",
            metavar="PATTERN",
            help="Layers that stay float, as conv1,fc. Repeatable.",
            show_default=False,
        ),
    ] = None,
    norms: Annotated[
        bool, typer.Option("--norms", help="Re-estimate batch norms on 256 training inputs, as a search does.")
    ] = False,
    split: Annotated[str, typer.Option("--split", help="Scored: validation, or test where nothing is chosen.")] = (
        "validation"
    ),
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Score so many of the split, of each class its share.")
    ] = None,
    option: OptionOption = None,
    data_option: Annotated[
        list[str] | None,
        typer.Option("--data-option", metavar="KEY=VALUE", help="Of the data, as normalize=imagenet. Repeatable."),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv", metavar="FILE|-", help="Write one row per width as CSV; - is stdout.", show_default=False
        ),
    ] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Score a checkpoint with its weights at several widths, without training: where does it break?"""
    jobs.ladder(
        model=model,
        weights=weights,
        data=data,
        bits=bits,
        a_bits=a_bits,
        quantizer=quantizer,
        granularity=granularity,
        keep_float=keep_float,
        norms=norms,
        split=split,
        images=images,
        option=option,
        data_option=data_option,
        csv=csv,
        device=device,
        json=json,
    )
