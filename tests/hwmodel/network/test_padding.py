"""Zero padding: what of a layer's input is stored, and what of it the tiles cover, against counting row by row."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Layer, LayerGraph
from hwmodel.errors import LayerError
from hwmodel.nest.view import unfold
from hwmodel.network.padding import Rows

ONE = ((1, 1), (1, 1))


def test_a_padded_3x3_reads_what_is_stored():
    """512 x 7 x 7 = 25,088 elements; with a ring of zeros 512 x 9 x 9 = 41,472."""
    layer = Layer(name="x", dims=dict(K=512, C=512, OY=7, OX=7, FY=3, FX=3), padding=ONE)
    assert layer.stored_inputs == 25_088
    assert layer.elements("I") == 41_472
    assert Layer(name="x", dims=layer.dims).stored_inputs == 41_472


@pytest.mark.parametrize(
    ("padding", "message"),
    [
        (1, "padding must be"),
        ((1, 1), "padding must be"),
        (((1, 1), (1, -1)), "integers >= 0"),
        (((1, 1), (1, True)), "integers >= 0"),
        (((5, 5), (0, 0)), "must lie within the 9 rows and 9 columns"),
    ],
)
def test_padding_that_cannot_be_is_refused(padding, message):
    with pytest.raises(LayerError, match=message):
        Layer(name="x", dims=dict(OY=7, OX=7, FY=3, FX=3), padding=padding)


def test_padding_in_files():
    """A file says it where there is any; one that does not is read as before."""
    plain = Layer(name="a", dims=dict(OY=7, FY=3))
    padded = Layer(name="b", dims=dict(OY=7, FY=3), padding=((1, 0), (0, 0)))
    graph = LayerGraph("x", [plain, padded], [])
    text = graph.to_json()
    nodes = json.loads(text)["nodes"]
    assert "padding" not in nodes[0]
    assert nodes[1]["padding"] == [[1, 0], [0, 0]]
    assert LayerGraph.from_json(text).layers == graph.layers
    bare = LayerGraph("x", [plain, Layer(name="b", dims=padded.dims)], [])
    assert graph.fingerprint == bare.fingerprint  # configurations of older graphs stay valid


def test_unfolded_windows_come_with_their_zeros():
    layer = Layer(name="x", dims=dict(K=8, C=3, OY=2, OX=2, FY=5, FX=5), padding=((2, 2), (2, 2)))
    assert unfold(layer, 4).padding == ((0, 0), (0, 0))


@st.composite
def tiled(draw):
    """An axis with padding, and divisors of its outputs and taps."""
    tile, tiles = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    tap_tile, tap_tiles = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    outputs, taps = tile * tiles, tap_tile * tap_tiles
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    reach = (outputs - 1) * stride + (taps - 1) * dilation + 1
    before = draw(st.integers(0, reach))
    after = draw(st.integers(0, reach - before))
    axis = Rows(outputs=outputs, taps=taps, stride=stride, dilation=dilation, before=before, after=after)
    return axis, tile, tap_tile


@settings(max_examples=500, deadline=None)
@given(tiled())
def test_covered_rows_are_those_that_are_counted(case):
    axis, tile, tap_tile = case
    reach = (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1
    stored = range(axis.before, reach - axis.after)
    count = 0
    for first in range(0, axis.outputs, tile):
        for tap in range(0, axis.taps, tap_tile):
            low = first * axis.stride + tap * axis.dilation
            high = (first + tile - 1) * axis.stride + (tap + tap_tile - 1) * axis.dilation
            count += sum(row in stored for row in range(low, high + 1))
    assert axis.covered(tile, tap_tile) == count


def test_covered_rows_by_hand():
    """7 rows, a zero on each side, 3 taps: whole 7; row by row 2 + 5 x 3 + 2 = 19; tap by tap 6 + 7 + 6 = 19."""
    axis = Rows(outputs=7, taps=3, before=1, after=1)
    assert (axis.covered(7, 3), axis.covered(1, 3), axis.covered(7, 1), axis.covered(1, 1)) == (7, 19, 19, 19)
