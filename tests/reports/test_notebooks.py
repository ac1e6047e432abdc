"""Values show themselves in a notebook, escaped, and draw themselves, each figure on the axes given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hwmodel import evaluate, find_mapping, load_accelerator
from hwmodel.errors import ConfigError
from hwmodel.network.choice import Choice
from hwmodel.network.layer import Dims, Layer
from hwmodel.plots import BACKEND, drawn
from reports.figures.roofline import outer_bytes, outer_bytes_per_s, peak_macs_per_s
from reports.figures.theme import new_axes
from search import Space, Study
from tests.reports.conftest import NASTY, make_graph
from workloads import load_data
from workloads.compress import CompressionConfig

CHIP = load_accelerator("edge_npu")


class Page(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def accuracy(config: CompressionConfig) -> float:
    """More bits, more accuracy."""
    return sum(choice.w_bits or 32 for choice in config.layers.values()) / 40


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    graph = make_graph()
    space = Space.from_graph(graph, w_bits=(2, 4, 8), a_bits=(8,), frozen=None)
    folder = tmp_path_factory.mktemp("runs") / "net"
    found = Study.create_or_resume(
        folder, graph=graph, space=space, evaluate=accuracy, accelerator=CHIP, sensitivity=True,
        objectives=("accuracy", "energy", "latency"),
    )  # fmt: skip
    found.run(trials=8)
    return found


def nasty_layer() -> Layer:
    return Layer(name=NASTY, dims=Dims(K=16, C=16, OY=8, OX=8, FY=3, FX=3))


def values() -> dict[str, tuple[Callable[[], Any], list[str]]]:
    """Name -> a value with a hostile name in it, and what its page says."""
    config = CompressionConfig.from_bits({NASTY: 3, "conv1": 32}, a_bits=8)
    cost = find_mapping(nasty_layer(), CHIP)[1]
    return {
        "accelerator": (lambda: replace(CHIP, name=NASTY), [CHIP.description, "128 PEs", *CHIP.memories()]),
        "mapping": (lambda: cost.mapping, ["for ", *CHIP.memories()]),
        "layer cost": (lambda: cost, [f"bound by {cost.bound}", "147k MACs", "sram"]),
        "configuration": (lambda: config, ["2 modules; others stay float", "lsq", "float"]),
        "data": (lambda: replace(load_data("digits"), name=NASTY), ["1×8×8, 10 classes", "1,077", "int64"]),
    }


@pytest.mark.parametrize("name", list(values()))
def test_a_value_shows_itself(name: str) -> None:
    make, said = values()[name]
    page = Page(make()._repr_html_())
    assert page.tags <= {"table", "tr", "th", "td", "div", "pre"}
    assert "\x1b" not in page.text
    assert [text for text in said if text not in page.text] == []
    if name != "mapping":
        assert "<script>alert(1)</script>" in page.text


def test_a_study_shows_its_front(study: Study) -> None:
    page = Page(study._repr_html_())
    front = study.front()
    assert f"front {len(front)}" in page.text
    assert f"{front[0].accuracy * 100:.2f} %" in page.text
    assert "Energy" in page.text and "Latency" in page.text and CHIP.name in page.text


def test_long_tables_say_what_they_leave_out() -> None:
    layers = {f"l{n}": 4 for n in range(600)}
    assert "100 more rows are not shown." in CompressionConfig.from_bits(layers, a_bits=8)._repr_html_()


@pytest.mark.parametrize("figure", ["front", "history", "sensitivity", "layers"])
def test_a_study_draws_itself(study: Study, figure: str) -> None:
    ax = new_axes(6, 4)
    assert getattr(study, f"plot_{figure}")(ax=ax) is ax
    if figure == "history":
        (line,) = ax.lines
        shares = line.get_ydata()
        assert len(shares) == len(study.results())
        assert (shares[1:] >= shares[:-1]).all() and 0 < shares[-1] <= 100
    if figure == "front":
        assert "Energy" in ax.get_xlabel() and "Accuracy" in ax.get_ylabel()


def test_a_front_of_two_costs(study: Study) -> None:
    ax = study.plot_front("latency", "energy")
    assert "Latency" in ax.get_xlabel() and "Energy" in ax.get_ylabel()
    on_front = ax.collections[1].get_offsets()
    assert len(on_front) == len(study.front())
    with pytest.raises(ConfigError, match="x must be a cost"):
        study.plot_front("accuracy")


def test_a_cost_draws_itself() -> None:
    cost = evaluate(make_graph(), CHIP)
    for figure, more in (
        ("layers", ()),
        ("breakdown", ()),
        ("traffic", ()),
        ("memory", (CHIP,)),
        ("roofline", (CHIP,)),
    ):
        ax = new_axes(6, 4)
        assert getattr(cost, f"plot_{figure}")(*more, ax=ax) is ax
        ax.figure.figure.canvas.draw()
    with pytest.raises(ConfigError, match="eyeriss has no memory in which tensors stay"):
        cost.plot_memory(load_accelerator("eyeriss"))


def test_bars_of_traffic_are_the_sums_of_the_layers() -> None:
    cost = evaluate(make_graph(), CHIP)
    widths = sorted(bar.get_width() for bar in cost.plot_traffic().patches)
    sums: dict[tuple[str, str], float] = {}
    for item in cost.layers:
        for key, bits in item.traffic_bits.items():
            sums[key] = sums.get(key, 0.0) + bits
    scale = 8.0  # bars are in bytes
    assert [width * scale for width in widths if width] == pytest.approx(
        sorted(value for value in sums.values() if value)
    )


@pytest.mark.parametrize("name", ["edge_npu", "eyeriss", "bitfusion", "stripes", "a100"])
@pytest.mark.parametrize("bits", [4, 8])
def test_no_layer_stands_above_the_roofs_of_its_chip(name: str, bits: int) -> None:
    """And the peak is what utilization is over: MACs / (cycles x peak MACs of a cycle)."""
    chip = load_accelerator(name)
    graph = make_graph()
    cost = evaluate(graph, chip, {layer.module: Choice(w_bits=bits, a_bits=bits) for layer in graph.layers})
    peak, slope = peak_macs_per_s(chip, bits, bits), outer_bytes_per_s(chip)
    assert peak is not None
    for item in cost.layers:
        rate = item.macs / item.cycles * cost.clock_hz
        assert item.utilization == pytest.approx(rate / peak)
        assert slope is None or rate <= 1.0001 * slope * item.macs / outer_bytes(item, chip)
    ax = cost.plot_roofline(chip)
    assert max(line.get_ydata().max() for line in ax.lines) == pytest.approx(peak, rel=0.01) or slope is not None


def test_a_chip_without_memories_has_no_roofline() -> None:
    chip = load_accelerator("loop_nest")
    with pytest.raises(ConfigError, match="counts no traffic"):
        evaluate(make_graph(), chip).plot_roofline(chip)


def test_without_matplotlib_a_figure_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = evaluate(make_graph(), CHIP)
    monkeypatch.setitem(sys.modules, BACKEND, None)
    with pytest.raises(ModuleNotFoundError, match="figures need reports, which is not installed"):
        cost.plot_layers()
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match="figures need matplotlib, which is not installed"):
        cost.plot_traffic()


def test_a_figure_that_has_a_fault_of_its_own_says_that() -> None:
    with pytest.raises(AttributeError):
        drawn("no_such_figure")


def test_a_study_without_results_draws_nothing(study: Study, tmp_path: Path) -> None:
    empty = Study.create_or_resume(
        tmp_path / "empty", graph=study.graph, space=study.space, evaluate=accuracy, accelerator=CHIP
    )
    for figure in ("history", "sensitivity", "layers"):
        with pytest.raises(ConfigError, match=r"Run the study first|holds no ledger\.jsonl"):
            getattr(empty, f"plot_{figure}")()
