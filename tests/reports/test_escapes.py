"""Names and the text of errors are only text: no markup, no tag and no control sequence takes effect."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reports.cli import app
from reports.live.progress import LiveObserver, LogObserver
from reports.page.html import write_report
from reports.run.folder import read_run
from reports.terminal.console import make_console, say
from reports.terminal.searchtables import run_lines
from reports.terminal.tables import print_lines, safe_text
from search.front.results import Result
from tests.reports.conftest import NASTY
from tests.reports.runs import ERROR, write_run

#: As it must appear where control characters are shown.
SHOWN = NASTY.replace("\x1b", "\\x1b")


def failed(error: str) -> Result:
    return Result(number=0, stage="ptq", key="k", status="failed", error=error, costs={"avg_w_bits": 2.0})


def test_the_message_of_an_error_is_text() -> None:
    result = CliRunner().invoke(app, ["search", f"{NASTY}.yaml"])
    assert result.exit_code == 3
    assert result.stderr == f"Error: {SHOWN}.yaml: cannot be read: No such file or directory\n"


def test_a_usage_error_is_text() -> None:
    result = CliRunner().invoke(app, ["map", "K=2", "--hw", "eyeriss", "--export", NASTY], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert SHOWN in result.stderr
    assert "\x1b" not in result.output


def test_lines_for_the_reader_keep_their_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"first {NASTY}\nsecond\r\x07")
    assert capsys.readouterr().err == f"first {SHOWN}\nsecond\n\\x07\n"


def test_what_a_running_search_says_is_text() -> None:
    lines: list[str] = []
    log = LogObserver(lines.append)
    log.message(NASTY)
    log.candidate_done(failed(f"RuntimeError: {NASTY}\ntwo lines"), 1, 1, ())
    assert lines[0] == SHOWN
    assert f"failed: RuntimeError: {SHOWN}\\ntwo lines @" in lines[1]


def test_what_a_live_search_shows_is_text() -> None:
    console = Console(file=io.StringIO(), width=200)  # markup is on, as in a console that others bring
    live = LiveObserver(NASTY, "cpu", f"hwmodel resume {NASTY}")

    class Shown:
        pass

    shown = Shown()
    shown.console = console  # type: ignore[attr-defined]
    live.live = shown  # type: ignore[assignment]
    live.message(f"! {NASTY}")
    console.print(live)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count(SHOWN) == 3
    assert "\x1b" not in text


def test_the_end_of_a_search_is_text(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "tiny"))
    stream = io.StringIO()
    print_lines(make_console(stream), run_lines(dataclasses.replace(run, warnings=[*run.warnings, NASTY])))
    text = " ".join(stream.getvalue().split())
    assert ERROR.replace("\x1b", "\\x1b") in text
    assert SHOWN in text
    assert "\x1b" not in text


@pytest.mark.usefixtures("plain_figures")
def test_a_page_is_text(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "tiny")).read_text()
    assert "\x1b" not in page
    assert "[/red]" in page
    assert "<img src=" not in page.replace('<img src="data:', "")


def test_rich_text_is_never_markup() -> None:
    assert safe_text(NASTY).plain == SHOWN
