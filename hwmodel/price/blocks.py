"""What a layer costs on an array that works block by block (`hwmodel.chip.timing.blocks`), under a given block.

Inputs are read once for every block of outputs, with halo, and again for every block of filters; outputs are
written once. Both lie in **bricks** of so many channels, which move whole, in bursts that are paid for whole;
images (at most `images` channels) lie pixel by pixel. Weights are read once for every block in the plane: from
their own memory, or, **staged**, from that of the tensors, into which they are copied once, slice by slice of so
many filters, under the layer before (`Stay.ahead_cycles`) and under this one, which waits for the first slice.
So

    cycles = max(array and output stage + wait for the first slice, bits / bandwidth of every memory).

What the buffer moves is counted for energy alone: a step of a unit reads its inputs, and reads and writes its sums.
A product of two activations takes its second one from the memory of the first.

Source: Arm, ethos-u-vela 5 (Apache-2.0), MeasureElementAccess and ElementTransferToBytes of its estimator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hwmodel.chip.accelerator import Memory
from hwmodel.chip.timing.blocks import Ends, Tile, clip, is_depthwise, outputs_of, repeats_of
from hwmodel.nest.blocks import block_of, blocks_of, passes_of, stored_plane
from hwmodel.nest.mapping import Mapping, tile_bits
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import Operand
from hwmodel.network.numbers import round_up
from hwmodel.price.lines.line import whole
from hwmodel.price.priced import CycleParts, Priced, mac_energy, moved_fraction
from hwmodel.price.traffic import Traffic


@dataclass(frozen=True)
class _Way:
    """One way of the weights.

    Attributes:
        staged: they are copied into the memory of the tensors.
        array: cycles of array and output stage.
        wait: for the first slice of the weights [cycles].
        bits: (memory, operand) -> (read, written) [bit].
        ports: memory -> cycles of its port, reads and writes.
        cycles: of the layer.
        bound: "compute", or the memory whose port ends last.
    """

    staged: bool
    array: int
    wait: int
    bits: dict[tuple[str, Operand], tuple[float, float]]
    ports: dict[str, tuple[float, float]]
    cycles: int
    bound: str


def price_blocks(task: Task, mapping: Mapping, stored_w_bits: float | None = None) -> Priced:
    """Cost of a task (whole filters already removed) under a mapping.

    Args:
        task: on an array that works block by block.
        mapping: what the buffer holds of the outputs is the block.
        stored_w_bits: all weights as they are stored, where that is known better than from the density [bit].

    Raises:
        MappingError: the mapping does not fit.
    """
    check_mapping(task, mapping)
    return _Blocked(task, mapping, stored_w_bits).priced()


class _Blocked:
    """A task, its block, and what is derived from them."""

    def __init__(self, task: Task, mapping: Mapping, stored_w_bits: float | None) -> None:
        self.task, self.mapping, self.layer, self.widths = task, mapping, task.layer, task.widths
        self.machine, self.passes = blocks_of(task.accelerator), passes_of(task)
        self.block: Tile = block_of(task.layer, mapping)
        self.held, self.outputs = clip(self.block, task.layer), outputs_of(task.layer)
        self.repeats = repeats_of(task.layer)
        self.buffer = task.accelerator.levels[0].memories[0]
        self.tensors, self.weights = task.home("I"), task.home("W")
        elements = task.layer.elements("W")
        self.planned_bits = float(elements * task.accelerator.precision.w_bits)
        self.stored_w_bits = elements * task.widths.w * moved_fraction(task, self.weights, "W")
        if stored_w_bits is not None:
            self.planned_bits = self.stored_w_bits = stored_w_bits

    def priced(self) -> Priced:
        way = self.best_way()
        traffic = {**self.buffered(), **{key: self.traffic(*key, *both) for key, both in way.bits.items()}}
        ends = self.ends(way.staged)
        inside = way.bound == "compute"
        fill, drain = (int(self.repeats * cycles) if inside else 0 for cycles in (ends.first_in, ends.last_out))
        array = way.array + way.wait
        busy = min(self.array_alone, float(array - fill - drain)) if inside else self.busy(way.ports, way.bound)
        return Priced(
            energy_pj={("mac", ""): mac_energy(self.task)} | {key: item.energy_pj for key, item in traffic.items()},
            traffic=traffic,
            compute_cycles=way.array,
            processing_cycles=way.cycles,
            cycles=way.cycles,
            bound=way.bound,
            utilization=self.utilization(way.cycles),
            tile_bits=self.tiles(),
            parts=CycleParts(
                compute=self.array_alone,
                ports=way.ports,
                networks={},
                busy=busy,
                waiting=array - fill - drain - busy if inside else 0.0,
                first_fill=fill,
                last_drain=drain,
            ),
        )

    def way(self, *, staged: bool) -> _Way:
        """The layer with its weights staged, or read where they lie."""
        array = self.machine.cycles(self.layer, self.block, self.passes, self.ends(staged)) * self.repeats
        bits = self.moved(staged)
        ports: dict[str, tuple[float, float]] = {}
        for memory in dict.fromkeys((self.tensors, self.weights)):
            read, written = (sum(b[n] for (name, _), b in bits.items() if name == memory.name) for n in (0, 1))
            ports[memory.name] = read / _rate(memory), written / (memory.write_bits_per_cycle or math.inf)
        wait = 0
        if staged:
            copied, ahead = self.copy_cycles(self.stored_w_bits), self.task.stay.ahead_cycles
            slices = math.ceil(self.layer.dims.G * self.layer.dims.K / self.machine.multiple)
            wait = whole(max(0.0, copied / slices - ahead))
            read, written = ports[self.weights.name]
            ports[self.weights.name] = (max(read - min(copied, ahead), 0.0), written)
        bound = max(ports, key=lambda name: self.busy(ports, name))
        inside, busy = array + wait, whole(self.busy(ports, bound))
        return _Way(
            staged=staged,
            array=array,
            wait=wait,
            bits=bits,
            ports=ports,
            cycles=max(inside, busy),
            bound="compute" if inside >= busy else bound,
        )

    def busy(self, ports: dict[str, tuple[float, float]], name: str) -> float:
        """Cycles of a port, both directions."""
        memory = self.tensors if name == self.tensors.name else self.weights
        return memory.busy(*ports[name])

    def best_way(self) -> _Way:
        """Weights that are read several times are staged. Of those that are read once a copy gains what is fetched
        ahead, and costs that it is read again: it must gain, and fit into the time of the layer.

        That is decided for the dense weights of the chip's own width, where no better figure is known, so that
        fewer bits never change the way, and never cost more.
        """
        direct = self.way(staged=False)
        if not self.machine.staged or self.weights is self.tensors:
            return direct
        if self.fetches == 1:
            copied, read = self.copy_cycles(self.planned_bits), self.planned_bits / _rate(self.tensors)
            if read > min(copied, self.task.stay.ahead_cycles) or copied + read > direct.cycles:
                return direct
        return self.way(staged=True)

    def copy_cycles(self, bits: float) -> float:
        """To copy so many bits of weights, and the parameters of the filters, to where the tensors lie."""
        return self.weights.latency_cycles + (bits + self.parameter_bits) / _rate(self.weights)

    def ends(self, staged: bool) -> Ends:
        """What array and output stage wait for."""
        source = self.tensors if staged else self.weights
        return Ends(self.first_in, self.last_out, source.latency_cycles if self.layer.kind != "matmul" else 0.0)

    @cached_property
    def first_in(self) -> float:
        """The first block of inputs [cycles]."""
        rows, columns = self.input_plane
        chunk = self.machine.channels_at_once(self.layer, self.passes)
        depth = self.held[2] if is_depthwise(self.layer) else min(chunk, self.layer.dims.C)
        bits = rows * columns * depth * self.i_bits * self.burst(self.tensors, "I")
        return self.tensors.latency_cycles + bits // _rate(self.tensors)

    @cached_property
    def last_out(self) -> float:
        """The last block of outputs [cycles]."""
        bits = math.prod(self.held) * self.widths.o * self.burst(self.tensors, "O")
        return self.tensors.latency_cycles + bits // (self.tensors.write_bits_per_cycle or math.inf)

    @cached_property
    def input_plane(self) -> tuple[int, int]:
        """Rows and columns of the inputs of a block that lie in memory."""
        rows, columns = self.machine.inputs(self.layer, *self.block[:2])
        height, width = stored_plane(self.layer)
        return min(rows, height), min(columns, width)

    def is_image(self, operand: Operand) -> bool:
        """It has so few channels that it lies pixel by pixel."""
        return operand == "I" and self.layer.kind == "conv" and self.channels <= self.machine.images

    @property
    def channels(self) -> int:
        """Of the stored input, which blocks divide."""
        d = self.layer.dims
        return d.G if is_depthwise(self.layer) else d.C

    def burst(self, memory: Memory, operand: Operand) -> float:
        """Bits that a port pays for, over those that are used: bursts count whole."""
        width = self.widths.i if operand == "I" else self.widths.o
        run = self.machine.lanes if self.is_image(operand) else memory.brick * self.in_a_row(operand)
        run *= width
        return memory.burst_bits / min(memory.burst_bits, run) if memory.burst_bits else 1.0

    def in_a_row(self, operand: Operand) -> int:
        """Pixels of a row of a block, which lie side by side."""
        return int(self.machine.inputs(self.layer, *self.block[:2])[1]) if operand == "I" else self.block[1]

    @cached_property
    def planes(self) -> int:
        """Blocks in the plane."""
        rows, columns = (math.ceil(size / step) for size, step in zip(self.outputs[:2], self.held[:2], strict=True))
        return rows * columns

    @property
    def fetches(self) -> int:
        """How often each weight is read: for every block in the plane, of every image."""
        groups = 1 if is_depthwise(self.layer) else self.layer.dims.G
        return self.planes * self.repeats // groups

    def moved(self, staged: bool) -> dict[tuple[str, Operand], tuple[float, float]]:
        """(memory, operand) -> bits read and written outside of the buffer, bursts counted whole."""
        tensors, weights = self.tensors.name, self.weights.name
        rows, columns = self.input_plane
        channels = self.channels if self.is_image("I") else round_up(self.channels, self.tensors.brick)
        again = 1 if is_depthwise(self.layer) else math.ceil(self.outputs[2] / self.held[2])
        again *= len(self.machine.parts(self.layer)) * self.planes * self.repeats
        inputs = rows * columns * channels * again * self.i_bits * self.burst(self.tensors, "I")
        height, width, filters = self.outputs
        outputs = height * width * round_up(filters, self.tensors.brick) * self.repeats * self.widths.o
        bits: dict[tuple[str, Operand], tuple[float, float]] = {
            (tensors, "I"): (inputs, 0.0), (tensors, "O"): (0.0, outputs * self.burst(self.tensors, "O"))
        }  # fmt: skip
        fetches, parameters = self.fetches, self.parameter_bits * self.fetches
        if staged:
            bits[tensors, "W"] = (self.stored_w_bits * fetches, self.stored_w_bits)
            bits[weights, "W"] = (self.stored_w_bits + parameters, 0.0)
        else:
            bits[weights, "W"] = (self.stored_w_bits * fetches + parameters, 0.0)
        return bits

    @property
    def i_bits(self) -> int:
        """Width at which inputs lie in memory [bit]."""
        return self.task.stay.i_bits or self.widths.i

    @property
    def parameter_bits(self) -> float:
        """Scales and biases of all filters; a product of two activations has none [bit]."""
        d = self.layer.dims
        bits, word = self.machine.parameter_bits * d.G * d.K, self.machine.parameter_word
        return 0.0 if self.layer.kind == "matmul" else math.ceil(bits / word) * word

    @cached_property
    def unit_steps(self) -> int:
        """Steps of all units of the layer."""
        units = math.prod(
            math.ceil(size / step)
            for size, step in zip(self.outputs, self.machine.unit_of(self.layer), strict=True)
        )
        granule, d = self.machine.granule(self.layer, self.passes), self.layer.dims
        steps = sum(math.ceil(taps / granule.taps) for taps in self.machine.parts(self.layer))
        return units * steps * math.ceil(d.C / granule.channels) * self.repeats

    def buffered(self) -> dict[tuple[str, Operand], Traffic]:
        """What the buffer moves."""
        rows, columns, filters = self.machine.unit
        granule = self.machine.granule(self.layer, self.passes)
        taken = rows * columns * granule.taps * granule.channels * (filters if is_depthwise(self.layer) else 1)
        summed = float(self.unit_steps * math.prod(self.machine.unit) * self.widths.acc)
        filled = self.moved(staged=False)[self.tensors.name, "I"][0] / self.burst(self.tensors, "I")
        name = self.buffer.name
        return {
            (name, "I"): self.traffic(name, "I", float(self.unit_steps * taken * self.widths.i), filled),
            (name, "O"): self.traffic(name, "O", summed, summed),
        }

    def traffic(self, place: str, operand: Operand, read: float, written: float) -> Traffic:
        """Traffic of an operand in a memory, with its energy."""
        memory = self.task.accelerator.memories()[place]
        return Traffic(
            reads_bits=read,
            writes_bits=written,
            fills_bits=0.0 if operand == "O" else written,
            final_bits=written if operand == "O" and memory is not self.buffer else 0.0,
            energy_pj=read * memory.read_pj_per_bit + written * memory.write_pj_per_bit,
        )

    @property
    def array_alone(self) -> float:
        """Cycles of the array, all blocks, without the output stage."""
        cycles = self.machine.array_cycles(self.layer, self.held, self.passes)
        return cycles * self.machine.num_blocks(self.layer, self.held) * self.repeats

    def utilization(self, cycles: int) -> float:
        rate = self.task.accelerator.precision.macs_per_cycle(self.widths.w, self.widths.i)
        return min(1.0, self.layer.macs / (self.task.accelerator.num_pes * rate * cycles))

    def tiles(self) -> dict[tuple[str, Operand], int]:
        """Of the block in the buffer, and all of an operand outside [bit]."""
        inside: tuple[Operand, ...] = ("I", "O")
        found = {(self.buffer.name, operand): tile_bits(self.task, self.mapping, 0, operand) for operand in inside}
        for operand in ("W", "I", "O"):
            memory = self.weights if operand == "W" else self.tensors
            found[memory.name, operand] = tile_bits(self.task, self.mapping, 1, operand)
        return found


def _rate(memory: Memory) -> float:
    """What it reads [bit/cycle]."""
    return memory.read_bits_per_cycle or math.inf
