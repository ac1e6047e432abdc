"""What a picture of a network shows: layers and joins, equal blocks once, in cells that stand below each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodel.network.blocks import Block, repeated_blocks
from hwmodel.network.graph import Node, Port, VectorOp
from hwmodel.network.layer import Layer
from hwmodel.network.names import filter_shape, out_shape, safe_name

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph

#: A network with more nodes than this, equal blocks taken together, is drawn with several layers in one node.
MAX_NODES = 400
#: A layer that is called more often than this on the same shape, as in a loop over time, is drawn once.
MAX_CALLS = 3
#: Signs of the ops that join branches.
JOINS = {"add": "+", "mul": "×", "concat": "‖"}


@dataclass(frozen=True, kw_only=True)
class Item:
    """A node of the picture.

    Attributes:
        name: unique; of a node of the graph.
        label: what stands in it, within its cell.
        detail: its filter and output.
        kind: decides its colour: `conv`, `depthwise`, `linear`, `matmul`, `join`, `port`, `other`, `uncounted`.
        share: of the MACs of the network, all that it stands for together.
    """

    name: str
    label: str
    detail: str
    kind: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Nodes that stand together: a module in a frame with a title, or some without a frame.

    Attributes:
        title: the name of the module, with the number of equal ones that it stands for; "" without a frame.
        items: in topological order.
    """

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Diagram:
    """Cells in topological order, and the edges between items by name."""

    cells: tuple[Cell, ...]
    edges: tuple[tuple[str, str], ...]


def diagram(graph: LayerGraph) -> Diagram:
    """The diagram of a graph: its layers, joins, embeddings and ops without a rule; other ops are left out."""
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    blocks = repeated_blocks(graph)
    blocks_by_first = {block.names[0]: block for block in blocks}
    again = _first_calls(graph)
    stands_in = _representatives(graph, blocks, again)
    shown = [node for node in graph.nodes if stands_in.get(node.name) == node.name]
    merged = _chunks([node.name for node in shown])
    stands_in = {name: merged[other] for name, other in stands_in.items()}
    edges = dict.fromkeys(
        (stands_in[source], stands_in[target])
        for source, target in graph.digraph.edges
        if source in stands_in and target in stands_in
    )
    forward = [(a, b) for a, b in edges if order[a] < order[b]]
    macs: Counter[str] = Counter()
    for layer in graph.layers:
        macs[stands_in[layer.name]] += layer.macs
    nodes = [node for node in shown if merged[node.name] == node.name]
    sizes, calls = Counter(merged.values()), Counter(again.values())
    owner = _owners(nodes, blocks) if len(nodes) == len(shown) else {}
    items = {}
    for node in nodes:
        frame = owner.get(node.name, "")
        times = (calls[node.name] + 1) * _repeats(node, blocks_by_first, frame)
        share = macs[node.name] / max(graph.macs, 1)
        items[node.name] = _item(node, frame, share, times=times, num_merged=sizes[node.name])
    titles = {name: _title(block) for name, block in blocks_by_first.items()}
    return Diagram(cells=tuple(_cells(items, owner, titles, forward)), edges=tuple(forward))


# ---- which nodes -----------------------------------------------------------------------------------


def _representatives(graph: LayerGraph, blocks: Sequence[Block], again: Mapping[str, str]) -> dict[str, str]:
    """Node -> the node of the picture that it is part of: in the first of equal blocks, and one that is shown.

    Args:
        graph: of the network.
        blocks: of it.
        again: call of a layer -> its first call, where only that is drawn.
    """
    inside: dict[str, list[str]] = {name: [] for block in blocks for name in block.names}
    for node in graph.nodes:
        for module in _ancestors("" if isinstance(node, Port) else node.module):
            if module in inside:
                inside[module].append(node.name)
    first = dict(again)
    for block in blocks:
        for other in block.names[1:]:
            for source, target in zip(inside[other], inside[block.names[0]], strict=True):
                first.setdefault(source, target)
    found: dict[str, str] = {}
    joins = _Joins()
    for node in graph.nodes:
        before = [parent for parent in graph.digraph.predecessors(node.name) if parent in found]
        feeding = list(dict.fromkeys(found[parent] for parent in before))
        if not _is_shown(node, len(feeding)):
            if feeding:
                found[node.name] = feeding[0]
            continue
        name = node.name
        while name in first:
            name = first[name]
        if name == node.name and isinstance(node, VectorOp):
            name = joins.add(node, feeding, is_again=any(parent in first for parent in before))
        found[node.name] = name
    return found


class _Joins:
    """Joins by their inputs, to find the one of an earlier step: one residual sum around N equal blocks."""

    def __init__(self) -> None:
        self._by_inputs: dict[tuple[str, frozenset[str]], str] = {}
        self._inputs: dict[str, frozenset[str]] = {}

    def add(self, node: VectorOp, feeding: Sequence[str], *, is_again: bool) -> str:
        """The name that the join is drawn under: of an earlier one if `is_again` and the inputs were the same."""
        inputs = frozenset(feeding)
        name = self._earlier(node.kind, inputs) if is_again else ""
        self._by_inputs.setdefault((node.kind, inputs), name or node.name)
        self._inputs.setdefault(name or node.name, inputs)
        return name or node.name

    def _earlier(self, kind: str, inputs: frozenset[str]) -> str:
        for name in inputs:  # the earlier one itself, and what it had joined
            if inputs - {name} <= self._inputs.get(name, frozenset()):
                return name
        return self._by_inputs.get((kind, inputs), "")


def _first_calls(graph: LayerGraph) -> dict[str, str]:
    """Call of a layer -> its first call, where there are so many that a picture of all says no more."""
    calls: dict[object, list[str]] = {}
    for layer in graph.layers:
        if layer.weights:
            calls.setdefault((layer.weight_key, layer.dims), []).append(layer.name)
    return {name: names[0] for names in calls.values() if len(names) > MAX_CALLS for name in names[1:]}


def _is_shown(node: Node, num_feeding: int) -> bool:
    if isinstance(node, VectorOp):
        return num_feeding > 1 or node.kind in ("embedding", "uncounted")
    return isinstance(node, Layer) or node.kind == "input"


def _ancestors(module: str) -> Iterable[str]:
    parts = module.split(".")
    return (".".join(parts[: index + 1]) for index in range(len(parts)))


def _chunks(names: Sequence[str]) -> dict[str, str]:
    """Name -> the first of the neighbours that it is drawn with; itself unless there are too many."""
    size = -(-len(names) // MAX_NODES)
    return {name: names[index - index % size] for index, name in enumerate(names)}


# ---- how they are called ---------------------------------------------------------------------------


def _item(node: Node, owner: str, share: float, *, times: int, num_merged: int) -> Item:
    label = safe_name(node.name[len(owner) + 1 :] if owner and node.name.startswith(f"{owner}.") else node.name)
    if num_merged > 1:
        return Item(name=node.name, label=label, detail=f"and {num_merged - 1} after it", kind="other", share=share)
    if isinstance(node, Layer):
        detail = f"{filter_shape(node)} · {out_shape(node)}"
        label += f" ×{times}" if times > 1 else ""
        return Item(name=node.name, label=label, detail=detail, kind=_kind(node), share=share)
    if isinstance(node, Port):
        return Item(name=node.name, label=label, detail="input", kind="port", share=0.0)
    if node.kind == "uncounted":
        return Item(name=node.name, label=label, detail="no rule", kind="uncounted", share=0.0)
    if node.kind == "embedding":
        return Item(name=node.name, label=label, detail="embedding", kind="other", share=0.0)
    return Item(name=node.name, label=JOINS.get(node.kind, "•"), detail="", kind="join", share=0.0)


def _kind(layer: Layer) -> str:
    if layer.kind != "conv":
        return layer.kind
    return "depthwise" if layer.dims.G > 1 and layer.dims.C == 1 else "conv"


def _repeats(node: Node, blocks: Mapping[str, Block], frame: str) -> int:
    """As many equal nodes are drawn as this one, within its frame."""
    modules = [] if isinstance(node, Port) else _ancestors(node.module)
    return math.prod(blocks[module].count for module in modules if module in blocks and module != frame)


def _title(block: Block) -> str:
    last = block.names[-1].rpartition(".")[2]
    return safe_name(f"{block.names[0]}–{last}  ×{block.count}")


# ---- which cell ------------------------------------------------------------------------------------


def _owners(nodes: Sequence[Node], blocks: Sequence[Block]) -> dict[str, str]:
    """Node -> the module that frames it: the outermost repeated one, else the innermost numbered one.

    A module is worth a frame when two layers or more stand in it.
    """
    layers: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, Layer):
            layers.update(_ancestors(node.module))
    repeated = {block.names[0] for block in blocks}
    owners = {}
    for node in nodes:
        if isinstance(node, Port):
            continue
        around = [module for module in _ancestors(node.module) if layers[module] > 1]
        outer = [module for module in around if module in repeated]
        numbered = [module for module in around if module.rpartition(".")[2].isdigit()]
        if outer or numbered:
            owners[node.name] = outer[0] if outer else numbered[-1]
    return owners


def _cells(
    items: dict[str, Item], owner: dict[str, str], titles: dict[str, str], edges: Sequence[tuple[str, str]]
) -> list[Cell]:
    """Frames and nodes without one, in order; nodes between which several branches run share a cell."""
    units: dict[tuple[bool, str], list[Item]] = {}  # (it has a frame, name of its module or node)
    for name, item in items.items():
        units.setdefault((name in owner, owner.get(name, name)), []).append(item)
    place = {item.name: index for index, unit in enumerate(units.values()) for item in unit}
    crossed = _crossed([(place[a], place[b]) for a, b in edges], len(units))
    cells: list[Cell] = []
    for ((is_frame, module), unit), is_crossed in zip(units.items(), [False, *crossed], strict=False):
        if not is_frame and is_crossed and cells and not cells[-1].title:
            cells[-1] = Cell(title="", items=(*cells[-1].items, *unit))
        else:
            title = titles.get(module, safe_name(module)) if is_frame else ""
            cells.append(Cell(title=title, items=tuple(unit)))
    return cells


def _crossed(edges: Iterable[tuple[int, int]], num_units: int) -> list[bool]:
    """For every boundary after a unit: an edge crosses it that does not start in that unit."""
    change = [0] * (num_units + 1)
    for source, target in edges:
        if target - source >= 2:
            change[source + 1] += 1
            change[target] -= 1
    depth, crossed = 0, []
    for step in change[:num_units]:
        depth += step
        crossed.append(depth > 0)
    return crossed
