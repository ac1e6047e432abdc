"""The bar of what takes long: late, on a terminal only, and gone afterwards."""

from __future__ import annotations

import io
import re
import time

import pytest

from hwmodel import evaluate, load_accelerator
from hwmodel.network.graph import LayerGraph
from reports.live.waiting import waiting


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(stream: io.StringIO, text: str) -> bool:
    """The text comes up within a minute."""
    for _ in range(600):
        if text in stream.getvalue():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_what_takes_long_shows_how_far_it_is() -> None:
    stream = Terminal()
    with waiting("tracing net", after_s=0.0, stream=stream) as bar:
        assert drawn(stream, "tracing net")
        bar.step("pricing on [/red]\x1b[31m" + "x" * 99, 3, 7)
        assert drawn(stream, "3/7")
    shown = stream.getvalue()
    assert "pricing on [/red]" in shown
    assert "\x1b[31mx" not in shown
    assert shown.endswith(("\x1b[2K", "\x1b[?25h"))  # the line is cleared


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with waiting("tracing net", after_s=0.0, stream=stream) as bar:
        bar.step("pricing", 1, 2)
        assert drawn(stream, "pricing")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][;m]", stream.getvalue())


@pytest.mark.parametrize(("stream", "after_s"), [(Terminal(), 60.0), (io.StringIO(), 0.0)])
def test_nothing_is_shown_at_once_or_on_a_pipe(stream: io.StringIO, after_s: float) -> None:
    with waiting("tracing net", after_s=after_s, stream=stream) as bar:
        bar.step("pricing", 1, 2)
        time.sleep(0.2)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("chip", ["eyeriss", "edge_npu"])
def test_every_layer_that_gets_its_first_price_is_told(graph: LayerGraph, chip: str) -> None:
    told: list[tuple[int, int]] = []
    evaluate(graph, load_accelerator(chip), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
