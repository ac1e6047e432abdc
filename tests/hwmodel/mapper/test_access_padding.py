"""Zeros around the input are nowhere: what a buffer fetches of a padded row, counted on paper.

A row of 4 stored inputs between two zeros: the windows of 4 outputs of 3 taps lie at the places 0 to 5.
"""

from __future__ import annotations

import pytest

from hwmodel.nest.access import count_accesses
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.network.layer import Layer
from tests.hwmodel.chips import TINY, chip

ALL = ("W", "I", "O")
ROW = Layer(name="row", dims={"OX": 4, "FX": 3}, padding=((0, 0), (1, 1)))


@pytest.mark.parametrize(
    ("inside", "outside", "fetched"),
    [
        ((Loop("OX", 4), Loop("FX", 3)), (), 4),
        # the window of two outputs, places 0 to 3, slides by two: 2 to 5
        ((Loop("OX", 2), Loop("FX", 3)), (Loop("OX", 2),), 4),
        # the places of all outputs under one tap, 0 to 3, slide by one, twice
        ((Loop("OX", 4),), (Loop("FX", 3),), 4),
        # single inputs: those of an output, and of the next one again; of twelve two are zeros
        ((), (Loop("OX", 4), Loop("FX", 3)), 10),
    ],
)
def test_a_buffer_fetches_what_is_stored(inside, outside, fetched, tmp_path):
    mapping = Mapping(levels=(
        LevelMapping(name="regs", keeps=("W", "O")),
        LevelMapping(name="buffer", temporal=inside, keeps=ALL),
        LevelMapping(name="dram", temporal=outside, keeps=ALL),
    ))  # fmt: skip
    counts = count_accesses(ROW, chip(tmp_path, TINY), mapping)
    assert (counts["buffer", "I"].fills, counts["dram", "I"].reads) == (fetched, fetched)


def test_what_outputs_are_padded_to_is_not_fetched(tmp_path):
    """3 outputs read 3 stored inputs; two places take them as 4, and the window of the last reaches two zeros."""
    layer = Layer(name="row", dims={"OX": 3, "FX": 3}, padding=((0, 0), (1, 1)))
    mapping = Mapping(levels=(
        LevelMapping(name="regs", keeps=("W", "O")),
        LevelMapping(name="buffer", temporal=(Loop("FX", 3),), spatial=(Loop("OX", 2, "X"),), keeps=ALL),
        LevelMapping(name="dram", temporal=(Loop("OX", 2),), keeps=ALL),
    ))  # fmt: skip
    counts = count_accesses(layer, chip(tmp_path, TINY), mapping)
    assert (counts["buffer", "I"].fills, counts["dram", "I"].reads) == (3, 3)
