"""Replay a file of reference figures through the public API and print how far we are from it.

    python benchmarks/fidelity.py KIND [FILE] [--json]

Kinds: timeloop-counts, timeloop-best, deep, scalesim, bitfusion, eyeriss, haq, gemm, gemmini, tpu, components,
vela. FILE is by default the one of that kind in `tests/reference`. The module `benchmarks/replays/KIND.py` reads
the format and predicts every quantity in it; it knows no case by name, so any file of that format will do.

error = prediction / reference - 1, signed; where the reference is 0 it is the prediction itself (0 only when
both are 0). max, mean and median are over the absolute errors of all cases.

Exit codes: 0 replayed (however large the errors), 2 usage, 3 the file is not of that kind or its replay failed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # works from any folder; this one has a `search` that must not hide the package
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.replays.case import Case
from benchmarks.replays.figures import figures_path
from hwmodel.errors import HwModelError

INVALID = 3


@dataclass(frozen=True)
class Format:
    """What a file of one kind must have, to tell kinds apart.

    Attributes:
        figures: the committed file of this kind.
        rows: the file is a list (else a mapping).
        keys: of every row, or of the mapping.
        nested: keys of every value of a mapping.
    """

    figures: str
    rows: bool
    keys: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


FORMATS = {
    "timeloop-counts": Format("timeloop_counts.json", True, keys=("arch_spec", "problem", "mapping", "counts")),
    "timeloop-best": Format("timeloop_mapper_best.json", False, keys=("arch_specs", "rows")),
    "deep": Format("deep_hierarchies.json", False, keys=("architectures", "rows")),
    "scalesim": Format("scalesim_cycles.json", False, keys=("layers", "rows")),
    "bitfusion": Format("bitfusion_cycles.json", False, nested=("layers", "results")),
    "eyeriss": Format("eyeriss_alexnet_silicon.json", True, keys=("Layer", "Processing Latency (ms)")),
    "haq": Format("haq_mobilenetv2_b16_cycles.json", False, keys=("bits", "cycles")),
    "gemm": Format("a100_gemm_ms.json", False, keys=("columns", "rows")),
    "gemmini": Format("gemmini_rtl_cycles.json", False, keys=("cases",)),
    "vela": Format("ethos_u_vela.json", False, keys=("columns", "networks")),
    "tpu": Format("tpuv1_table3.json", True, keys=("metric",)),
    "components": Format(
        "component_figures.json", True, keys=("name", "quantity", "component", "value", "held_out")
    ),
}


class FidelityError(ValueError):
    """The file cannot be replayed; the message says why."""


def replay_file(kind: str, path: Path) -> list[Case]:
    """Every case of a file.

    Raises:
        FidelityError: the file cannot be read, is not of this kind, has no cases, or the kind has no replay.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FidelityError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise FidelityError(f"{path}: is not JSON: {error}") from None
    problem = mismatch(data, FORMATS[kind])
    if problem:
        alike = [other for other, form in FORMATS.items() if not mismatch(data, form)]
        hint = f" It looks like {' or '.join(alike)}." if alike else ""
        raise FidelityError(f"{path}: is not a {kind} file: {problem}.{hint}")
    module = f"benchmarks.replays.{kind.replace('-', '_')}"
    try:
        replay = import_module(module).replay
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise FidelityError(f"kind {kind!r} has no replay: benchmarks/replays/{kind.replace('-', '_')}.py is absent"
                            ) from None  # fmt: skip
    try:
        cases: list[Case] = replay(data)
    except HwModelError as error:
        raise FidelityError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise FidelityError(f"{path}: is not in the format of {kind}: {what}") from error
    return _checked(cases, path)


def mismatch(data: object, form: Format) -> str:
    """Why data are not of a format; "" where they are."""
    if form.rows:
        if not isinstance(data, list):
            return f"it must be a list of rows, but is a {type(data).__name__}"
        items: list[tuple[str, object]] = [(f"row {n}", item) for n, item in enumerate(data)]
    elif not isinstance(data, Mapping):
        return f"it must be a mapping, but is a {type(data).__name__}"
    else:
        items = [(repr(k), v) for k, v in data.items()] if form.nested else [("it", data)]
    if not items:
        return "it is empty"
    for place, item in items:
        wanted = form.keys or form.nested
        lacks = list(wanted) if not isinstance(item, Mapping) else [key for key in wanted if key not in item]
        if lacks:
            return f"{place} must have {', '.join(wanted)}, but lacks {', '.join(lacks)}"
    return ""


def _checked(cases: list[Case], path: Path) -> list[Case]:
    if not cases:
        raise FidelityError(f"{path}: holds no cases")
    for case in cases:
        if not (_is_finite(case.reference) and _is_finite(case.prediction)):
            values = f"reference={case.reference!r}, prediction={case.prediction!r}"
            raise FidelityError(f"{path}: case {case.name!r}: both values must be finite numbers, but got {values}")
    return cases


def _is_finite(value: object) -> bool:
    """A number that a float can hold; JSON has whole numbers of any size."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def summary(cases: Sequence[Case]) -> dict[str, float]:
    """max, mean and median of the absolute errors."""
    errors = [abs(case.error) for case in cases]
    return {"max": max(errors), "mean": statistics.fmean(errors), "median": statistics.median(errors)}


def as_data(cases: Sequence[Case]) -> dict[str, Any]:
    """What `--json` prints."""
    rows = [{"name": c.name, "reference": c.reference, "prediction": c.prediction, "error": c.error} for c in cases]
    return {"cases": rows, **summary(cases)}


def as_table(cases: Sequence[Case]) -> str:
    """What is printed otherwise: one line per case, the absolute errors last."""
    wide = max(len("|error|, median"), *(len(case.name) for case in cases))
    lines = [f"{'name':{wide}}  {'reference':>14}  {'prediction':>14}  {'error':>10}"]
    lines += [f"{c.name:{wide}}  {c.reference:14.6g}  {c.prediction:14.6g}  {c.error:+10.2%}" for c in cases]
    lines += ["", f"{len(cases)} cases"]
    lines += [f"{f'|error|, {name}':{wide}}  {'':14}  {'':14}  {v:10.2%}" for name, v in summary(cases).items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Replay a file of reference figures and print the errors of our predictions.",
        epilog="Exit codes: 0 replayed, 2 usage, 3 the file is not of that kind or its replay failed.",
    )
    parser.add_argument("kind", choices=FORMATS, metavar="KIND", help=", ".join(FORMATS))
    parser.add_argument(
        "file", type=Path, metavar="FILE", nargs="?", help="a JSON file of that kind (default: in tests/reference)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout and nothing else")
    options = parser.parse_args(arguments)
    try:
        cases = replay_file(options.kind, options.file or figures_path(FORMATS[options.kind].figures))
    except (FidelityError, FileNotFoundError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return INVALID
    print(json.dumps(as_data(cases), indent=1, allow_nan=False) if options.json else as_table(cases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
