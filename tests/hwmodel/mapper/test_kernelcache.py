"""Kernels on disk: kept between processes, and never older than any file that they were made from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hwmodel import Layer, load_accelerator
from hwmodel.mapper import ahead
from hwmodel.mapper.free import find_best
from hwmodel.nest.task import Task

ROOT = Path(__file__).parents[3]
LAYER = Layer(name="conv", dims={"K": 6, "C": 4, "OY": 4, "OX": 4})
#: Two kernels, as the mapper's are: an entry, and a helper in another file, which numba's own stamp leaves out.
HELPER = """
from hwmodel.mapper.compiling import internal

@internal
def half(x):
    return x / 2.0
"""
ENTRY = """
from hwmodel.mapper.compiling import compiled
from hwmodel.mapper.halves import half

@compiled
def twice_half(x):
    return 2.0 * half(x)
"""
RUN = """
from hwmodel.mapper.whole import twice_half
print(twice_half(8.0), sum(twice_half.stats.cache_hits.values()))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package, with two kernels more."""
    shutil.copytree(ROOT / "hwmodel", tmp_path / "hwmodel", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "hwmodel" / "mapper" / "halves.py").write_text(HELPER)
    (tmp_path / "hwmodel" / "mapper" / "whole.py").write_text(ENTRY)
    return tmp_path


def run(tree: Path, code: str = RUN, **environment: str) -> list[str]:
    """What a fresh process prints."""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    return answer.stdout.split()


def test_an_edited_helper_is_compiled_anew(tree):
    assert run(tree) == ["8.0", "0"]
    assert run(tree) == ["8.0", "1"]  # kept
    (tree / "hwmodel" / "mapper" / "halves.py").write_text(HELPER.replace("2.0", "4.0"))
    assert run(tree) == ["4.0", "0"]


def test_kernels_are_kept_where_the_package_cannot_be_written(tree, tmp_path):
    """numba's own rules hold: here the folder that the user names."""
    kept = str(tmp_path / "kept")
    assert run(tree, NUMBA_CACHE_DIR=kept) == ["8.0", "0"]
    assert run(tree, NUMBA_CACHE_DIR=kept) == ["8.0", "1"]
    assert not list((tree / "hwmodel" / "mapper").rglob("*.nb[ci]"))


def test_without_any_folder_it_compiles_and_says_so(tree):
    code = (
        "import warnings\n"
        "import numba.core.caching as caching; caching.CacheImpl._locator_classes = []\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    from hwmodel.mapper.whole import twice_half\n"
        "print(twice_half(8.0), 'compiled anew in every process' in str(said[0].message), len(said))"
    )
    assert run(tree, code) == ["8.0", "True", "1"]


def test_other_functions_keep_their_own_stamp(tree):
    """Nothing of numba is changed for others: a function of the user is stamped with its file alone."""
    (tree / "mine.py").write_text("from numba import njit\n@njit(cache=True)\ndef f(x):\n    return x\n")
    code = (
        "import hwmodel.mapper.whole as ours, mine\n"
        "for kernel in (ours.twice_half, mine.f):\n"
        "    cache = kernel._cache\n"
        "    print(cache._cache_file._source_stamp == cache._impl.locator.get_source_stamp())"
    )
    assert run(tree, code) == ["False", "True"]


#: The tree's own copy of the package, on a preset without dataflow: the free mapper. What takes longest to compile
#: is kept where it always is, all else in a folder that is empty at first.
FIRST = """
import numba
from hwmodel.mapper import bounds, search
from hwmodel.mapper.compiling import compiled
numba.config.CACHE_DIR = ""
search.search = compiled(search.search.py_func)
from hwmodel import Layer, find_mapping, load_accelerator
from hwmodel.mapper import ahead
ahead.cores = lambda: {cores}
dims = dict(K=4, C=4, OY=4, OX=4, FY=3, FX=3)
_, cost = find_mapping(Layer(name="conv", dims=dims), load_accelerator("edge_npu"))
print(cost.energy_pj)
for kernel in (search.search, bounds.join, bounds.price_tiles):
    print(len(kernel.signatures), sum(kernel.stats.cache_hits.values()))
"""


def test_other_processes_compile_for_the_types_of_the_mapper(tmp_path):
    """What they leave is what this process asks for: it compiles no kernel itself, and finds the same."""
    find_best(Task.of(LAYER, load_accelerator("edge_npu")))  # its longest kernel is kept from here on
    where = {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "HWMODEL_CACHE": "off"}
    energy, *apart = run(ROOT, FIRST.format(cores=2), **where)
    assert apart == ["1"] * 6
    kept = [file.name.partition("-")[0] for file in tmp_path.rglob("*.nbi")]
    assert sorted(kept) == sorted(
        f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}" for part in ahead.PARTS[1:] for kernel in part
    )
    assert run(ROOT, FIRST.format(cores=1), **where) == [energy, *["1"] * 6]


def test_a_process_that_leaves_nothing_costs_time_alone(monkeypatch):
    task = Task.of(LAYER, load_accelerator("edge_npu"))
    monkeypatch.setattr(ahead, "_running", {})
    monkeypatch.setattr(ahead, "_asked", set())
    monkeypatch.setattr(ahead, "_begun", set())
    monkeypatch.setattr(ahead, "_is_kept", lambda kernel, types: False)
    monkeypatch.setattr(ahead, "cores", lambda: 2)
    monkeypatch.setattr(ahead, "PATIENCE_S", 0.01)
    expected = find_best(task)
    for executable in ("", str(ROOT / "no such python"), sys.executable):
        monkeypatch.setattr(sys, "executable", executable)
        ahead._asked.clear()
        ahead._begun.clear()
        assert find_best(task) == expected
        assert ahead._running == {}
