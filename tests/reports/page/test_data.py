"""The data of the page: numbers as they are shown, configurations that come back, and text that ends no script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel import evaluate, load_accelerator
from hwmodel.chip.yamlfile import Schema, parse_yaml
from hwmodel.network.names import safe_name
from reports.page.axes import digits_of
from reports.page.configs import DIGITS, choice_label, yaml_key
from reports.page.data import PageData, page_data
from reports.page.embed import json_text
from reports.run.folder import read_run
from tests.reports import runs
from tests.reports.conftest import NASTY, make_graph
from tests.reports.runs import TOTAL, make_config, make_results, write_run
from workloads.compress import LayerChoice
from workloads.training.accuracy import wilson_interval


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PageData:
    return page_data(read_run(write_run(tmp_path_factory.mktemp("runs") / "tiny")))


def test_axes_hold_what_was_measured(data: PageData) -> None:
    axes = {axis["key"]: axis for axis in data["axes"]}
    assert axes["accuracy"]["values"] == [95.0, 90.0, 60.0, None, 94.0, 85.0]
    assert axes["accuracy"]["low"][4] == round(wilson_interval(188, TOTAL).low * 100, 2)
    assert (axes["energy_pj"]["label"], axes["energy_pj"]["unit"]) == ("Energy per inference [µJ]", "µJ")
    assert axes["energy_pj"]["values"] == [8.0, 4.0, 2.0, 3.0, 4.0, 2.0]  # bits * 1e6 pJ
    assert axes["latency_s"]["values"][0] == 800.0  # 8 * 1e-4 s in µs
    assert [axes[key]["is_objective"] for key in ("accuracy", "avg_w_bits", "energy_pj", "latency_s")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert (data["front"], data["picked"], data["final_stage"]) == ([5, 4], 4, "qat")
    assert list(data["candidates"]["errors"]) == ["3"]


def test_codes_are_the_configurations(data: PageData) -> None:
    configs = data["configs"]
    assert configs["modules"] == ["conv1", safe_name(NASTY), "head.fc"]
    for row, result in enumerate(make_results()):
        code = configs["codes"][configs["of"][row]]
        choices = [configs["choices"][DIGITS.index(digit)] for digit in code]
        assert [choice["w"] for choice in choices] == [8, int(result.costs["energy_pj"] / 1e6), 8]
        assert {choice["a"] for choice in choices} == {8}


def test_prices_are_those_of_each_candidate(data: PageData) -> None:
    prices = data["prices"]
    cost = evaluate(make_graph(), load_accelerator("eyeriss"), make_config(2))  # row 5
    found = [prices["rows"][index] for index in prices["of"]["5"]]
    assert prices["unit"] == "µJ"
    for row, layer in zip(found, cost.layers, strict=True):
        assert row[0] == pytest.approx(layer.energy_pj * 1e-6, rel=1e-3)
        assert row[1] == layer.cycles
        assert sum(map(float, row[5:])) == pytest.approx(float(row[0]), rel=1e-3)


def test_the_front_grows_in_its_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits and energy rise together in a cube, whose worst corner lies a tenth beyond the worst values.

    In tenths of the range: 11 x 11 x 1; with the other end 10 more; with the middle 6 x 6 x 6 less what is counted.
    """
    found = [(2, 100), (4, 200), (3, 150), (2, 200)]
    monkeypatch.setattr(runs, "ROWS", tuple(("qat", bits, correct, "sampler") for bits, correct in found))
    (history,) = page_data(read_run(write_run(tmp_path / "grown", finished=False)))["history"]
    assert (history["stage"], history["scores"]) == ("qat", [1, 2, 3, 4])
    assert history["volume"] == pytest.approx([121 / 1331, 131 / 1331, 306 / 1331, 1.0], abs=1e-5)


@pytest.mark.parametrize(
    ("values", "digits"), [([1234.5], 0), ([12.345], 2), ([0.012345], 5), ([0.0, 5.0], 3), ([1e-9], 6), ([], 3)]
)
def test_digits_tell_the_smallest_value_apart(values: list[float], digits: int) -> None:
    assert digits_of(values) == digits


def test_choices_in_words() -> None:
    assert choice_label(LayerChoice(w_bits=4, a_bits=8)) == "4/8"
    assert choice_label(LayerChoice(w_bits=4, a_bits=8, density=0.5)) == "4/8 × 0.5"
    assert choice_label(LayerChoice()) == "float"
    assert choice_label(LayerChoice(w_bits=2)) == "2/float"


class _Any(Schema, extra="allow"):
    """Any keys."""


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_name_is_a_key_of_yaml(name: str) -> None:
    found = parse_yaml(f"{yaml_key(name)}: 1\n", _Any)
    assert found.model_extra == {name: 1}


@given(st.text())
def test_no_text_ends_the_script(text: str) -> None:
    escaped = json_text({"name": text + "</script><!--\u2028&"})
    assert not set("<>&\u2028\u2029") & set(escaped)
    escaped.encode("utf-8")
    assert json.loads(escaped) == {"name": text + "</script><!--\u2028&"}


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text({"value": float("nan")})
