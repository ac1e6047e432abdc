"""`hwmodel studies`: the experiments that come with the project, what they need, and what was measured."""

from __future__ import annotations

from pathlib import Path

from hwmodel.errors import ConfigError
from reports.experiments.gallery import write_gallery
from reports.experiments.listing import Script, scripts_in
from reports.experiments.record import Record
from reports.terminal.console import emit_json, make_console, say
from reports.terminal.tables import new_table, safe_text

_PLACE = Path("examples") / "studies"
_RESULTS = Path("docs") / "results"


def studies(*, folder: Path | None, gallery: Path | None, json: bool) -> None:
    """List the studies, or write the gallery of their results."""
    where = _folder(folder)
    scripts = scripts_in(where)
    if gallery is not None:
        for name in write_gallery(scripts, gallery):
            say(f"{name}: no {name}.json in {gallery}: not in the gallery")
        say(f"wrote {gallery / 'README.md'}")
        return
    records = {script: _record(where, script) for script in scripts}
    if json:
        emit_json([_data(script, record) for script, record in records.items()])
        return
    _print(records, where)


def _folder(given: Path | None) -> Path:
    """The folder given, else that of the checkout in which the package lies, else that of the working folder."""
    places = [given] if given else [Path(__file__).resolve().parents[2] / _PLACE, _PLACE]
    for place in places:
        if scripts_in(place):
            return place
    raise ConfigError(
        f"{places[-1]}: holds no study. They come with the repository, in {_PLACE}: run this there, or give "
        "--folder."
    )


def _record(where: Path, script: Script) -> Record | None:
    path = where.resolve().parents[1] / _RESULTS / f"{script.name}.json"
    return Record.read(path) if path.exists() else None


def _data(script: Script, record: Record | None) -> dict[str, object]:
    return {
        "number": script.number, "name": script.name, "question": script.question, "needs": script.needs,
        "file": str(script.path), "seconds": record.seconds if record else None,
        "device": record.device if record else None, "finding": record.finding if record else None,
    }  # fmt: skip


def _print(records: dict[Script, Record | None], where: Path) -> None:
    console = make_console()
    table = new_table("<Study", "<Needs", "Took", width=console.width)
    table.columns[1].no_wrap = False
    for script, record in records.items():
        took = f"{max(1, round(record.seconds / 60))} min" if record else "not measured"
        table.add_row(safe_text(script.name), safe_text(", ".join(script.needs) or "-"), took)
    console.print(table)
    for script in records:
        console.print(safe_text(f"{script.number}. {script.name}: {script.question}"), overflow="fold")
    console.print(safe_text(f"python {where}/NAME.py --data FOLDER; --quick takes seconds, --help says more"))
