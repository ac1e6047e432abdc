"""Mappings on disk: found again, keyed by content, and never trusted blindly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodel import find_mapping
from hwmodel.mapper import shared as solved
from hwmodel.mapper.cache import cache_folder, load_mapping, store_mapping
from hwmodel.mapper.free import best_mapping
from hwmodel.network.layer import Bits, Layer
from tests.hwmodel.chips import TINY, chip

LAYER = Layer(name="conv", dims={"K": 4, "C": 2, "OX": 4, "FX": 3})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HWMODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(solved, "_mapped", {})
    monkeypatch.setattr(solved, "_mappings", {})
    return tmp_path / "cache"


def test_a_layer_is_mapped_once_per_machine(folder, tmp_path, monkeypatch):
    accelerator = chip(tmp_path)
    mapping, first = find_mapping(LAYER, accelerator)
    monkeypatch.setattr(solved, "_mapped", {})
    monkeypatch.setattr(solved, "_mappings", {})
    monkeypatch.setattr(solved, "best_mapping", lambda *_: pytest.fail("mapped again"))
    again, second = find_mapping(replace(LAYER, name="other"), accelerator)
    assert (again, second.energy_breakdown) == (mapping, first.energy_breakdown)


@pytest.mark.parametrize(
    "change",
    [{"bits": Bits(w=4, i=8)}, {"stride": (2, 2)}, {"dims": {"K": 2, "C": 2, "OX": 4, "FX": 3}}],
)
def test_other_content_is_another_entry(folder, tmp_path, change):
    accelerator = chip(tmp_path)
    store_mapping(LAYER, accelerator, "energy", best_mapping(LAYER, accelerator))
    assert load_mapping(LAYER, accelerator, "energy") is not None
    assert load_mapping(replace(LAYER, **change), accelerator, "energy") is None
    assert load_mapping(LAYER, accelerator, "latency") is None
    (tmp_path / "other").mkdir()
    other = chip(tmp_path / "other", TINY.replace("2 pJ/bit", "3 pJ/bit"))
    assert load_mapping(LAYER, other, "energy") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '[{"name": "regs"}]', "null", "3"])
def test_a_corrupt_entry_is_found_anew(folder, tmp_path, text):
    accelerator = chip(tmp_path)
    expected, _ = find_mapping(LAYER, accelerator)
    (entry,) = folder.rglob("*.json")
    whole = entry.read_text()
    entry.write_text(text)
    solved._mapped.clear()
    solved._mappings.clear()
    assert find_mapping(LAYER, accelerator)[0] == expected
    assert entry.read_text() == whole
    assert list(folder.rglob(".*")) == []


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HWMODEL_CACHE", str(tmp_path / "file"))
    accelerator = chip(tmp_path)
    store_mapping(LAYER, accelerator, "energy", best_mapping(LAYER, accelerator))
    assert load_mapping(LAYER, accelerator, "energy") is None


@pytest.mark.parametrize("value", ["", "0", "off", "OFF"])
def test_it_can_be_switched_off(monkeypatch, value):
    monkeypatch.setenv("HWMODEL_CACHE", value)
    assert cache_folder() is None


def test_the_user_cache_is_the_default(monkeypatch, tmp_path):
    monkeypatch.delenv("HWMODEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hwmodel"
