"""The arguments and options that several commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports.commands import completing

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, FILE.py:function, timm:NAME, hf:CONFIG, or FILE.onnx.",
        show_default=False,
        autocompletion=completing.models,
    ),
]
HardwareOption = Annotated[
    str,
    typer.Option(
        "--hw",
        metavar="NAME|FILE",
        help="Accelerator: a name (hwmodel hw list) or a YAML file.",
        autocompletion=completing.accelerators,
    ),
]
HardwaresOption = Annotated[
    list[str],
    typer.Option(
        "--hw",
        metavar="NAME|FILE",
        help="Accelerator: a name (hwmodel hw list) or a YAML file. Repeatable: several are shown side by side.",
        autocompletion=completing.accelerators,
    ),
]
InputOption = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="1,3,224,224",
        help="Shape of the input, batch first; default: the model's own. For several of an ONNX file: "
        "'ids=1,128;mask=1,128', or a symbol: 'sequence=128'.",
    ),
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="KEY=VALUE", help="Option of the model, as shortcut=pad. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
DepthOption = Annotated[
    int | None,
    typer.Option("--depth", min=1, help="Levels of modules shown; deeper ones are summed.", show_default=False),
]
UnfoldOption = Annotated[bool, typer.Option("--unfold", help="Show every repeated block, not one with their sum.")]
CsvOption = Annotated[
    str | None,
    typer.Option(
        "--csv", metavar="FILE|-", help="Write one row per layer as CSV; - is stdout.", show_default=False
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE.html", help="Write a page with figures and tables.", show_default=False),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Name the ops priced as memory only, or free.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Refuse a model with an op that no rule covers.")]
PhaseOption = Annotated[
    str | None,
    typer.Option(
        "--phase", metavar="prefill|decode", help="Of a language model: a whole prompt, or one token with a cache."
    ),
]
ContextOption = Annotated[
    int | None,
    typer.Option("--context", min=2, help="With --phase: tokens that the last one attends to, itself included."),
]
MeasureOption = Annotated[
    str | None,
    typer.Option(
        "--measure-density",
        metavar="DATA",
        help="Measure the density of activations on 64 validation images.",
        autocompletion=completing.data,
    ),
]
PICK_RULES = "accurate, cheapest, knee, a bound as 'accuracy>=0.95', or the number of a candidate"
PickOption = Annotated[
    str | None,
    typer.Option("--pick", metavar="RULE", help=f"First choose another point: {PICK_RULES}.", show_default=False),
]
StrictBitsOption = Annotated[
    bool, typer.Option("--strict-bits", help="Refuse widths that the accelerator has no multiplier for.")
]
NoFuseOption = Annotated[
    bool,
    typer.Option("--no-fuse", help="Price every operation and layer apart: no fused pools, attentions or stripes."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="cuda, cuda:1, cpu, ...; default: CUDA if there is one.", show_default=False),
]
OptimizeOption = Annotated[
    str,
    typer.Option(
        "--optimize",
        help="What mappings minimize: energy, latency or edp.",
        autocompletion=completing.objectives,
    ),
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False, autocompletion=completing.runs)
]
