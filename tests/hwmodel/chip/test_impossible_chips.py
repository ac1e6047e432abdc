"""Chips that no one can build, or on which no layer runs: refused when they are read, with the fix."""

from __future__ import annotations

import pytest

from hwmodel.errors import AcceleratorError
from tests.hwmodel.chips import TINY, chip

DRAM = TINY[TINY.index("  - name: dram") : TINY.index("vector:")]
LOOP_NEST = (
    "loop_nest: {conv: {multiplications: 1, additions: 1}, linear: {multiplications: 1, additions: 1}, "
    "multiply_energy_per_bit2: 1 pJ, add_energy_per_bit: 1 pJ, source: x}\nvector:"
)

IMPOSSIBLE = {
    "registers of 2 bytes, a 32-bit accumulator": (
        [
            ("accumulator: 16 bit", "accumulator: 32 bit"),
            ("holds: [W, O]\n    size: 8 B", "holds: [O]\n    size: 2 B"),
        ],
        "buffer 'regs' (2 B) cannot hold one 32-bit partial sum. Write `size: 4 B` or more.",
    ),
    "a weight and a partial sum that do not fit together": (
        [("size: 8 B", "size: 2 B")],
        "cannot hold one 8-bit word and one 16-bit partial sum. Write `size: 3 B` or more.",
    ),
    "an accumulator as wide as a product needs, where the file is silent": (
        [("accumulator: 16 bit, ", ""), ("size: 8 B", "size: 2 B")],
        "one 16-bit partial sum",
    ),
    "a double buffer for one word of each": ([("size: 64 B", "size: 7 B")], "Write `size: 8 B` or more."),
    "no outermost memory": (
        [(DRAM, "")],
        "the outermost memory must hold every tensor, but 'buffer' has 0.0625 KiB.",
    ),
    "outputs that go nowhere": (
        [("  - name: dram\n    holds: [W, I, O]", "  - name: dram\n    holds: [W, I]")],
        "must hold W, I and O, but lacks ['O']",
    ),
    "an axis without dims": ([("dims: [K, OX]", "dims: []")], "at least 1 item"),
    "an axis that unrolls a dim twice": ([("dims: [K, OX]", "dims: [K, K]")], "must name each once"),
    "more PEs than atoms": (
        [("axis: X, size: 2", "axis: X, size: 9000000000000")],
        "less than or equal to 2147483648",
    ),
    "more PEs than atoms together": (
        [("axis: X, size: 2", "axis: X, size: 2000000000"), ("axis: Y, size: 2", "axis: Y, size: 2000000000")],
        "`PEs <= 2^31` must hold, but got 4,000,000,000,000,000,000",
    ),
    "a port that moves nothing": ([("    bandwidth: 16", "    bandwidth: 0")], "above 0"),
    "loops that no level runs": (
        [("vector:", "temporal: {regs: [], buffer: [K], dram: [C]}\nvector:")],
        "but none does over OY, OX",
    ),
    "an accumulator narrower than an operand": (
        [("accumulator: 16", "accumulator: 7")],
        "`accumulator >= 8 bit` must hold",
    ),
    "an accumulator wider than any sum": ([("accumulator: 16", "accumulator: 500")], "1 to 117 bit"),
    "compressed operands that it does not hold": (
        [("holds: [W, O]", "holds: [W, O]\n    compressed: [I]")],
        "compressed must be among holds ['W', 'O']",
    ),
    "an energy of products that it cannot form": (
        [("energy: 0.5 pJ", "energies: [{w: 16 bit, i: 8 bit, energy: 1 pJ}], energy: 0.5 pJ")],
        "no product is wider than 8 x 8 bit",
    ),
    "two energies of one product": (
        [
            (
                "energy: 0.5 pJ",
                f"energies: [{', '.join(['{w: 4 bit, i: 8 bit, energy: 1 pJ}'] * 2)}], energy: 0.5 pJ",
            )
        ],
        "4 x 8 bit is described twice",
    ),
    "bricks wider than the multiplier": (
        [("energy: 0.5 pJ", "precision: fusion, brick: 16 bit, energy: 0.5 pJ")],
        "`brick <= 8 bit` must hold",
    ),
    "a brick that nothing is made of": (
        [("energy: 0.5 pJ", "brick: 2 bit, energy: 0.5 pJ")],
        "needs `precision: fusion`",
    ),
    "serial operands of a parallel multiplier": (
        [("energy: 0.5 pJ", "serial: [W], energy: 0.5 pJ")],
        "needs `precision: bit_serial`",
    ),
    "serial sums": ([("energy: 0.5 pJ", "precision: bit_serial, serial: [O], energy: 0.5 pJ")], "'W' or 'I'"),
    "the operations of another machine": ([("vector:", LOOP_NEST)], "kind loop_nest has a `loop_nest` section"),
    "rows without their buffers": ([("vector:", "dataflow: row_stationary\nvector:")], "one level per PE"),
    "no name": ([("name: tiny", "name: ''")], "at least 1 character"),
    "no source": ([("source: made up for tests", "source: ''")], "at least 1 character"),
    "blank source": ([("source: made up for tests", "source: ' '")], "must say something, but got blanks alone"),
    "a level of two lines": (
        [("name: buffer", 'name: buffer\n    level: "on\\nchip"')],
        "must be one line of printable characters",
    ),
    "two lines": (
        [("name: buffer", 'name: "buf\\nfer"')],
        "must be one line of printable characters, but got 'buf",
    ),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_an_impossible_chip_is_refused(tmp_path, what):
    changes, said = IMPOSSIBLE[what]
    text = TINY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(AcceleratorError) as caught:
        chip(tmp_path, text)
    message = str(caught.value)
    assert said in message
    assert message.startswith(f"{tmp_path / 'chip.yaml'}:")


@pytest.mark.parametrize("size", ["3 B", "8 B", "unbounded"])
def test_a_register_that_just_holds_them_is_accepted(tmp_path, size):
    """8 bits of W and 16 of O: 3 bytes."""
    chip(tmp_path, TINY.replace("size: 8 B", f"size: {size}", 1))
    chip(tmp_path, TINY.replace("size: unbounded", "size: 8 GiB", 1))  # a DRAM of a known size
