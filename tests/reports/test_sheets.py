"""The pages of `cost`, `map` and `compare`: one file, no script, every name escaped, what is drawn is there."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hwmodel import evaluate, find_mapping, load_accelerator
from hwmodel.explain import explain_mapping
from hwmodel.nest.access import count_accesses
from hwmodel.network.names import safe_name
from reports import summary, units
from reports.cli import app
from reports.sheets.costs import cost_sheet
from reports.sheets.mappings import mapping_sheet
from reports.sheets.sheet import Section, Sheet, render
from reports.sheets.terminal import html_of
from reports.terminal.beside import beside, named
from reports.terminal.explanations import Mapped
from reports.terminal.tables import new_table, safe_text
from tests.reports.conftest import NASTY, make_graph


class Page(HTMLParser):
    """Tags, text by section, and what would be loaded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        links = [value for key, value in attrs if key in ("src", "srcset", "href")]
        self.loaded += [value for value in links if not value.startswith("#")]

    def handle_data(self, data: str) -> None:
        self.text += data


def check(html: str) -> Page:
    """A page that loads nothing and runs nothing."""
    page = Page(html)
    assert "script" not in page.tags
    assert "\x1b" not in html
    assert all(value.startswith("data:image/svg+xml;base64,") for value in page.loaded)
    assert "default-src 'none'" in html
    return page


def test_the_page_of_a_cost() -> None:
    chip = load_accelerator("edge_npu")
    graph = make_graph()
    cost = evaluate(graph, chip)
    items = named(["x"], [chip], [cost])
    page = check(render(cost_sheet(graph.name, items, summary(cost, name=graph.name))))
    assert page.ids == ["layers", "roofline", "energy", "traffic", "memory"]
    assert page.tags.count("figure") == 4
    assert safe_name(NASTY) in page.text
    assert "W/ADensityMACsCyclesUtilEnergyBound" in page.text
    assert units.energy(cost.energy_pj) in page.text


def test_what_a_chip_does_not_have_is_said_in_words() -> None:
    chip = load_accelerator("loop_nest")
    graph = make_graph()
    cost = evaluate(graph, chip)
    page = check(render(cost_sheet(graph.name, named(["x"], [chip], [cost]), summary(cost))))
    assert page.tags.count("figure") == 1
    for said in ("counts no traffic: it has no roofline", "No tensor stays on"):
        assert said in page.text


def test_several_accelerators_on_one_page() -> None:
    chips = [load_accelerator(name) for name in ("edge_npu", "eyeriss")]
    graph = make_graph()
    items = named(["a", "b"], chips, [evaluate(graph, chip) for chip in chips])
    page = check(render(cost_sheet(graph.name, items, beside(items, graph, "energy"))))
    assert len(set(page.ids)) == len(page.ids) == 9
    assert "eyeriss: roofline" in page.text


def test_the_page_of_a_mapping() -> None:
    chip = load_accelerator("edge_npu")
    layer = make_graph().layers[1]
    mapping, cost = find_mapping(layer, chip)
    mapped = Mapped(accelerator=chip, mapping=mapping, cost=cost, told=explain_mapping(cost.layer, chip, mapping))
    page = check(render(mapping_sheet(layer.name, [mapped])))
    assert page.ids == ["nest", "tiles", "cycles", "accesses", "traffic"]
    assert mapping.loop_nest() in page.text
    one = count_accesses(cost.layer, chip, mapping)["sram", "W"]
    assert f"sramW{one.reads / 1000:.1f}k" in page.text
    both = check(render(mapping_sheet(layer.name, [mapped, mapped])))
    assert both.ids[0] == "compared"


def test_commands_write_their_pages(tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result

    page = tmp_path / "page.html"
    result = run("cost", "lenet5", "--hw", "edge_npu", "--html", str(page), "--json")
    assert json.loads(result.stdout)["accelerator"] == "edge_npu"
    assert "the same as a page" in result.stderr
    assert "conv1" in check(page.read_text(encoding="utf-8")).text
    run("map", "lenet5:conv2", "--hw", "edge_npu", "--compare", "eyeriss", "--html", str(page))
    assert check(page.read_text(encoding="utf-8")).ids[0] == "compared"
    run("map", "lenet5:conv2", "--hw", "edge_npu", "--html", str(tmp_path / "page.pdf"), code=2)
    below_a_file = ["map", "K=4", "--hw", "edge_npu", "--html", str(page / "p.html")]
    assert "cannot write" in run(*below_a_file, code=2).stderr


@pytest.mark.parametrize("field", ["title", "lead", "alerts", "text", "block", "notes", "source"])
def test_every_text_is_escaped(field: str) -> None:
    section = {"id": "one", "title": "One"}
    sheet: dict[str, Any] = {"title": "t", "lead": "l", "source": "s"}
    if field in sheet or field == "alerts":
        sheet[field] = [NASTY] if field == "alerts" else NASTY
    else:
        section[field] = NASTY if field == "block" else [NASTY]  # type: ignore[assignment]
    page = check(render(Sheet(sections=[Section(**section)], **sheet)))
    assert safe_name(NASTY) in page.text


def test_a_table_of_the_terminal_keeps_cells_and_sides() -> None:
    table = new_table("<Name", "Size")
    table.add_row(safe_text("[/red]a"), "3 kB")
    found = html_of(table)
    assert [(column.header, column.align) for column in found.columns] == [("Name", "left"), ("Size", "right")]
    assert list(found.rows[0].cells) == ["[/red]a", "3 kB"]
