"""`hwmodel hw list`, `show`, `check`, `diff` and `new`: accelerators that have a name, and files of your own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from hwmodel import chip_differences, list_accelerators, load_accelerator, load_designs
from hwmodel.chip.draft.answers import chip_answers
from hwmodel.chip.draft.text import chip_text
from hwmodel.chip.sweep.designs import has_ranges
from hwmodel.errors import AcceleratorError
from hwmodel.files import write_atomic
from hwmodel.network.names import OK, WARNING, safe_name
from hwmodel.show.lints import chip_lints
from hwmodel.show.quantities import MISSING
from reports.live.asking import asked
from reports.terminal.chips import (
    area_data,
    area_lines,
    chip_data,
    chip_lines,
    designs_table,
    energy_lines,
    list_table,
    memory_data,
    memory_table,
    origin_data,
    origin_lines,
)
from reports.terminal.console import emit_json, make_console
from reports.terminal.tables import new_table, print_lines, safe_text


def list_chips(*, json: bool) -> None:
    """List the accelerators that have a name."""
    chips = {name: load_accelerator(name) for name in list_accelerators()}
    if json:
        emit_json([{"name": name, **chip_data(chip)} for name, chip in chips.items()])
        return
    console = make_console()
    console.print(list_table(chips, console.width))


def show_chip(*, name: str, json: bool) -> None:
    """Show one accelerator."""
    chip = load_accelerator(name)
    if json:
        parts = {"memories": memory_data(chip), "area": area_data(chip), "components": origin_data(chip)}
        emit_json({"name": chip.name, **chip_data(chip), **parts})
        return
    console = make_console()
    print_lines(console, chip_lines(chip))
    console.print(memory_table(chip, console.width))
    print_lines(console, area_lines(chip))
    print_lines(console, energy_lines(chip))
    print_lines(console, origin_lines(chip))
    print_lines(console, [("", f"{name}: {memory.source}") for name, memory in chip.memories().items()])


def diff_chips(*, first: str, second: str, json: bool) -> None:
    """Show what tells two accelerators apart."""
    found = chip_differences(*(load_accelerator(name) for name in (first, second)))
    if json:
        emit_json({"first": first, "second": second, "differences": [asdict(item) for item in found]})
        return
    console = make_console()
    if not found:
        print_lines(console, [(OK, f"{first} and {second} cost the same: no number differs")])
        return
    table = new_table("<Key", safe_name(first), safe_name(second), "Ratio", width=console.width)
    for item in found:
        ratio = "" if item.ratio is None else f"{item.ratio:.3g}x"
        table.add_row(*(safe_text(text or MISSING) for text in (item.path, item.first, item.second)), ratio)
    console.print(table)


def new_chip(*, name: str, output: Path | None, given: Mapping[str, str | None], force: bool, json: bool) -> None:
    """Write a commented accelerator file from a few answers.

    Args:
        name: of the chip.
        output: the file; None: named like the chip.
        given: answers by a key of `hwmodel.chip.draft.answers.QUESTIONS`; None: ask, or take the default.
        force: overwrite the file.

    Raises:
        AcceleratorError: the name cannot be one or is taken, the file is there or has another suffix, an answer
            breaks its rule, or all of them together make no chip.
    """
    file = output or Path(f"{name}.yaml")
    _check_place(name, file, force)
    answers, taken = asked(name, given, silent=json)
    write_atomic(file, chip_text(chip_answers(name, **answers)))
    chip = load_accelerator(file)
    lints = chip_lints(chip)
    if json:
        said = {"file": str(file), "name": chip.name, "answers": answers, "defaults": list(taken)}
        emit_json({**said, **chip_data(chip), "lints": list(lints)})
        return
    defaults = " ".join(f"--{key} '{answers[key]}'" for key in taken)
    print_lines(
        make_console(),
        [
            (OK, f"{file} is written: its components are estimates of a class, each with its source"),
            *([("", f"not asked, so taken: {defaults}")] if defaults else []),
            *chip_lines(chip),
            *((WARNING, text) for text in lints),
        ],
    )


def _check_place(name: str, file: Path, force: bool) -> None:
    """What must hold before anything is asked."""
    chip_answers(name)
    if name in list_accelerators():
        raise AcceleratorError(f"{name} is the name of a preset (hwmodel hw show {name}). Choose another.")
    if file.suffix not in (".yaml", ".yml"):
        raise AcceleratorError(f"{file}: must end in .yaml or .yml, for --hw to read it.")
    if file.exists() and not force:
        raise AcceleratorError(f"{file} is there already. --force overwrites it, or choose another name with -o.")


def check_chip(*, file: Path, json: bool) -> None:
    """Check an accelerator file."""
    if file.suffix not in (".yaml", ".yml"):
        raise AcceleratorError(
            f"{file}: must be a .yaml file. hwmodel hw show NAME shows the ones that have a name."
        )
    if has_ranges(file):
        _check_designs(file, json=json)
        return
    chip = load_accelerator(file)
    if json:
        emit_json(
            {
                "file": str(file),
                "valid": True,
                "name": chip.name,
                **chip_data(chip),
                "lints": list(chip_lints(chip)),
            }
        )
        return
    lints = [(WARNING, text) for text in chip_lints(chip)]
    print_lines(make_console(), [(OK, f"{file} is valid"), *chip_lines(chip), *lints])


def _check_designs(file: Path, *, json: bool) -> None:
    """Of a file with ranges every design is checked."""
    designs = load_designs(file)
    if json:
        rows = [{"number": d.number, "values": dict(d.values), **chip_data(d.accelerator)} for d in designs]
        emit_json(
            {"file": str(file), "valid": True, "name": designs.name, "notes": list(designs.notes), "designs": rows}
        )
        return
    console = make_console()
    print_lines(console, [(OK, f"{file} is valid: {len(designs)} designs of {designs.name}")])
    console.print(designs_table(designs, console.width))
    print_lines(console, [(WARNING, note) for note in designs.notes])
