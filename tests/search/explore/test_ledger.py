"""What an exploration keeps: what is damaged is refused, with the file and the line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwmodel.errors import ConfigError
from search.explore.ledger import MANIFEST, PRICES, PriceLedger
from search.explore.pricing import Price
from search.guard.seal import seal
from search.jsonl import to_line

MADE_WITH = {"models": [["a", "1"], ["b", "2"]]}
FIRST = {"design": 3, "energy_pj": [1.0, 2.0], "cycles": [5.0, 6.0]}


def opened(folder: Path) -> PriceLedger:
    return PriceLedger(folder, MADE_WITH, 2)


def written(folder: Path) -> Path:
    """A folder of two prices and a failure."""
    folder.mkdir()
    ledger = opened(folder)
    ledger.add(Price(number=3, energy_pj=(1.0, 2.0), cycles=(5.0, 6.0)))
    ledger.add(Price(number=0, energy_pj=(0.0, 2.0), cycles=(5.0, 7.0)))
    ledger.add(Price(number=9, error="no room"))
    return folder


def test_prices_are_read_as_they_were_added(tmp_path: Path) -> None:
    ledger = opened(written(tmp_path / "run"))
    assert ledger.get(3) == Price(number=3, energy_pj=(1.0, 2.0), cycles=(5.0, 6.0))
    assert ledger.get(0) == Price(number=0, energy_pj=(0.0, 2.0), cycles=(5.0, 7.0))
    assert ledger.get(9) == Price(number=9, error="no room")
    assert ledger.get(1) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"design": True}, "design must be an integer >= 0, but is True"),
        ({"design": -1}, "design must be an integer >= 0, but is -1"),
        ({"energy_pj": [1.0]}, "energy_pj must hold a number for each of 2 networks, but holds 1"),
        ({"cycles": [1.0, 2.0, 3.0]}, "cycles must hold a number for each of 2 networks, but holds 3"),
        ({"cycles": 7}, "cycles must hold a number for each of 2 networks, but holds none"),
        ({"energy_pj": [1.0, -2.0]}, "energy_pj must hold finite numbers >= 0, but holds -2.0"),
        ({"energy_pj": [1.0, 10**400]}, "energy_pj must hold finite numbers >= 0"),
        ({"cycles": [True, 2.0]}, "cycles must hold finite numbers >= 0, but holds True"),
        ({"error": "no room"}, "must hold an energy and cycles of every network, or an error"),
        ({"design": 0}, "design 0 must have one price, but line 2 has it"),
    ],
)
def test_a_line_that_is_no_price(tmp_path: Path, change: dict[str, object], text: str) -> None:
    folder = written(tmp_path / "run")
    with (folder / PRICES).open("a") as file:
        file.write(to_line({**FIRST, "design": 4, **change}) + "\n")
    with pytest.raises(ConfigError) as caught:
        opened(folder)
    assert str(caught.value).startswith(f"{folder / PRICES}:4")
    assert text in str(caught.value) and str(caught.value).endswith("Restore the file, or choose a new folder.")


@pytest.mark.parametrize("line", ['{"design": 4, "energy_pj": [NaN, 1.0], "cycles": [1, 1]}', json.dumps(FIRST)])
@pytest.mark.parametrize("at", [0, 3])
def test_a_line_without_its_hash(tmp_path: Path, line: str, at: int) -> None:
    folder = written(tmp_path / "run")
    lines = (folder / PRICES).read_text().splitlines()
    (folder / PRICES).write_text("\n".join([*lines[:at], line, *lines[at:]]) + "\n")
    with pytest.raises(ConfigError, match=rf"prices\.jsonl:{at + 1} (must carry a hash|is not JSON)"):
        opened(folder)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: {**data, "models": []}, "must have the hash"),
        (lambda data: {key: value for key, value in data.items() if key != "hash"}, "must carry a hash"),
        (lambda data: seal({"schema": 1, **MADE_WITH}), "schema must be 2"),
        (lambda data: [data], "schema must be 2"),
    ],
)
def test_a_damaged_manifest(tmp_path: Path, damage: Callable[[dict[str, object]], object], text: str) -> None:
    folder = written(tmp_path / "run")
    path = folder / MANIFEST
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(ConfigError, match=text):
        opened(folder)


def test_networks_in_another_order_are_something_else(tmp_path: Path) -> None:
    """A price holds a number for each network, in their order."""
    folder = written(tmp_path / "run")
    with pytest.raises(ConfigError, match="was made with another models"):
        PriceLedger(folder, {"models": MADE_WITH["models"][::-1]}, 2)
