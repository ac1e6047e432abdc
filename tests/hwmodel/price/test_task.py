"""A task is made once per layer, and all that is below it takes it as it is."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import hwmodel.price
from hwmodel import Accelerator, Bits, Choice, Layer, evaluate, list_accelerators, load_accelerator
from hwmodel.cost import layer_cost
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from tests.hwmodel.chips import TINY, chip

LAYER = Layer(name="x", module="x", dims=dict(K=8, C=6, OY=4, OX=4, FY=3, FX=3))


@pytest.mark.parametrize("name", list_accelerators())
def test_widths_are_resolved_once_per_layer(name, monkeypatch):
    accelerator, resolved = load_accelerator(name), []
    resolve = Accelerator.resolve_bits
    monkeypatch.setattr(Accelerator, "resolve_bits", lambda *args: (resolved.append(args), resolve(*args))[1])
    sparse = Choice(w_bits=3, a_bits=5, density=0.5, pattern="filter").annotate(LAYER)
    cost = layer_cost(sparse, accelerator)
    assert len(resolved) == 1
    widths = resolve(accelerator, sparse.bits, sparse.reduction)
    assert cost.layer.bits == Bits(w=3, i=5, o=5, acc=widths.acc)


def test_a_task_does_not_change():
    task = Task.of(LAYER, load_accelerator("bitfusion"))
    with pytest.raises(FrozenInstanceError):
        task.widths = task.widths  # type: ignore[misc]
    assert Task.of(task.layer, task.accelerator) == task
    assert array_view(task).widths == task.widths


def test_sums_of_the_widest_operands_over_the_longest_reduction(tmp_path):
    """32 + 32 + ceil(log2(2^20)) bits, more than any number format: what cannot overflow is still a width."""
    accelerator = chip(tmp_path, TINY.replace("accumulator: 16 bit, ", "").replace("size: 8 B", "size: 32 B"))
    layer = Layer(name="x", kind="linear", dims=dict(C=2**20), bits=Bits(w=32, i=32))
    assert Task.of(layer, accelerator).widths.acc == 64 + math.ceil(math.log2(2**20)) == 84
    assert evaluate(layer, accelerator).macs == 2**20


def test_identities_tell_apart_what_is_mapped_differently():
    accelerator = load_accelerator("edge_npu")
    task = Task.of(LAYER, accelerator)
    same = [
        replace(LAYER, name="other", module="m", parameter="q", has_bias=True),
        LAYER.with_bits(Bits(w=task.widths.w, i=task.widths.i)),  # the native ones, said
    ]
    assert {Task.of(layer, accelerator).identity for layer in same} == {task.identity}
    other = [
        replace(LAYER, dims=replace(LAYER.dims, K=9)),
        replace(LAYER, stride=(1, 2)),
        replace(LAYER, dilation=(2, 1)),
        LAYER.with_bits(Bits(w=4, i=8)),
        LAYER.with_bits(Bits(w=8, i=8, o=4)),
        LAYER.with_bits(Bits(w=8, i=8, acc=20)),
        Choice(w_bits=8, a_bits=8, density=0.5).annotate(LAYER),
    ]
    tasks = [task, *(Task.of(layer, accelerator) for layer in other), Task.of(LAYER, load_accelerator("eyeriss"))]
    assert len({item.identity for item in tasks}) == len(tasks)


def test_prices_load_no_compiler():
    """A given mapping is priced without numba; only the search compiles."""
    modules = [f"hwmodel.price.{path.stem}" for path in Path(hwmodel.price.__file__).parent.glob("[a-z]*.py")]
    code = f"import sys, {', '.join(modules)}; print('numba' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
