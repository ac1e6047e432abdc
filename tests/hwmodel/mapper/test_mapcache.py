"""Mappings on disk: found again, keyed by content, and never trusted blindly."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hwmodel import Choice, CostTable, LayerGraph, evaluate, find_mapping
from hwmodel.mapper import shared
from hwmodel.mapper.cache import cache_folder, load_mapping, store_mapping
from hwmodel.mapper.free import best_mapping
from hwmodel.mapper.shared import forget_mappings
from hwmodel.nest.task import Task
from hwmodel.network.layer import Bits, Layer
from tests.hwmodel.chips import TINY, chip

LAYER = Layer(name="conv", dims={"K": 4, "C": 2, "OX": 4, "FX": 3})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HWMODEL_CACHE", str(tmp_path / "cache"))
    forget_mappings()
    yield tmp_path / "cache"
    forget_mappings()


def test_a_layer_is_mapped_once_per_machine(folder, tmp_path, monkeypatch):
    accelerator = chip(tmp_path)
    mapping, first = find_mapping(LAYER, accelerator)
    forget_mappings()
    monkeypatch.setattr(shared, "best_mapping", lambda *_: pytest.fail("mapped again"))
    again, second = find_mapping(replace(LAYER, name="other"), accelerator)
    assert (again, second.energy_breakdown) == (mapping, first.energy_breakdown)


@pytest.mark.parametrize(
    "change",
    [{"bits": Bits(w=4, i=8)}, {"stride": (2, 2)}, {"dims": {"K": 2, "C": 2, "OX": 4, "FX": 3}}],
)
def test_other_content_is_another_entry(folder, tmp_path, change):
    task = Task.of(LAYER, chip(tmp_path))
    store_mapping(task, "energy", best_mapping(task))
    assert load_mapping(task, "energy") is not None
    assert load_mapping(Task.of(replace(LAYER, **change), task.accelerator), "energy") is None
    assert load_mapping(task, "latency") is None
    (tmp_path / "other").mkdir()
    other = chip(tmp_path / "other", TINY.replace("2 pJ/bit", "3 pJ/bit"))
    assert load_mapping(Task.of(LAYER, other), "energy") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '[{"name": "regs"}]', "null", "3"])
def test_a_corrupt_entry_is_found_anew(folder, tmp_path, text):
    accelerator = chip(tmp_path)
    expected, _ = find_mapping(LAYER, accelerator)
    (entry,) = folder.rglob("*.json")
    whole = entry.read_text()
    entry.write_text(text)
    forget_mappings()
    assert find_mapping(LAYER, accelerator)[0] == expected
    assert entry.read_text() == whole
    assert list(folder.rglob(".*")) == []


def test_an_entry_is_written_whole_and_not_waited_for(folder, tmp_path, monkeypatch):
    """Each search takes a millisecond, a wait for the disk ten; what a crash leaves is refused when it is read."""
    renamed = []
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (renamed.append((old, new)), rename(old, new)))
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("waited for the disk"))
    find_mapping(LAYER, chip(tmp_path))
    ((temporary, entry),) = renamed
    assert Path(temporary).parent == Path(entry).parent and not Path(temporary).exists()
    assert [Path(entry)] == list(folder.rglob("*.json"))


#: Queries, keys and values of one attention: three slices of one weight, in three layers of one shape.
SLICES = [
    Layer(name=f"attn.{part}", module="attn", parameter=part, kind="linear", dims={"B": 4, "K": 4, "C": 4})
    for part in ("q", "k", "v")
]


@pytest.mark.parametrize("kept", ["on disk", "in memory"])
def test_layers_that_differ_in_name_alone_are_searched_once(folder, tmp_path, monkeypatch, kept):
    searched = []

    def count(task, optimize):
        searched.append(task)
        return best_mapping(task, optimize)

    monkeypatch.setattr(shared, "best_mapping", count)
    if kept == "in memory":
        monkeypatch.setenv("HWMODEL_CACHE", "off")
    graph, accelerator = LayerGraph("attention", SLICES, []), chip(tmp_path)
    costs = evaluate(graph, accelerator).layers
    assert len(searched) == 1
    assert len({cost.energy_pj for cost in costs}) == 1 and [cost.name for cost in costs] == [
        s.name for s in SLICES
    ]
    renamed = replace(SLICES[0], name="fc", module="fc", parameter="", has_bias=True, kind="conv")
    find_mapping(renamed, accelerator)
    if kept == "on disk":
        forget_mappings()
        find_mapping(SLICES[2], accelerator)
        assert len(list(folder.rglob("*.json"))) == 1
    assert len(searched) == 1
    CostTable.build(graph, accelerator, [Choice(w_bits=b, a_bits=8, density=d) for b in (4, 8) for d in (0.5, 1.0)])
    assert len(searched) == 2  # at 4 bit; 8 are native, and zeros are mapped as values


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HWMODEL_CACHE", str(tmp_path / "file"))
    task = Task.of(LAYER, chip(tmp_path))
    store_mapping(task, "energy", best_mapping(task))
    assert load_mapping(task, "energy") is None


@pytest.mark.parametrize("value", ["", "0", "off", "OFF"])
def test_it_can_be_switched_off(monkeypatch, value):
    monkeypatch.setenv("HWMODEL_CACHE", value)
    assert cache_folder() is None


def test_the_user_cache_is_the_default(monkeypatch, tmp_path):
    monkeypatch.delenv("HWMODEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hwmodel"
