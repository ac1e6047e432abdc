"""Small accelerators for tests, written as the YAML that a user would write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.loader import load_accelerator

TINY = """\
name: tiny
description: two by two PEs
source: made up for tests
clock: 100 MHz
mac: {w: 8 bit, i: 8 bit, accumulator: 16 bit, energy: 0.5 pJ, source: test}
array:
  - {axis: X, size: 2, dims: [K, OX]}
  - {axis: Y, size: 2, dims: [C, FY, OY]}
memories:
  - name: regs
    per: pe
    holds: [W, O]
    size: 8 B
    read_energy: 0.01 pJ/bit
    source: test
  - name: buffer
    holds: [W, I, O]
    size: 64 B
    read_energy: 0.1 pJ/bit
    write_energy: 0.13 pJ/bit
    read_bandwidth: 32 bit/cycle
    write_bandwidth: 16 bit/cycle
    double_buffered: true
    source: test
  - name: dram
    holds: [W, I, O]
    size: unbounded
    read_energy: 2 pJ/bit
    bandwidth: 16 bit/cycle
    source: test
vector: {lanes: 2, energy: 0.1 pJ, source: test}
"""


def chip(folder: Path, text: str = TINY) -> Accelerator:
    """The accelerator that a YAML text describes."""
    path = folder / "chip.yaml"
    path.write_text(text)
    return load_accelerator(path)


def without_residents(name: str) -> Accelerator:
    """A preset on which no tensor of a network stays on chip."""
    accelerator = load_accelerator(name)
    levels = (
        replace(level, memories=tuple(replace(memory, resident=()) for memory in level.memories))
        for level in accelerator.levels
    )
    return replace(accelerator, levels=tuple(levels))
