"""The summary of a network at every width, in text, HTML and as a frame."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pytest
from rich.cells import cell_len

from hwmodel import evaluate, load_accelerator
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph, Uncounted
from hwmodel.network.layer import Dims, Layer
from hwmodel.network.names import safe_name
from reports import summary, units
from reports.terminal.console import make_console
from tests.reports.conftest import NASTY, make_graph


def blocks(num: int = 12) -> LayerGraph:
    layers = [
        Layer(name=f"blocks.{n}.{part}", module=f"blocks.{n}.{part}", kind="linear", dims=Dims(K=64, C=64))
        for n in range(num)
        for part in ("query", "key")
    ]
    return LayerGraph("net", layers, [])


def test_every_layer_has_its_numbers(graph: LayerGraph) -> None:
    header, whole, first, *_, last = summary(graph).tree(140)
    assert header.split() == ["Layer", "Out", "Filter", "W/A", "Density", "Params", "MACs", "Share"]
    macs = 16 * 16 * 9 * 3 * 16 + 16 * 16 * 9 * 16 * 16 + 160
    assert whole.split()[:2] == ["tiny", "32/32"]
    assert units.count(macs) in whole
    share = units.percent(16 * 16 * 9 * 3 * 16 / macs, 1)
    assert first.split() == ["├─conv1", "16×16×16", "3×3", "32/32", "1.00", "432", "111k", *share.split()]
    assert last.startswith("└─head.fc")


def test_the_same_tree_for_a_price(graph: LayerGraph) -> None:
    cost = evaluate(graph, load_accelerator("eyeriss"), {n: Choice(w_bits=4, a_bits=8) for n in graph.modules})
    shown = summary(cost, name="tiny")
    header, whole, first, *_ = shown.tree(140)
    assert header.split() == ["Layer", "Out", "W/A", "Density", "MACs", "Cycles", "Util", "Energy", "Bound"]
    assert whole.split()[:2] == ["tiny", "4/8"]
    assert units.energy(cost.energy_pj) in whole
    assert first.rstrip().endswith(cost.layers[0].bound)
    assert "✓ all MACs counted" in str(shown)


@pytest.mark.parametrize("width", [30, 40, 80, 100, 140])
@pytest.mark.parametrize("priced", [False, True])
def test_no_row_is_wider_than_the_screen_and_no_name_is_lost(graph: LayerGraph, width: int, priced: bool) -> None:
    wide = LayerGraph("ネット" * 9, [*graph.layers, Layer(name="層.ループ" * 5, dims=Dims(K=2))], [])
    shown = summary(evaluate(wide, load_accelerator("eyeriss")) if priced else wide)
    rows = shown.tree(width)
    assert all(cell_len(row) <= width for row in rows)
    assert "\x1b" not in "".join(rows)
    first_column = "".join(row.split("  ")[0] for row in shown.tree(400))
    assert safe_name(NASTY.rpartition(".")[2]) in first_column


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_columns_of_the_issue_fit_an_ordinary_terminal(graph: LayerGraph, width: int) -> None:
    tree = summary(blocks()).tree(width)
    assert {"Out", "W/A", "Density", "Params", "MACs", "Share"} <= set(tree[0].split())
    cost = summary(evaluate(blocks(), load_accelerator("eyeriss"))).tree(width)
    assert {"Out", "W/A", "Density", "MACs", "Cycles", "Energy", "Bound"} <= set(cost[0].split())


def test_folded_blocks_say_so() -> None:
    text = str(summary(blocks()))
    assert "0–11 ×12" in text
    assert "×N: N equal blocks on one line, with their sums" in text
    unfolded = str(summary(blocks(), fold=False))
    assert "×" not in unfolded
    assert unfolded.count("query") == 12


def test_depth_counts_the_layers_that_it_hides() -> None:
    rows = summary(blocks(), 1).tree(100)
    assert len(rows) == 3
    assert rows[-1].startswith("└─blocks  24 layers")


def test_a_frame_of_the_lines() -> None:
    frame = summary(blocks()).to_dataframe()
    assert list(frame["name"]) == ["net", "blocks", "blocks.0–11", "blocks.0–11.query", "blocks.0–11.key"]
    assert list(frame["macs"]) == [24 * 64 * 64] * 3 + [12 * 64 * 64] * 2
    assert list(frame["macs_share"]) == [1, 1, 1, 0.5, 0.5]
    assert list(frame["times"]) == [1, 1, 12, 12, 12]
    priced = summary(evaluate(blocks(), load_accelerator("eyeriss"))).to_dataframe()
    assert {"cycles", "energy_pj", "bound"} <= set(priced.columns)


def test_the_frame_of_a_graph_has_one_row_per_layer(graph: LayerGraph) -> None:
    frame = graph.to_dataframe()
    assert list(frame["layer"]) == [layer.name for layer in graph.layers]
    assert frame["params"].sum() == frame["weights"].sum() == 432 + 2304 + 160
    assert frame["macs_share"].sum() == pytest.approx(1)
    assert set(frame["w_bits"]) == {32}


class Cells(HTMLParser):
    """The texts and tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("kind", ["graph", "cost", "summary"])
def test_a_notebook_gets_html_in_which_names_are_text(kind: str) -> None:
    graph = make_graph((Uncounted(op="<b>op", module="m", calls=1),))
    shown = {"graph": graph, "cost": evaluate(graph, load_accelerator("eyeriss")), "summary": summary(graph)}[kind]
    page = Cells()
    page.feed(shown._repr_html_())
    assert page.tags == {"table", "tr", "th", "td", "div"}
    text = " ".join(page.texts)
    assert "<script>alert(1)</script>" in text
    assert "LOWER BOUND" in text
    assert "<b>op" in text
    assert f"{graph.macs:,}" in text
    assert "\x1b" not in text


def test_a_terminal_gets_colour_unless_it_is_refused(graph: LayerGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for refused in (False, True):
        stream = Terminal()
        if refused:
            monkeypatch.setenv("NO_COLOR", "1")
        else:
            monkeypatch.delenv("NO_COLOR", raising=False)
        summary(graph).print(make_console(stream))
        assert ("\x1b[32m" in stream.getvalue()) is not refused
        assert "<script>alert(1)</script>" in stream.getvalue()
