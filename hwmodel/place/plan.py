"""What a network asks of a chip's memories, whatever the widths: its tensors, its layers and operations, in order.

Nothing here depends on a configuration, so one plan serves every candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hwmodel.chip.accelerator import Accelerator, Widths
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Layer, Operand
from hwmodel.network.liveness import Liveness
from hwmodel.network.stored import weight_readers
from hwmodel.network.streams import Streams
from hwmodel.network.tensors import StoredTensor, inputs
from hwmodel.place.groups import Group, Stripes, groups_of
from hwmodel.price.vector import VectorWork, fuses, fuses_attention, vector_works

#: So many tensors that may stay are placed at once; of more, those that are read last lie outside.
MOST_AT_ONCE = 12
#: So many weights that several layers read are tried on chip and outside; of more, the least read lie outside.
MOST_SHARED = 6


@dataclass(frozen=True, kw_only=True)
class LayerWork:
    """The tensors of one layer.

    Attributes:
        step: position of its node in the order of execution.
        inputs, weights: indices of the tensors that it reads as I and as W (a product of two activations).
        output: index of the tensor that its finished outputs become; None where nobody reads them.
        unwritten: fraction of its finished outputs that no memory sees: a pool behind it reduces them.
        on_chip: operands that no memory sees: the scores of a fused attention.
    """

    step: int
    inputs: tuple[int, ...]
    weights: tuple[int, ...]
    output: int | None
    unwritten: Fraction
    on_chip: tuple[Operand, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A network on a chip.

    Attributes:
        layers: of the graph, as annotated.
        alive: its stored tensors, and which of them are alive at every step.
        works: of every layer.
        vectors: of every operation without MACs.
        movable: indices of the tensors that may lie in the chip's resident memory.
        crowded: names of the tensors that might, were there not too many at once (`MOST_AT_ONCE`).
        groups: of layers that may run in stripes.
        stored: indices of the layers that read each weight that may stay between inferences.
        too_shared: names of the first layers that read the weights that might, were there not too many that several
            layers read (`MOST_SHARED`).
    """

    layers: tuple[Layer, ...]
    alive: Liveness
    works: tuple[LayerWork, ...]
    vectors: tuple[VectorWork, ...]
    movable: frozenset[int]
    crowded: tuple[str, ...]
    groups: tuple[Group, ...]
    stored: tuple[tuple[int, ...], ...] = ()
    too_shared: tuple[str, ...] = ()

    @classmethod
    def of(cls, graph: LayerGraph, accelerator: Accelerator, *, fuse: bool = True, stay: bool = True) -> Plan:
        """The plan of a graph.

        Args:
            graph: traced.
            accelerator: says where tensors may stay.
            fuse: pools may be fused with what feeds them, concatenations made in place, attentions one kernel, and
                layers run in stripes with those behind them.
            stay: tensors and weights may stay on chip where the accelerator has the memory for it.
        """
        streams = Streams.of(
            graph,
            fuse=fuses(accelerator, fuse=fuse),
            attention=fuses_attention(accelerator, fuse=fuse),
            kinds=accelerator.vector.fuses,
        )
        alive = Liveness.of(graph, streams)
        index = {tensor.name: n for n, tensor in enumerate(alive.tensors)}
        may_stay = stay and accelerator.resident("I") is not None
        movable, crowded = _movable(alive) if may_stay else (frozenset(), ())
        keeps_weights = stay and accelerator.resident("W") is not None
        stored, too_shared = _stored(graph.layers) if keeps_weights else ((), ())
        step = {node.name: n for n, node in enumerate(graph.nodes)}
        vectors = vector_works(graph, streams, index, accelerator) if graph.layers and accelerator.levels else ()
        return cls(
            layers=graph.layers,
            alive=alive,
            works=tuple(_work(graph, layer, streams, index, step[layer.name]) for layer in graph.layers),
            vectors=vectors,
            movable=movable,
            crowded=crowded,
            groups=groups_of(graph, streams, alive.tensors) if fuse and may_stay else (),
            stored=stored,
            too_shared=too_shared,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know about the placement."""
        notes = []
        if self.crowded:
            notes.append(
                f"placement: of tensors alive at once at most {MOST_AT_ONCE} are placed, so that "
                f"{len(self.crowded)} lie outside untried: {_some(self.crowded)}"
            )
        if self.too_shared:
            notes.append(
                f"placement: of weights that several layers read at most {MOST_SHARED} may stay on chip, so that "
                f"{len(self.too_shared)} lie outside untried: those of {_some(self.too_shared)}"
            )
        return tuple(notes)

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        return self.alive.tensors

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Rows that a stripe of some layer may have, rising."""
        found = {rows for group in self.groups for stripes in group.stripes for rows in stripes.rows}
        return tuple(sorted(found))

    @cached_property
    def options(self) -> tuple[tuple[Group, Stripes], ...]:
        """Every group in every number of stripes, as the compiled placement numbers them: by the ends of groups."""
        found = sorted(self.groups, key=lambda group: group.end)
        return tuple((group, stripes) for group in found for stripes in group.stripes)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Layer name -> its index."""
        return {layer.name: n for n, layer in enumerate(self.layers)}

    def tensor_bits(self, layers: Sequence[Layer], widths: Sequence[Widths], native: int) -> list[int]:
        """Width of every tensor [bit].

        Args:
            layers: those of the plan under a configuration.
            widths: of them.
            native: of tensors that no layer makes or asks for [bit].
        """
        return [
            tensor.bits(
                lambda name, operand: getattr(widths[self.index[name]], operand.lower()),
                lambda name: None if (bits := layers[self.index[name]].bits) is None else bits.o,
                native,
            )
            for tensor in self.tensors
        ]


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _work(graph: LayerGraph, layer: Layer, streams: Streams, index: Mapping[str, int], step: int) -> LayerWork:
    reads = [
        (index[part], operand)
        for source, operand in inputs(graph, layer)
        for part in streams.tensors(source)
        if part in index
    ]
    passed = [o for source, o in inputs(graph, layer) if (source, layer.name) in streams.edges]
    made = streams.made[layer.name]
    name, elements = next(iter(streams.stored[layer.name]), ("", made))
    return LayerWork(
        step=step,
        inputs=tuple(tensor for tensor, operand in reads if operand == "I"),
        weights=tuple(tensor for tensor, operand in reads if operand == "W"),
        output=index.get(name),
        unwritten=Fraction(made - elements, made) if elements < made else Fraction(0),
        on_chip=(*passed, *(() if streams.stored[layer.name] else ("O",))),
    )


def _movable(alive: Liveness) -> tuple[frozenset[int], tuple[str, ...]]:
    """Tensors that may stay, and the names of those that may not because too many are alive at once."""
    movable = {n for n, tensor in enumerate(alive.tensors) if tensor.inside}
    crowded: list[str] = []
    for step in alive.steps:
        here = sorted((n for n in step if n in movable), key=lambda n: (alive.tensors[n].death, n))
        for n in here[MOST_AT_ONCE:]:
            movable.discard(n)
            crowded.append(alive.tensors[n].name)
    return frozenset(movable), tuple(crowded)


def _stored(layers: Sequence[Layer]) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Readers of each weight that may stay, and the first ones of those that are shared too much."""
    index = {id(layer): n for n, layer in enumerate(layers)}
    readers = [tuple(index[id(layer)] for layer in found) for found in weight_readers(layers).values()]
    shared = sorted((found for found in readers if len(found) > 1), key=lambda n: -len(n) * layers[n[0]].weights)
    out = set(shared[MOST_SHARED:])
    return tuple(n for n in readers if n not in out), tuple(layers[n[0]].name for n in readers if n in out)
