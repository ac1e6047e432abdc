"""Bit operations of a sequential loop nest: N_mul * b_w * b_i + N_add * b_acc.

The innermost loop of a convolution on a plain processor multiplies and adds not only the operands but also
addresses; a linear layer walks memory in order. A bias is one addition per output.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwmodel.chip.accelerator import LoopNest, Widths
from hwmodel.network.layer import Layer


@dataclass(frozen=True, kw_only=True)
class OperationCounts:
    """Operations of one layer."""

    multiplications: int
    additions: int


def count_operations(layer: Layer, machine: LoopNest, *, last: bool) -> OperationCounts:
    """Multiplications and additions of a layer.

    Args:
        layer: whole filters already removed.
        machine: operations per innermost iteration.
        last: it is the last layer of its network (`bias_additions: last` adds its biases).
    """
    kind = 0 if layer.kind == "conv" else 1
    adds_bias = layer.has_bias and (machine.bias_additions == "all" or (machine.bias_additions == "last" and last))
    return OperationCounts(
        multiplications=machine.multiplications[kind] * layer.macs,
        additions=machine.additions[kind] * layer.macs + (layer.elements("O") if adds_bias else 0),
    )


def operation_energy(counts: OperationCounts, widths: Widths, machine: LoopNest) -> dict[tuple[str, str], float]:
    """Energy of the operations [pJ]: products cost b_w * b_i, sums the accumulator's width."""
    return {
        ("mul", ""): counts.multiplications * widths.w * widths.i * machine.pj_per_bit2,
        ("add", ""): counts.additions * widths.acc * machine.pj_per_bit,
    }
