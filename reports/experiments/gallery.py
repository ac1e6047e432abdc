"""The gallery of results: a figure, a sentence and a table each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hwmodel.files import write_atomic
from reports.experiments.listing import Script
from reports.experiments.printing import LONGEST, shown_rows
from reports.experiments.record import Record

_INTRO = """# What was measured

The studies of [examples/studies](../../examples/studies): the questions of the field on real data, each one
command. `hwmodel studies` lists them; `hwmodel studies --gallery docs/results` writes this page from the records
beside it (tables, seeds, seconds, versions). Intervals are Wilson's at 95 %; validation chooses, the test images
are read once. Times are those of a machine of two cores that did other things as well.
"""


def gallery_text(records: Sequence[tuple[Script, Record]]) -> str:
    """The page, in Markdown."""
    return "\n".join([_INTRO, *(_part(script, record) for script, record in records)])


def write_gallery(scripts: Sequence[Script], folder: Path) -> list[str]:
    """Write README.md from the records of a folder.

    Returns:
        The names of the studies that have no record there.

    Raises:
        ConfigError: a record is damaged.
    """
    found = [(script, folder / f"{script.name}.json") for script in scripts]
    records = [(script, Record.read(path)) for script, path in found if path.exists()]
    write_atomic(folder / "README.md", gallery_text(records))
    return [script.name for script, path in found if not path.exists()]


def _part(script: Script, record: Record) -> str:
    lines = [f"## {script.number}. {record.question}", "", f"**{record.finding}**", ""]
    if record.figures:
        lines += [f"![{record.question}]({record.figures[0]})", ""]
    for name, rows in record.tables.items():
        if len(rows) <= LONGEST:
            lines += [f"{name}:", "", *_markdown(shown_rows(rows)), ""]
        else:
            lines += [f"{name}: {len(rows)} rows, in [{record.name}.json]({record.name}.json).", ""]
    lines += [f"- Cut: {cut}" for cut in record.cuts]
    made = f"{record.seconds / 60:.1f} min on {record.device}, seed {record.seed}, {record.date}"
    lines += ["", f"`python examples/studies/{script.path.name}`: {made}; torch {record.versions.get('torch')}."]
    lines += [f"Data: {'; '.join(record.data) or 'embedded'}.", ""]
    return "\n".join(lines)


def _markdown(rows: Sequence[Mapping[str, str]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([row.get(column, "-") for column in columns] for row in rows)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
