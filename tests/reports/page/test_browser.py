"""The page in Chromium: what one does with it, that nothing is loaded, and that names stay names.

One browser serves all tests; each loads its page anew.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.chromium import MISSING, PATIENCE_S, chromium
from hwmodel.network.names import safe_name
from reports import write_report
from reports.cli import app
from reports.run.folder import read_run
from search.front.picking import parse_rule
from tests.reports import conftest, runs
from tests.reports.conftest import NASTY
from tests.reports.runs import make_config, write_run
from workloads.compress import read_config

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("runs") / "tiny")
    write_report(path)
    return path


class Browser:
    """The page of a run, and what people do with it."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self.url = driver, (folder / "report.html").as_uri()

    def open(self, width: int = 1280, height: int = 900, scheme: str = "light") -> Browser:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(self.url)
        self.wait("return document.querySelector('#front-chart .main-svg') !== null")
        return self

    def wait(self, condition: str) -> None:
        WebDriverWait(self.driver, PATIENCE_S).until(lambda driver: driver.execute_script(condition))

    def run(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def column(self, table: str, index: int) -> list[str]:
        code = "return [...document.querySelectorAll(arguments[0])].map((r) => r.cells[arguments[1]].textContent)"
        return list(self.run(code, f"{table} tbody tr", index))

    def point(self, trace: str, index: int = 0) -> tuple[float, float]:
        """Where a point of the front is on the screen [px]."""
        self.run("document.getElementById('front-chart').scrollIntoView({block: 'center'})")
        code = """
        const node = document.getElementById('front-chart'), box = node.getBoundingClientRect();
        const full = node._fullLayout, at = node.data.findIndex((t) => t.name.startsWith(arguments[0]));
        return [box.left + full.xaxis._offset + full.xaxis.d2p(node.data[at].x[arguments[1]]),
                box.top + full.yaxis._offset + full.yaxis.d2p(node.data[at].y[arguments[1]])]"""
        x, y = self.run(code, trace, index)
        return float(x), float(y)

    def mouse(self, kind: str, x: float, y: float) -> None:
        pressed = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pressed})

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)


@pytest.fixture
def browser(driver: Any, folder: Path) -> Browser:
    return Browser(driver, folder).open()


def test_hover_shows_the_candidate(browser: Browser) -> None:
    x, y = browser.point("front over", 1)
    browser.mouse("mouseMoved", x - 3, y)
    browser.mouse("mouseMoved", x, y)
    browser.wait("return !document.getElementById('tooltip').hidden")
    text = browser.text("#tooltip")
    assert "#5 QAT, front" in text and "85.00" in text and "W/A bits: 8/8  2/8  8/8" in text


def test_a_click_moves_everything(browser: Browser) -> None:
    assert "Candidate #4, picked" in browser.text("#chosen-title")
    before = browser.text("#layer-table")
    x, y = browser.point("front over", 1)
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.mouse(kind, x, y)
    browser.wait("return document.getElementById('chosen-title').textContent.includes('#5')")
    assert "2/8" in browser.text("#layer-table") and browser.text("#layer-table") != before
    assert browser.text("#command").endswith(" 5")
    assert "w_bits: 2" in browser.text("#yaml")
    browser.run("document.getElementById('energy-chart').scrollIntoView()")  # what is out of sight is not drawn
    browser.wait("return document.getElementById('energy-chart').ariaLabel.includes('of #5')")


def test_tables_sort_and_filter(browser: Browser) -> None:
    browser.run("document.querySelector('#candidates details').open = true")
    heads = [head.text for head in browser.all("#all-table th")]
    at = heads.index("Validation accuracy [%]")
    sort = browser.all("#all-table th button")[at]
    sort.send_keys(Keys.ENTER)
    rising = browser.column("#all-table", at)
    assert rising == ["60.00", "85.00", "90.00", "94.00", "95.00", "–"]
    assert browser.all("#all-table th")[at].get_attribute("aria-sort") == "ascending"
    sort.click()
    assert browser.column("#all-table", at) == ["95.00", "94.00", "90.00", "85.00", "60.00", "–"]
    browser.find("#all-table input").send_keys("qat 2/8")
    assert browser.column("#all-table", 0) == ["5"]
    assert "1 of 6 rows match" in browser.text("#all-table")


def test_axes_and_limits(browser: Browser) -> None:
    browser.find("#axis-x option[value='latency_s']").click()
    assert "Latency" in browser.run("return document.getElementById('front-chart').layout.xaxis.title.text")
    field = browser.find("#limits input[type=number]")
    field.send_keys("90", Keys.TAB)
    assert (
        browser.text("#limits-said")
        == "3 of 5 candidates within the limits, 1 of 2 on the front; the others are dimmed."
    )
    dimmed = browser.run(
        "return [...document.querySelectorAll('#front-table tr.dimmed')].map((r) => r.cells[0].textContent)"
    )
    assert dimmed == ["5"]
    browser.find("#limits button").click()
    assert browser.text("#limits-said") == ""


def test_what_is_not_drawn_is_counted(browser: Browser) -> None:
    assert browser.text("#front-said") == "Not drawn: 2 points outside this view, 1 failed candidate."
    browser.find("#zoom").click()
    assert browser.text("#front-said") == "Not drawn: 1 failed candidate."


def test_the_keyboard_reaches_everything(browser: Browser) -> None:
    browser.run("document.getElementById('front-chart').focus()")
    browser.press(Keys.ARROW_LEFT)
    assert "#5" in browser.text("#chosen-title")
    browser.run("document.querySelector('#front-table tbody tr[tabindex=\"0\"]').focus()")
    browser.press(Keys.ARROW_DOWN)
    browser.press(Keys.ENTER)
    assert "#4" in browser.text("#chosen-title")
    code = """return [...document.querySelectorAll('button, input, select, summary, a')].filter(
        (node) => node.offsetParent && node.tabIndex < 0).map((node) => node.outerHTML)"""
    assert browser.run(code) == []
    visible = "[...document.querySelectorAll('.chart')].filter((node) => node.offsetParent)"
    assert browser.run(f"return {visible}.filter((node) => !node.ariaLabel).length") == 0


def test_dark_and_the_toggle(driver: Any, folder: Path) -> None:
    page = Browser(driver, folder).open(scheme="dark")
    paper = "return getComputedStyle(document.documentElement).backgroundColor"
    assert page.run(paper) == "rgb(22, 27, 33)"
    assert page.run("return document.getElementById('front-chart').layout.font.color") == "#9AA4AF"
    page.find("#theme").click()
    assert page.run(paper) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_sticks_out(driver: Any, folder: Path, width: int) -> None:
    page = Browser(driver, folder).open(width=width)
    for section in page.all("section"):
        page.run("arguments[0].scrollIntoView()", section)
    assert page.run("return document.documentElement.scrollWidth") <= width
    cut = """return [...document.querySelectorAll('.chart .main-svg, .card .value, p, h1, h3, .limit')]
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.scroll'))
        .map((node) => node.outerHTML.slice(0, 80))"""
    assert page.run(cut) == []


def test_on_paper(browser: Browser, tmp_path: Path) -> None:
    pdf = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    drawn = browser.run(
        "return [...document.querySelectorAll('.chart')].filter((n) => n.offsetParent && !n.data).length"
    )
    assert drawn == 0
    if shutil.which("pdftotext"):
        (tmp_path / "page.pdf").write_bytes(pdf)
        os.system(f"pdftotext -layout {tmp_path}/page.pdf {tmp_path}/page.txt")
        text = (tmp_path / "page.txt").read_text()
        assert "Deploy #4" in text and "Copy command" not in text and "No limits" not in text


def test_no_errors_and_no_network(driver: Any, folder: Path) -> None:
    driver.get("about:blank")
    driver.get_log("browser"), driver.get_log("performance")
    page = Browser(driver, folder).open()
    for section in page.all("section"):
        page.run("arguments[0].scrollIntoView()", section)
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
    ]
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert page.url in asked


def test_names_are_only_names(browser: Browser) -> None:
    cells = "[...document.querySelectorAll('#layer-table td:first-child')]"
    assert safe_name(NASTY) in browser.run(f"return {cells}.map((node) => node.title || node.textContent)")
    assert len(browser.all("script")) == 2
    assert (
        browser.run("return [...document.querySelectorAll('img')].filter((n) => !n.src.startsWith('data:')).length")
        == 0
    )


def test_the_yaml_of_any_candidate_is_read(browser: Browser, folder: Path, tmp_path: Path) -> None:
    for number, bits in ((5, 2), (0, 8)):
        browser.run("document.querySelector('#candidates details').open = true")
        browser.run(f"document.querySelector('#all-table tr[data-row=\"{number}\"]').click()")
        path = tmp_path / f"candidate-{number}.yaml"
        path.write_text(browser.text("#yaml"))
        file = read_config(path)
        assert file.config == make_config(bits)
        assert file.metrics["candidate"] == number
        assert file.fingerprint == read_run(folder).graph.fingerprint


def test_the_command_is_one_that_pick_takes(browser: Browser, folder: Path) -> None:
    command = browser.text("#command").split()
    assert command[:3] == ["hwmodel", "pick", str(folder)]
    assert parse_rule(command[3]) == 4
    refused = CliRunner().invoke(app, ["pick", str(folder), "1"])
    assert "candidate 1 is not on the front" in refused.output or refused.exit_code == 3
    browser.run("document.querySelector('#candidates details').open = true")
    browser.run("document.querySelector('#all-table tr[data-row=\"1\"]').click()")
    assert "pick" not in browser.text("#command") and "Not on the front" in browser.text("#command-said")


@pytest.mark.filterwarnings("ignore:figure. no font here draws")
def test_long_names_are_shortened_in_the_middle(
    driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "block." * 40 + "层🙂.conv"
    for module in (conftest, runs):
        monkeypatch.setattr(module, "NASTY", long)
    write_report(write_run(tmp_path / "long"))
    page = Browser(driver, tmp_path / "long").open(width=500)
    cells = "return [...document.querySelectorAll('#layer-table td[title]')].map((n) => [n.title, n.textContent])"
    ((title, text),) = page.run(cells)
    assert title == long and "…" in text and text.endswith("层🙂.conv") and len(text) <= 37
    assert page.run("return document.documentElement.scrollWidth") <= 500
    (tmp_path / "copied.yaml").write_text(page.text("#yaml"))
    assert read_config(tmp_path / "copied.yaml").config == make_config(4)
