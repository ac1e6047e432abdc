"""What an exploration keeps in its folder: what it was made with, and every price, durable before it counts.

`explore.json` holds what prices depend on: networks, chip file and ranges, objective of the mapper, widths. Axes
and budgets only choose among prices, so they may change from call to call. `prices.jsonl` holds a line per design.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.explore.pricing import Price
from search.guard.seal import seal, unseal
from search.jsonl import append_line, cut_torn_line, read_lines

MANIFEST, PRICES = "explore.json", "prices.jsonl"
SCHEMA = 2
_FIX = "Restore the file, or choose a new folder."


class PriceLedger:
    """The prices of an exploration, by number of the design; of a folder, or of this process alone.

    Args:
        folder: None keeps nothing on disk. The caller holds its lock.
        made_with: what prices depend on.
        num_models: networks that every price is of.

    Raises:
        ConfigError: the folder was made with something else, or a file is damaged.
    """

    def __init__(self, folder: Path | None, made_with: Mapping[str, Any], num_models: int) -> None:
        self._path = None if folder is None else folder / PRICES
        self._known: dict[int, Price] = {}
        if folder is None or self._path is None:
            return
        _check_manifest(folder, json.loads(json.dumps(made_with)))
        cut_torn_line(self._path)
        lines: dict[int, int] = {}
        for number, item in enumerate(read_lines(self._path, _FIX, sealed=True), start=1):
            place = f"{self._path}:{number}"
            price = _parsed(item, place, num_models)
            if price.number in lines:
                raise ConfigError(
                    f"{place}: design {price.number} must have one price, but line {lines[price.number]} has it. "
                    f"{_FIX}"
                )
            lines[price.number] = number
            self._known[price.number] = price

    def get(self, number: int) -> Price | None:
        """The price of a design, if it is known."""
        return self._known.get(number)

    def add(self, price: Price) -> None:
        """Make a price durable."""
        if self._path is not None:
            item: dict[str, Any] = {"design": price.number}
            if price.error:
                item["error"] = price.error
            else:
                item |= {"energy_pj": list(price.energy_pj), "cycles": list(price.cycles)}
            append_line(self._path, item)
        self._known[price.number] = price


def _parsed(item: Mapping[str, Any], place: str, num_models: int) -> Price:
    """The price that a line holds.

    Raises:
        ConfigError: it holds none of that many networks; the message begins with `place`.
    """
    number, error = item.get("design"), item.get("error", "")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ConfigError(f"{place}: design must be an integer >= 0, but is {number!r}. {_FIX}")
    if not isinstance(error, str) or ("error" in item) == ("energy_pj" in item or "cycles" in item):
        raise ConfigError(f"{place} must hold an energy and cycles of every network, or an error. {_FIX}")
    if error:
        return Price(number=number, error=error)
    energy, cycles = (_costs(item.get(key), f"{place}: {key}", num_models) for key in ("energy_pj", "cycles"))
    return Price(number=number, energy_pj=energy, cycles=cycles)


def _costs(found: Any, place: str, num_models: int) -> tuple[float, ...]:
    """One cost of every network."""
    if not isinstance(found, list) or len(found) != num_models:
        count = len(found) if isinstance(found, list) else "none"
        raise ConfigError(
            f"{place} must hold a number for each of {num_models} networks, but holds {count}. {_FIX}"
        )
    for value in found:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
            raise ConfigError(f"{place} must hold finite numbers >= 0, but holds {value!r}. {_FIX}")
    return tuple(map(float, found))


def _check_manifest(folder: Path, made_with: Mapping[str, Any]) -> None:
    """Write what the folder is made with, or compare it with what is there."""
    path = folder / MANIFEST
    if not path.exists():
        if (folder / PRICES).exists():
            raise ConfigError(f"{folder}: holds {PRICES}, but no {MANIFEST}. {_FIX}")
        write_atomic(path, json.dumps(seal({"schema": SCHEMA, **made_with}), indent=1) + "\n")
        return
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON: {error}. {_FIX}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ConfigError(f"{path}: schema must be {SCHEMA}. Choose a new folder.")
    before, has_hash = unseal(data, str(path), _FIX)
    if not has_hash:
        raise ConfigError(f"{path}: must carry a hash. {_FIX}")
    for key, now in made_with.items():
        if before.get(key) != now:
            raise ConfigError(
                f"{folder}: was made with another {key} ({_short(before.get(key))}, now {_short(now)}). "
                "Choose a new folder."
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
