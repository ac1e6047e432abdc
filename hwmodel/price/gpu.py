"""Layers on GPUs and CPUs: a roofline with tile and wave quantization, launch overhead, cache and memory.

A convolution is an implicit matrix product of B * OY * OX pixels, K filters and C * FY * FX products, once per
group. The layer runs in the narrowest format that has the bits of its wider operand; each operand lies in memory
in the narrowest format that has its bits.
"""

from __future__ import annotations

import math
from dataclasses import replace

from hwmodel.chip.accelerator import Widths
from hwmodel.chip.formats import Format
from hwmodel.chip.precision import WidthNote
from hwmodel.chip.roofline import MatrixProducts, Roofline, run_kernel
from hwmodel.nest.task import Task
from hwmodel.network.layer import Layer, Operand
from hwmodel.network.numbers import round_up
from hwmodel.price.layer_price import LayerPrice
from hwmodel.price.lowering import is_lowered

_PJ_PER_J = 1e12


def price_kernel(task: Task, machine: Roofline, *, last: bool, on_chip: tuple[Operand, ...] = ()) -> LayerPrice:
    """Cost of a task (whole filters already removed) as one kernel, or as a part of one.

    In a fused attention the scores stay in the registers of the cores: their product writes nothing, and the mix
    reads nothing of them and runs in the same kernel, without launch and overhead of its own. Either product is as
    fast as its own tiles and traffic allow: that the traffic of one may hide behind the arithmetic of the other is
    left out, and that of the softmax hides behind both.

    Args:
        task: on a processor with one memory.
        machine: its roofline.
        last: the host waits for the result of the last layer.
        on_chip: operands that no memory sees; with W or I among them the task is in the kernel of what makes these.

    Returns:
        Energy keyed ("mac", ""), ("idle", "") and (memory, operand). Cycles with launch, and with the wait where
        the layer is the last. Bound "compute", "cache", "launch" or the name of the memory. Utilization: MACs over
        what the peak of the format could do in these cycles.
    """
    layer, widths, clock_hz = task.layer, task.widths, task.accelerator.clock_hz
    fmt = machine.format_for(max(widths.w, widths.i))
    rate = fmt.sparse_rate if uses_structure(layer, fmt) else 1.0
    lies = widths._replace(i=task.stay.i_bits or widths.i)
    products = products_of(layer, machine, widths, lies, sparse=rate > 1.0)
    joined = "W" in on_chip or "I" in on_chip
    products = replace(
        products,
        w_bits=0.0 if "W" in on_chip else products.w_bits,
        i_bits=0.0 if "I" in on_chip else products.i_bits,
        o_bits=0.0 if "O" in on_chip else products.o_bits,
        joined=joined,
    )
    kernel = run_kernel(products, machine, fmt, rate)
    overhead = (0.0 if joined else machine.launch_s) + (machine.wait_s if last else 0.0)
    seconds = kernel.seconds + overhead
    cycles = math.ceil(seconds * clock_hz)
    memory = task.accelerator.levels[-1].memories[0]
    traffic = {
        (memory.name, "W"): kernel.w_bits,
        (memory.name, "I"): kernel.i_bits,
        (memory.name, "O"): kernel.o_bits,
    }
    energy = {("mac", ""): layer.macs / rate * fmt.mac_pj, ("idle", ""): machine.idle_w * seconds * _PJ_PER_J}
    energy |= {
        key: bits * (memory.write_pj_per_bit if key[1] == "O" else memory.read_pj_per_bit)
        for key, bits in traffic.items()
    }
    bound = memory.name if kernel.bound == "memory" else kernel.bound
    return LayerPrice(
        energy_pj=energy,
        traffic_bits=traffic,
        final_bits=kernel.o_bits,
        cycles=cycles,
        compute_cycles=cycles,
        processing_cycles=cycles,
        bound=bound if kernel.seconds >= overhead else "launch",
        utilization=layer.macs / (fmt.macs_per_s * rate * cycles / clock_hz),
    )


def products_of(
    layer: Layer, machine: Roofline, widths: Widths, lies: Widths | None = None, *, sparse: bool = False
) -> MatrixProducts:
    """The matrix products of a layer, its operands in the formats that memory has; padding is not in memory.

    Args:
        layer, machine: the layer, and what it runs on.
        widths: at which it computes [bit].
        lies: at which its operands lie in memory [bit]; None: the same.
        sparse: of the weights half are zeros, and are not stored.
    """
    lies = lies or widths
    d = layer.dims
    w_bits: float = machine.format_for(widths.w).storage_bits
    if sparse:
        w_bits = (w_bits + 2) / 2  # half of the values, each with a 2-bit index
    lowered = machine.format_for(max(widths.w, widths.i)).lowers and is_lowered(layer, machine.cores)
    is_conv, filter_size = layer.kind == "conv" and not lowered, d.FY * d.FX
    groups, filters, channels = d.G, d.K, d.C
    if is_conv:
        groups, filters, channels = _blocked(layer, machine.channel_block)
    return MatrixProducts(
        m=d.OY * d.OX if lowered else d.B * d.OY * d.OX,
        n=filters,
        k=channels * filter_size,
        batch=d.B if lowered else groups,
        w=layer.elements("W") * groups * filters * channels // (d.G * d.K * d.C),
        i=layer.stored_inputs * groups * channels // (d.G * d.C),
        o=layer.elements("O") * groups * filters // (d.G * d.K),
        w_bits=w_bits,
        i_bits=machine.format_for(lies.i).storage_bits,
        o_bits=machine.format_for(lies.o).storage_bits,
        is_conv=is_conv,
        pointwise=is_conv and filter_size == 1,
        patches=d.OY * d.OX * layer.reduction if lowered and filter_size > 1 else 0,
    )


def _blocked(layer: Layer, block: int) -> tuple[int, int, int]:
    """Groups, filters and channels in whole blocks; the few channels of an image are not blocked."""
    d = layer.dims
    if d.G > 1:
        is_depthwise = d.K == d.C == 1
        return (round_up(d.G, block) if is_depthwise else d.G), d.K, d.C
    return 1, round_up(d.K, block), round_up(d.C, block) if block <= d.C else d.C


def uses_structure(layer: Layer, fmt: Format) -> bool:
    """Whether the format runs this layer's 2:4 zeros faster."""
    return fmt.sparse_rate > 1.0 and layer.density.pattern == "2:4" and layer.density.w <= 0.5


def format_note(widths: Widths, machine: Roofline) -> WidthNote | None:
    """Where the widths do not run as such: what is priced instead."""
    fmt = machine.format_for(max(widths.w, widths.i))
    if (widths.w, widths.i) == (fmt.bits, fmt.bits):
        return None
    w, i = machine.format_for(widths.w), machine.format_for(widths.i)
    return WidthNote(
        f"priced as {fmt.name}, W stored as {w.name}, I as {i.name}", lacks=f"{widths.w}x{widths.i}-bit arithmetic"
    )
