"""Bit operations of a sequential loop nest: N_mul * b_w * b_i + N_add * b_acc.

The innermost loop of a convolution on a plain processor multiplies and adds not only the operands but also
addresses; a linear layer walks memory in order. A bias is one addition per output.
"""

from __future__ import annotations

from hwmodel.chip.vector import LoopNest
from hwmodel.nest.task import Task
from hwmodel.price.layer_price import LayerPrice


def price_operations(task: Task, machine: LoopNest, *, last: bool) -> LayerPrice:
    """Cost of a task (whole filters already removed): products cost b_w * b_i, sums the accumulator's width.

    Args:
        task: on a sequential machine.
        machine: its operations per innermost iteration.
        last: it is the last layer of its network (`bias_additions: last` counts one per output, biased or not).

    Returns:
        Energy keyed ("mul", "") and ("add", ""); a cycle per operation; no traffic.
    """
    layer, widths = task.layer, task.widths
    kind = 0 if layer.kind == "conv" else 1
    adds_bias = last if machine.bias_additions == "last" else layer.has_bias and machine.bias_additions == "all"
    multiplications = machine.multiplications[kind] * layer.macs
    additions = machine.additions[kind] * layer.macs + (layer.elements("O") if adds_bias else 0)
    cycles = multiplications + additions
    return LayerPrice(
        energy_pj={
            ("mul", ""): multiplications * widths.w * widths.i * machine.pj_per_bit2,
            ("add", ""): additions * widths.acc * machine.pj_per_bit,
        },
        cycles=cycles,
        compute_cycles=cycles,
        processing_cycles=cycles,
        bound="compute",
        utilization=1.0,
    )
