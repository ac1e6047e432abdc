"""How many finetunings until a search has the front? Every candidate of small searches was finetuned to know.

    python benchmarks/search.py                     all contenders on all tables
    python benchmarks/search.py --store             write results/search.json and docs/img/search.png
    python benchmarks/search.py tables digits       finetune every candidate, and write tables/digits.npz
    python benchmarks/search.py tables cifar10 --data cifar10.npz

The tables hold the accuracy of every candidate, with and without finetuning, by several seeds; of which
networks, says benchmarks/proof/problems.py. A search sees one seed's accuracy of each candidate, drawn anew in
every repetition; the truth is the mean. The figure of merit is the hypervolume of the *returned* front at its
true accuracies, in percent of that of the exact front: above the accuracy of guessing, below the cost of the
most precise candidate. The exact front is the best of a thousand means that are noisy themselves, so a little
less than 100 % is all that can be had.

Contenders run through `Study` itself and differ in the sampler alone: `front` (the default), Optuna's `tpe`,
`nsga2`, `gp` and `random`; and two integer programs over the sensitivities, whose optima are run `evenly` along
their front, or by `predicted` hypervolume. Seconds are of one processor: what the search takes, and what its
scores take where they are not looked up. The interval is that of the mean (95 %, Student's t over the
repetitions).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # this folder has a `search` too: the repository comes first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import torch

from benchmarks.proof.comparing import Row, compare, settings_of
from benchmarks.proof.contenders import CONTENDERS
from benchmarks.proof.drawing import draw
from benchmarks.proof.making import SEEDS, make_table
from benchmarks.proof.problems import SEARCHES
from benchmarks.proof.tables import FOLDER, Table, read_table
from benchmarks.provenance import provenance, store
from reports.figures.files import save_figure

#: Repetitions of the slow contenders at most.
FEW = {"gp": 4}
SHOWN = (12, 20, 40, 80, 200)
#: Tables and costs in the figure.
DRAWN = (("digits", "avg_w_bits"), ("cifar10", "energy"))
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "search.png"


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    found = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    found.add_argument("--repeats", type=int, default=10, help="searches per row (default 10)")
    found.add_argument("--tables", nargs="+", metavar="NAME", help="of benchmarks/tables (default: all)")
    found.add_argument("--contenders", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS])
    found.add_argument("--store", action="store_true", help="write the results and the figure")
    commands = found.add_subparsers(dest="command")
    making = commands.add_parser("tables", help="finetune every candidate")
    making.add_argument("names", nargs="+", choices=SEARCHES)
    making.add_argument("--folder", type=Path, default=Path("runs/tables"), help="of what is done so far")
    making.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"finetunings of every candidate (default {SEEDS})"
    )
    making.add_argument("--data", type=Path, help="file of the data (default: see HWMODEL_DATA)")
    return found


def show(row: Row) -> None:
    """One line."""
    interval = "" if row["low"] is None else f" ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
    place = f"{row['table']:8} {row['objective']:11} {row['contender']:18} {row['runs']:4}"
    print(f"{place}  {100 * row['mean']:6.2f} %{interval:20} {row['seconds']:7.1f} s", flush=True)


def measure(tables: Sequence[Table], names: Sequence[str], repeats: int) -> list[Row]:
    """Every row of every setting; prints those of `SHOWN`."""
    rows = []
    for table in tables:
        for setting in settings_of(table):
            for contender in [c for c in CONTENDERS if c.name in names]:
                found = compare(setting, contender, min(repeats, FEW.get(contender.name, repeats)))
                rows += found
                for row in found:
                    if row["runs"] in SHOWN:
                        show(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --store also write the results and the figure."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(1)
    if options.command == "tables":
        for name in options.names:
            table = make_table(SEARCHES[name], options.folder, options.data, options.seeds)
            print(f"written: {table.write(FOLDER / f'{name}.npz').name}")
        return 0
    if options.repeats < 1:
        parser().error("`--repeats >= 1` must hold")
    names = options.tables or sorted(path.stem for path in FOLDER.glob("*.npz"))
    tables = [read_table(FOLDER / f"{name}.npz") for name in names]
    unfinished = [table.name for table in tables if not table.is_complete]
    if unfinished:
        parser().error(f"`tables` must be complete, but {', '.join(unfinished)} is not. Finish it: tables NAME.")
    rows = measure(tables, options.contenders or [c.name for c in CONTENDERS], options.repeats)
    if options.store:
        data = {
            "benchmark": "search",
            **provenance(["numpy", "optuna", "torch"]),
            "seeds": list(range(options.repeats)),
            "tables": {table.name: dict(table.facts) for table in tables},
            "rows": rows,
        }
        print(f"stored in {store('search', data).name}")
        drawn = [row for row in rows if (row["table"], row["objective"]) in DRAWN]
        print(f"drawn in {save_figure(FIGURE, draw(drawn)).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
