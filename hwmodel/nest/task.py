"""A task: one layer on one accelerator with all its widths known, as everything below `layer_cost` takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from hwmodel.chip.accelerator import Accelerator, Memory, Widths
from hwmodel.network.choice import remove_filters
from hwmodel.network.layer import NO_PADS, Bits, Density, Dims, Layer, Operand, Pads


class Stay(NamedTuple):
    """What the network around a layer makes of its operands; the default is a layer alone.

    Attributes:
        resident: operands that lie in the chip's resident memory while the layer runs, W first; the others lie in
            the outermost memory.
        room_bits: what residents, their own ones included, leave of that memory to tiles [bit]: one of `rooms_of`;
            None: all of it.
        i_bits: width at which I lies in its home [bit], where another reader wants it wider; None: as it is read.
        ahead_cycles: of the layer before it, in which its weights may be fetched already (timing blocks).
    """

    resident: tuple[Operand, ...] = ()
    room_bits: float | None = None
    i_bits: int | None = None
    ahead_cycles: int = 0


#: What residents leave of a memory is rounded down to one of these parts of it.
ROOMS = tuple(k / 256 for k in (256, 224, 192, 160, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0))
#: A layer alone: its operands come from outside and go there.
ALONE = Stay()


def rooms_of(memory: Memory) -> tuple[float, ...]:
    """What may be left of a memory to tiles, once rounded down [bit], from all of it to nothing."""
    size = memory.size_bits or math.inf
    return tuple(size * part for part in ROOMS)


class Identity(NamedTuple):
    """What the best mapping of a task depends on, and nothing else: no name, no module.

    Attributes:
        dims, stride, dilation: of the layer.
        density: of its operands; ask with those zeros as values that the accelerator cannot use.
        widths: [bit].
        accelerator: its fingerprint.
        stay: of its operands.
        padding: zeros around the input, where the chip does not fetch them.
    """

    dims: Dims
    stride: tuple[int, int]
    dilation: tuple[int, int]
    density: Density
    widths: Widths
    accelerator: str
    stay: Stay
    padding: Pads


@dataclass(frozen=True)
class Task:
    """One layer on one accelerator; make it with `Task.of`.

    Attributes:
        layer: its `bits` are the widths.
        accelerator: the target.
        widths: of weights, inputs, finished outputs and partial sums [bit].
        stay: where its operands lie, in a network.
    """

    layer: Layer
    accelerator: Accelerator
    widths: Widths
    stay: Stay = ALONE

    @classmethod
    def of(cls, layer: Layer, accelerator: Accelerator, stay: Stay = ALONE) -> Task:
        """The task of a layer; one without bits runs at the accelerator's native widths."""
        widths = accelerator.resolve_bits(layer.bits, layer.reduction)
        bits = Bits(w=widths.w, i=widths.i, o=widths.o, acc=widths.acc)
        return cls(layer.with_bits(bits), accelerator, widths, stay)

    @property
    def identity(self) -> Identity:
        """Tasks with equal identities have the same best mapping, whatever their layers are called."""
        layer = self.layer
        return Identity(
            layer.dims,
            layer.stride,
            layer.dilation,
            layer.density,
            self.widths,
            self.accelerator.fingerprint,
            self.stay,
            layer.padding if self.skips_padding else NO_PADS,
        )

    @property
    def skips_padding(self) -> bool:
        """Zeros around the input do not come from the outermost memory; row-stationary chips are as published."""
        return self.accelerator.dataflow == "free"

    def home(self, operand: Operand) -> Memory:
        """The memory that an operand comes from or ends in: the resident one, else the outermost.

        What a mapping says of the outermost level holds for an operand in its home. The second operand of a product
        of two activations lies with the first where blocks of tensors and weights have outermost memories apart.
        """
        if operand == "W" and self.layer.kind == "matmul" and self.accelerator.timing.by_blocks:
            operand = "I"
        memory = self.accelerator.keeper if operand in self.stay.resident else None
        return memory or next(m for m in self.accelerator.levels[-1].memories if operand in m.holds)

    def rests(self, operand: Operand, memory: Memory) -> bool:
        """The operand lies in this memory whole, so that no tile of it is kept there beside."""
        keeper = self.accelerator.keeper
        return operand in self.stay.resident and keeper is not None and keeper.name == memory.name

    def room_bits(self, memory: Memory) -> float:
        """What the tiles of the operands of a memory may take together, doubled where they are [bit]."""
        size = math.inf if memory.size_bits is None else memory.size_bits
        return size if self.stay.room_bits is None or not memory.resident else min(size, self.stay.room_bits)

    def unfinished_bits(self) -> float:
        """What resident outputs take more while their sums are unfinished [bit]."""
        more = max(self.widths.acc - self.widths.o, 0)
        return float(self.layer.elements("O") * more) if "O" in self.stay.resident else 0.0

    def without_removed_filters(self) -> Task:
        """The task that is left once whole filters are removed; its widths stay."""
        return self.with_layer(remove_filters(self.layer))

    def with_density(self, density: Density) -> Task:
        """The same task with other zeros."""
        return self if density == self.layer.density else self.with_layer(self.layer.with_density(density))

    def with_outputs(self, bits: int) -> Task:
        """The same task with finished outputs of another width [bit]."""
        widths = self.widths._replace(o=bits)
        own = Bits(w=widths.w, i=widths.i, o=widths.o, acc=widths.acc)
        return replace(self, layer=self.layer.with_bits(own), widths=widths)

    def with_residents(self, operands: tuple[Operand, ...]) -> Task:
        """The same task with other operands in the resident memory."""
        return replace(self, stay=self.stay._replace(resident=operands))

    def in_room(self, room_bits: float | None) -> Task:
        """The same task with another room in the resident memory [bit]; None: all of it."""
        return replace(self, stay=self.stay._replace(room_bits=room_bits))

    def with_layer(self, layer: Layer) -> Task:
        """The same task of a layer with the same bits and reduction."""
        return self if layer is self.layer else replace(self, layer=layer)
