"""Repeated blocks: sibling modules, run one after the other, that do the same work on the same shapes.

A network of 96 decoder blocks is one block and a count. Tables and figures show it that way, and a table of
prices need not look at the other 95.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from hwmodel.network.graph import LayerGraph, Port, VectorOp
from hwmodel.network.layer import Density, Layer

_Work = Layer | VectorOp

_NUMBER = re.compile(r"\d+(?=\D*$)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A run of two or more sibling modules with identical structure.

    Attributes:
        names: of the modules, in the order of execution: `("layers.0", "layers.1", ...)`.
    """

    names: tuple[str, ...]

    @property
    def parent(self) -> str:
        """The module that holds them; "" at the top."""
        return self.names[0].rpartition(".")[0]

    @property
    def count(self) -> int:
        return len(self.names)

    @cached_property
    def members(self) -> frozenset[str]:
        """The names as a set, for questions of membership."""
        return frozenset(self.names)


def repeated_blocks(graph: LayerGraph, *, annotated: bool = True) -> tuple[Block, ...]:
    """The runs of identical sibling modules, at every depth, outer ones before those inside them.

    Two modules are identical when the same nodes run in them in the same order, with the same loop bounds, elements
    and edges among them, and read tensors of the same shapes. Siblings make a run when they follow each other in
    the order of execution and their names differ in one number alone (`layers.0` and `layers.1`, `stage_1` and
    `stage_2`; not `query` and `key`).

    Args:
        graph: traced.
        annotated: bits and densities must be the same too; else only the structure counts.
    """
    insides = _nodes_by_module(graph)
    children: dict[str, list[str]] = {}
    for name in insides:
        children.setdefault(name.rpartition(".")[0], []).append(name)
    signatures = _Signatures(graph, insides, annotated=annotated)
    return tuple(
        Block(names=tuple(run))
        for parent in ["", *insides]
        for run in _runs(children.get(parent, []), signatures)
        if len(run) > 1
    )


def _nodes_by_module(graph: LayerGraph) -> dict[str, list[_Work]]:
    """Module -> its nodes, those of the modules below it included; modules by their first node, outer first."""
    insides: dict[str, list[_Work]] = {}
    for node in graph.nodes:
        if isinstance(node, Port) or not node.module:
            continue
        for module in _ancestry(node.module):
            insides.setdefault(module, []).append(node)
    return insides


def _ancestry(module: str) -> Iterator[str]:
    """`a`, `a.b`, `a.b.c` of `a.b.c`."""
    end = module.find(".")
    while end >= 0:
        yield module[:end]
        end = module.find(".", end + 1)
    yield module


def _runs(names: list[str], signatures: _Signatures) -> Iterator[list[str]]:
    run = names[:1]
    for before, name in pairwise(names):
        if _template(before) == _template(name) and signatures[before] == signatures[name]:
            run.append(name)
        else:
            yield run
            run = [name]
    yield run


def _template(name: str) -> str:
    """The name without its last number; the name itself where its own part has none."""
    parent, _, own = name.rpartition(".")
    return f"{parent}.{_NUMBER.sub('#', own)}" if _NUMBER.search(own) else name


class _Signatures:
    """What two modules must share to be identical, worked out when first asked for."""

    def __init__(self, graph: LayerGraph, insides: dict[str, list[_Work]], *, annotated: bool) -> None:
        self.graph = graph
        self.insides = insides
        self.annotated = annotated
        self._known: dict[str, Hashable] = {}

    def __getitem__(self, module: str) -> Hashable:
        if module not in self._known:
            self._known[module] = self._of(module)
        return self._known[module]

    def _of(self, module: str) -> Hashable:
        position = {node.name: index for index, node in enumerate(self.insides[module])}
        return tuple(
            (self._stripped(node, module), self._sources(node.name, position)) for node in self.insides[module]
        )

    def _stripped(self, node: _Work, module: str) -> _Work:
        """The node by the name that it has seen from the module."""
        own = node.module[len(module) :]
        if isinstance(node, Layer) and not self.annotated:
            return replace(node, name="", module=own, bits=None, density=Density())
        return replace(node, name="", module=own)

    def _sources(self, name: str, position: dict[str, int]) -> Hashable:
        """Per input: where it comes from inside the module (-1: from outside), and its shape."""
        return tuple(
            (position.get(source, -1), data["tensor"].shape)
            for source, _, data in self.graph.digraph.in_edges(name, data=True)
        )
