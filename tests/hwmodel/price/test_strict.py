"""Widths that an accelerator has no arithmetic for: a note with the widths that are priced, or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, CostTable, Layer, evaluate, find_mapping, list_accelerators, load_accelerator
from hwmodel.errors import PrecisionError
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph


def layer(w: int, i: int) -> Layer:
    return Layer(name="conv1", module="conv1", dims={"K": 16, "C": 16, "OX": 4}, bits=Bits(w=w, i=i))


@pytest.mark.parametrize(
    ("chip", "w", "i", "note"),
    [
        ("bitfusion", 3, 8, "'bitfusion' has no 3-bit multiplier: priced as 4. --strict-bits to refuse."),
        ("bitfusion", 3, 3, "'bitfusion' has no 3-bit multiplier: priced as 4. --strict-bits to refuse."),
        ("bitfusion", 3, 5, "'bitfusion' has no 3x5-bit multiplier: priced as 4x8. --strict-bits to refuse."),
        ("bitfusion", 8, 9, "'bitfusion' has no 9-bit multiplier: 8x9 bits take 2 passes of 8x8. --strict-bits to"
         " refuse."),
        ("edge_npu", 4, 8, "edge_npu: multipliers are 8x8 bit: fewer bits save traffic only"),
    ],
)  # fmt: skip
def test_what_is_priced_instead_is_said(chip, w, i, note):
    accelerator = load_accelerator(chip)
    assert note in evaluate(layer(w, i), accelerator).notes
    for price in (
        lambda: evaluate(layer(w, i), accelerator, strict_bits=True),
        lambda: find_mapping(layer(w, i), accelerator, strict_bits=True),
        lambda: CostTable.build(
            LayerGraph("g", [layer(8, 8)], []),
            accelerator,
            {"conv1": [Choice(w_bits=8, a_bits=8), Choice(w_bits=w, a_bits=i)]},
            strict_bits=True,
        ),
    ):
        with pytest.raises(
            PrecisionError,
            match=f"layer 'conv1' at {w}/{i} bit on '{chip}': .* Strict bits refuse that: choose W of",
        ):
            price()


@settings(max_examples=60, deadline=None)
@given(
    chip=st.sampled_from([name for name in list_accelerators() if load_accelerator(name).kind == "spatial"]),
    w=st.integers(1, 20),
    i=st.integers(1, 20),
)
def test_the_widths_on_offer_are_those_that_pass(chip, w, i):
    """Strict bits accept a pair exactly where the precision lists both widths."""
    accelerator = load_accelerator(chip)
    offered = w in accelerator.precision.widths("W") and i in accelerator.precision.widths("I")
    if offered:
        find_mapping(layer(w, i), accelerator, strict_bits=True)
        return
    with pytest.raises(PrecisionError):
        find_mapping(layer(w, i), accelerator, strict_bits=True)


def test_formats_of_a_gpu():
    a100 = load_accelerator("a100")
    assert evaluate(layer(8, 8), a100, strict_bits=True).cycles > 0
    with pytest.raises(PrecisionError, match=r"no 3x8-bit arithmetic: .* the same width of 4, 8, 16, 19, 32 bit"):
        evaluate(layer(3, 8), a100, strict_bits=True)
    assert any(note.endswith("--strict-bits to refuse.") for note in evaluate(layer(3, 8), a100).notes)
