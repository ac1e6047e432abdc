"""Processors with caches (GPUs, CPUs) as a roofline with quantized tiles sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwmodel.chip.formats import Format
from hwmodel.network.numbers import round_up


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """What bounds a kernel.

    Attributes:
        cores: multiprocessors of a GPU, cores of a CPU: tiles are dealt to them in waves.
        formats: by rising width; the last has 32 bits.
        tiles: (output pixels, filters) that one core computes at a time; the library takes the fastest.
        granule_bits: a reduction is padded to whole granules of this many bits.
        channel_block: convolutions see channels in whole blocks of this many (oneDNN's nChw16c has 16).
        cache_bits: of the last cache, shared by all cores [bit].
        cache_bits_per_s: of all cores together from that cache [bit/s].
        memory_bits_per_s: sustained, of the outermost memory [bit/s].
        fill_s: until the first operands of a tile are there [s].
        launch_s: of every kernel [s].
        wait_s: once per network: the host waits for the last result [s].
        idle_w: drawn whatever runs [W].
        overlap: traffic to memory runs beside the computation; else before and after it.
    """

    cores: int
    formats: tuple[Format, ...]
    tiles: tuple[tuple[int, int], ...]
    granule_bits: int
    cache_bits: float
    cache_bits_per_s: float
    memory_bits_per_s: float
    fill_s: float
    launch_s: float
    wait_s: float
    idle_w: float
    channel_block: int = 1
    overlap: bool = True

    def format_for(self, bits: int) -> Format:
        """The narrowest format that has at least so many bits."""
        return next((f for f in self.formats if f.bits >= bits), self.formats[-1])


@dataclass(frozen=True, kw_only=True)
class MatrixProducts:
    """A batch of matrix products: `m` output pixels, `n` filters, `k` products per output.

    Attributes:
        m, n, k, batch: sizes.
        w, i, o: distinct elements of the operands, the whole batch together.
        w_bits, i_bits, o_bits: widths in memory [bit]; w_bits may be a mean (compressed weights).
        is_conv: a convolution: an implicit matrix product with a layout of its own.
        pointwise: with a 1x1 filter.
        patches: elements of I copied to unroll a convolution into products, 0 where none are.
        joined: part of a kernel that is counted elsewhere: without the overhead of one.
    """

    m: int
    n: int
    k: int
    batch: int
    w: int
    i: int
    o: int
    w_bits: float
    i_bits: float
    o_bits: float
    is_conv: bool = False
    pointwise: bool = False
    patches: int = 0
    joined: bool = False

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.n * self.k


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Time of one kernel, launch left out.

    Attributes:
        seconds: with the overhead of its kind, launch left out [s].
        bound: `compute`, `cache` or `memory`.
        w_bits, i_bits, o_bits: traffic to and from memory [bit].
    """

    seconds: float
    bound: str
    w_bits: float
    i_bits: float
    o_bits: float


def run_kernel(products: MatrixProducts, machine: Roofline, fmt: Format, rate: float = 1.0) -> Kernel:
    """The fastest way to compute matrix products: every tile of the library, and the direct kernel.

    Args:
        products: sizes and widths.
        machine: the processor.
        fmt: the format it computes in.
        rate: speed-up of the multiplication (2:4 sparse weights).
    """
    kernels = [_tiled(products, machine, fmt, rate, *tile) for tile in machine.tiles]
    if fmt.direct_macs_per_s is not None and products.is_conv:
        kernels.append(_direct(products, machine, fmt, fmt.direct_macs_per_s))
    return min(kernels, key=lambda kernel: kernel.seconds)


def _tiled(
    products: MatrixProducts, machine: Roofline, fmt: Format, rate: float, tile_m: int, tile_n: int
) -> Kernel:
    """Tiles dealt to the cores in waves; too few tiles for half of the cores are split along k.

    Source: NVIDIA, Matrix Multiplication Background User's Guide (2023), sections 2 and 3: tile and wave
    quantization; Kerr et al., CUTLASS: split-K.
    """
    p, cores = products, machine.cores
    rows, columns = math.ceil(p.m / tile_m), math.ceil(p.n / tile_n)
    tiles = rows * columns * p.batch
    slices = max(1, cores // tiles)
    granule = max(1, int(machine.granule_bits // fmt.storage_bits))
    depth = round_up(math.ceil(p.k / slices), granule)
    waves = math.ceil(tiles * slices / cores)
    efficiency = fmt.conv_efficiency if p.is_conv else fmt.efficiency
    if p.pointwise:
        efficiency = fmt.pointwise_efficiency
    core_rate = fmt.macs_per_s * efficiency * rate / cores
    core_port = machine.cache_bits_per_s / cores
    compute = tile_m * tile_n * depth / core_rate
    load = (tile_m * p.i_bits + tile_n * p.w_bits) * depth / core_port
    partial_bits = 2 * 32 if slices > 1 else 0  # fp32 or int32 sums written and read again
    store = tile_m * tile_n * (p.o_bits + partial_bits) / core_port
    busy = waves * (machine.fill_s + max(compute, load) + store)
    overhead = fmt.conv_overhead_s if p.is_conv else 0.0 if p.joined else fmt.overhead_s
    bound = "compute" if compute >= load else "cache"
    return _with_memory(p, machine, fmt, busy, overhead, bound, _rereads(p, machine, tile_m, tile_n))


def _direct(p: MatrixProducts, machine: Roofline, fmt: Format, macs_per_s: float) -> Kernel:
    busy = machine.fill_s + p.macs / macs_per_s
    return _with_memory(p, machine, fmt, busy, fmt.direct_overhead_s, "compute", (1, 1))


def _with_memory(
    p: MatrixProducts,
    machine: Roofline,
    fmt: Format,
    busy: float,
    overhead: float,
    bound: str,
    rereads: tuple[int, int],
) -> Kernel:
    """A kernel that keeps its cores busy for so long, with its traffic, its overhead and the change of layout."""
    w_bits, i_bits, o_bits = p.w * p.w_bits * rereads[0], p.i * p.i_bits * rereads[1], p.o * p.o_bits
    rate = fmt.memory_bits_per_s or machine.memory_bits_per_s
    w_rate = rate if p.m == 1 else fmt.packing_bits_per_s or rate
    memory = machine.fill_s + (i_bits + 2 * p.patches * p.i_bits + o_bits) / rate + w_bits / w_rate
    reorder = 0.0
    if p.is_conv and fmt.reorder_bits_per_s is not None:
        reorder = (p.i * p.i_bits + p.o * p.o_bits) / fmt.reorder_bits_per_s
    return Kernel(
        seconds=overhead + reorder + (max(busy, memory) if machine.overlap else busy + memory),
        bound="memory" if memory + reorder > busy else bound,
        w_bits=w_bits, i_bits=i_bits, o_bits=o_bits,
    )  # fmt: skip


def _rereads(p: MatrixProducts, machine: Roofline, tile_m: int, tile_n: int) -> tuple[int, int]:
    """How often W and I come from memory: a wave of tiles is a near-square block of outputs.

    An operand that fits in half of the last cache is read once; else W is read once per row of blocks,
    I once per column of blocks.
    """
    rows, columns = math.ceil(p.m / tile_m), math.ceil(p.n / tile_n)
    block_rows = max(1, min(rows, round(math.sqrt(machine.cores * tile_n / tile_m))))
    block_columns = max(1, min(columns, machine.cores // block_rows))
    half = machine.cache_bits / 2 * p.batch  # batches follow one another
    w = 1 if p.w * p.w_bits <= half else math.ceil(rows / block_rows)
    i = 1 if p.i * p.i_bits <= half else math.ceil(columns / block_columns)
    return w, i
