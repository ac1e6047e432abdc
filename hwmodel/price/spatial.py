"""Energy, cycles and the bound of one layer under a given mapping."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwmodel.chip.accelerator import Memory
from hwmodel.nest.access import OperandAccess, task_accesses, tile_transfers
from hwmodel.nest.mapping import Mapping, tile_bits
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import Operand
from hwmodel.price.blocks import price_blocks
from hwmodel.price.commands.cycles import commands_of, phases_of_mapping
from hwmodel.price.lines.line import whole
from hwmodel.price.lines.transfers import Transfers, kept_operands, word_bits
from hwmodel.price.priced import CycleParts, Priced, mac_energy, moved_fraction
from hwmodel.price.sparsity import active_fraction, nm_pattern, skipped_fraction, slowest
from hwmodel.price.timeline import timeline_of
from hwmodel.price.traffic import Traffic


def price(task: Task, mapping: Mapping) -> Priced:
    """Cost of a task (whole filters already removed) under a mapping.

    Traffic in bits = words * width of that operand at that level. Ports work beside the array; the cycles are
    those of `hwmodel.price.timeline`.

    Raises:
        MappingError: the mapping does not fit.
    """
    if task.accelerator.timing.by_blocks:
        return price_blocks(array_view(task), mapping)
    return _MappedTask(array_view(task), mapping).priced()


def converter_pj_per_bit(task: Task, operand: Operand, *, at_home: bool) -> tuple[float, float]:
    """What converters add to a bit read and updated in the memory beside an array with analog sums [pJ].

    Args:
        operand: W passes none.
        at_home: that memory is the operand's home, where I may lie wider than the layer reads it.
    """
    dac_pj, adc_pj = task.accelerator.precision.converter_pj(task.widths.w, task.widths.i)
    if operand == "I":
        return (dac_pj / ((at_home and task.stay.i_bits) or task.widths.i), 0.0)
    return (0.0, adc_pj / task.widths.acc if operand == "O" else 0.0)


def register_fraction(task: Task, operand: Operand) -> float:
    """Fraction of the stored words that a MAC takes from its registers once gating has left some out.

    Of N:M weights only the values that are left are stored, so that the pattern is not counted again.
    """
    gated = operand in task.accelerator.gating and operand not in task.accelerator.skipping
    active = skipped_fraction(task) if gated else active_fraction(task)
    pattern = nm_pattern(task) if operand == "W" else None
    return active if pattern is None else active * pattern[1] / pattern[0]


class _MappedTask:
    """A task as the array sees it, its mapping, and what is derived from them."""

    def __init__(self, task: Task, mapping: Mapping) -> None:
        self.task, self.mapping = task, mapping
        self.layer, self.accelerator, self.widths = task.layer, task.accelerator, task.widths
        self.counts = task_accesses(task, mapping)
        self.kept = tuple(kept_operands(task, self.counts))
        self.traffic = {(m.name, o): self.move(index, m, o) for index, m, o in self.kept}

    def count(self, index: int, operand: Operand) -> OperandAccess:
        return self.counts[self.accelerator.levels[index].name, operand]

    def priced(self) -> Priced:
        energy: dict[tuple[str, str], float] = {("mac", ""): mac_energy(self.task)}
        energy.update({key: item.energy_pj for key, item in self.traffic.items()})
        rate = self.accelerator.precision.macs_per_cycle(self.widths.w, self.widths.i)
        timing, phases = self.accelerator.timing, None
        steps = timing.steps(self.layer)
        steps = self.mapping.iterations if steps is None else steps
        compute = whole(float(steps) * slowest(self.task, self.mapping) / rate)
        if timing.by_commands:
            phases = phases_of_mapping(commands_of(self.accelerator), self.task, self.mapping)
            compute = whole(phases.all_passes)
        moved = Transfers(self.task, self.mapping, self.counts, self.traffic)
        time = timeline_of(moved, compute, phases)
        work = self.layer.macs * skipped_fraction(self.task)
        cycles = time.processing + math.ceil(time.exclusive)
        energy.update(self.converters())
        if self.accelerator.clock_pj:
            energy["clock", ""] = time.processing * self.accelerator.clock_pj
        return Priced(
            energy_pj=energy,
            traffic=self.traffic,
            compute_cycles=compute,
            processing_cycles=time.processing,
            cycles=cycles,
            bound=time.bound.name,
            utilization=min(1.0, work / (self.accelerator.num_pes * rate * cycles)),
            tile_bits={(m.name, o): tile_bits(self.task, self.mapping, index, o) for index, m, o in self.kept},
            parts=CycleParts(
                compute=compute,
                ports=time.ports,
                networks=time.networks,
                busy=time.bound.busy,
                waiting=time.bound.waiting + time.exclusive,
                first_fill=time.bound.head,
                last_drain=time.bound.tail,
            ),
        )

    def move(self, index: int, memory: Memory, operand: Operand) -> Traffic:
        """Traffic and energy of one operand in one memory."""
        count, widths = self.count(index, operand), self.widths
        scale = count.instances * moved_fraction(self.task, memory, operand)
        if operand == "O":
            partial = count.updates - count.final_updates
            reads = float(count.reads * widths.acc * count.instances)
            fills = float(count.fills * widths.acc * count.instances)
            final = float(count.final_updates * widths.o * scale)
            updates = partial * widths.acc * count.instances + final
        else:
            width = word_bits(self.task, index, operand)
            reads, fills, updates, final = count.reads * width * scale, count.fills * width * scale, 0.0, 0.0
        active = register_fraction(self.task, operand) if self.feeds_macs(index, operand) else 1.0
        energy = active * (reads * memory.read_pj_per_bit + updates * memory.write_pj_per_bit)
        energy += fills * memory.write_pj_per_bit
        if memory.network_pj_per_bit:
            energy += self.network_bits(index, operand) * memory.network_pj_per_bit
        return Traffic(
            reads_bits=reads, writes_bits=fills + updates, fills_bits=fills, energy_pj=energy, final_bits=final
        )

    def converters(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Energy of the converters at the edges of an array with analog sums [pJ]: of I in, of O out."""
        if self.accelerator.precision.analog is None:
            return
        dac_pj, adc_pj = self.accelerator.precision.converter_pj(self.widths.w, self.widths.i)
        index = self.mapping.holders("I")[0]
        memory = next(m for n, m, operand in self.kept if (n, operand) == (index, "I"))
        yield ("dac", "I"), self.traffic[memory.name, "I"].reads_bits / word_bits(self.task, index, "I") * dac_pj
        sums = self.count(self.mapping.holders("O")[0], "O")
        yield ("adc", "O"), float(sums.updates * sums.instances) * adc_pj

    def feeds_macs(self, index: int, operand: Operand) -> bool:
        """The level is the register that a MAC takes the operand from."""
        return self.mapping.holders(operand)[0] == index and self.accelerator.levels[index].per_pe

    def network_bits(self, index: int, operand: Operand) -> float:
        """Bits that enter or leave all instances of a per-PE memory, one hop each."""
        level = self.accelerator.levels[index]
        words = tile_transfers(self.layer, self.mapping, operand, index) * self.count(index, operand).instances
        width = {"W": self.widths.w, "I": self.widths.i, "O": self.widths.acc}[operand]
        return float(words * width) if level.per_pe else 0.0
