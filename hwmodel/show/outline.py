"""A network as an indented tree of its modules: sums at every level, equal blocks in one line.

The tree follows the dots in the names of the layers. Nothing here recurses, so that nesting may be as deep as
names allow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hwmodel.network.layer import Layer
from hwmodel.show.sums import NOTHING, Sums, layer_sums

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph
    from hwmodel.price.results import NetworkCost

#: Columns of indentation; what is nested deeper is not moved further.
MAX_INDENT = 32

_CALL = re.compile(r"(.+)#(\d+)")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the outline: a layer, a module with layers below it, or several equal ones of either.

    Attributes:
        name: with the names of the modules above, dots between; of folded ones as `blocks.0–11.fc`.
        guide: the branches of the tree before the label.
        label: the last parts of the name; `0–11` of folded blocks.
        level: 0 is the network itself.
        times: as many equal modules or layers are summed here.
        sums: over everything below, all `times` of it.
        layer: of a line without others below it; the first of `times`.
        hidden: layers that are summed here and have no line of their own, because they lie too deep.
    """

    name: str
    guide: str
    label: str
    level: int
    times: int
    sums: Sums
    layer: Layer | None = None
    hidden: int = 0


@dataclass(eq=False)
class _Node:
    """A module name, or a call of a layer, in the tree of names."""

    label: str
    children: dict[str, _Node] = field(default_factory=dict)
    calls: list[tuple[str, int]] = field(default_factory=list)
    sums: Sums = NOTHING
    shape: int = 0

    @property
    def layer(self) -> int | None:
        """Index of the layer that this is; None of a module with others inside."""
        return self.calls[0][1] if self.calls else None


def graph_outline(graph: LayerGraph, *, depth: int | None = None, fold: bool = True) -> list[Line]:
    """The outline of a graph; see `outline`."""
    return outline(graph.name, graph.layers, layer_sums(graph.layers), depth=depth, fold=fold)


def cost_outline(
    cost: NetworkCost, *, name: str = "total", depth: int | None = None, fold: bool = True
) -> list[Line]:
    """The outline of a priced network, layers with the bits and densities that they were priced at."""
    layers = [item.layer for item in cost.layers]
    return outline(name, layers, layer_sums(layers, cost.layers), depth=depth, fold=fold)


def outline(
    name: str, layers: Sequence[Layer], sums: Sequence[Sums], *, depth: int | None = None, fold: bool = True
) -> list[Line]:
    """The tree of a network, top down, in the order in which its modules first run.

    A module with a single one inside stands on one line with it. A layer that is called several times is a
    module with calls `#1`, `#2`, ... Numbered neighbours with the same layers below them, bits and
    densities included, are folded into one line, with sums over all of them.

    Args:
        name: of the network.
        layers: in topological order.
        sums: of each layer.
        depth: levels that are shown below the network; None shows all.
        fold: fold equal neighbours.
    """
    lines = []
    waiting = [_Item([_tree(name, layers, sums)], name, name)]
    while waiting:
        item = waiting.pop()
        first = item.nodes[0]
        hides = bool(first.children) and depth is not None and item.level >= depth
        total = sum((node.sums for node in item.nodes), NOTHING)
        lines.append(
            Line(
                name=item.name,
                guide=item.guide,
                label=item.label,
                level=item.level,
                times=item.times,
                sums=total,
                layer=None if first.layer is None else layers[first.layer],
                hidden=total.num_layers if hides else 0,
            )
        )
        if not hides:
            waiting += reversed(_below(item, fold))
    return lines


@dataclass(frozen=True)
class _Item:
    """A line to come: equal nodes, and how deep and where they stand."""

    nodes: list[_Node]
    name: str
    label: str
    level: int = 0
    times: int = 1
    guide: str = ""
    indent: str = ""


def _below(item: _Item, fold: bool) -> list[_Item]:
    """The lines under a line, in order."""
    runs = _runs(item.nodes[0], fold)
    items = []
    for index, run in enumerate(runs):
        nodes = [child for node in item.nodes for child in list(node.children.values())[run.start : run.stop]]
        label, ends = _merged(nodes)
        if len(run) > 1:
            label = _range(item.nodes[0], run) + label.removeprefix(nodes[0].label)
        is_last = index == len(runs) - 1
        items.append(
            _Item(
                nodes=ends,
                name=f"{item.name}.{label}" if item.level else label,
                label=label,
                level=item.level + 1,
                times=item.times * len(run),
                guide=item.indent + ("└─" if is_last else "├─"),
                indent=_clip(item.indent + ("  " if is_last else "│ ")),
            )
        )
    return items


def _clip(indent: str) -> str:
    return indent if len(indent) <= MAX_INDENT else "…" + indent[-(MAX_INDENT - 1) :]


def _merged(nodes: list[_Node]) -> tuple[str, list[_Node]]:
    """(label, ends) of equal nodes: a module with one inside goes with it on one line, as `shortcut.0`."""
    labels = [nodes[0].label]
    while len(nodes[0].children) == 1:
        nodes = [next(iter(node.children.values())) for node in nodes]
        labels.append(nodes[0].label)
    return ".".join(labels), nodes


def _runs(node: _Node, fold: bool) -> list[range]:
    """Positions of the children of a node, those that stand on one line together."""
    children = list(node.children.values())
    runs: list[range] = []
    for index, child in enumerate(children):
        before = children[index - 1] if index else None
        if before is not None and fold and before.shape == child.shape and _follows(before.label, child.label):
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
    return runs


def _follows(label: str, after: str) -> bool:
    """`4` after `3`, and `#4` after `#3`."""
    numbers = [text.removeprefix("#") for text in (label, after)]
    return (
        label.startswith("#") == after.startswith("#")
        and all(number.isascii() and number.isdigit() for number in numbers)
        and int(numbers[0]) + 1 == int(numbers[1])
    )


def _range(node: _Node, run: range) -> str:
    labels = [child.label for child in node.children.values()]
    return f"{labels[run.start]}–{labels[run.stop - 1].removeprefix('#')}"


# ---- the tree of names ---------------------------------------------------------------------------


def _tree(name: str, layers: Sequence[Layer], sums: Sequence[Sums]) -> _Node:
    """The nodes of all names, sums and shapes filled in from the leaves up."""
    root = _Node(name)
    nodes = [root]  # parents before their children
    for index, layer in enumerate(layers):
        call = _CALL.fullmatch(layer.name)
        path = (call[1] if call else layer.name).split(".")
        node = root
        for part in path:
            if part not in node.children:
                node.children[part] = _Node(part)
                nodes.append(node.children[part])
            node = node.children[part]
        node.calls.append((f"#{call[2]}" if call else "#1", index))
    for node in nodes:  # grows while it runs: calls of one parameter stand below it
        nodes += _split_calls(node, layers)
    shapes: dict[object, int] = {}
    for node in reversed(nodes):
        if node.layer is None:
            node.sums = sum((child.sums for child in node.children.values()), NOTHING)
            key: object = tuple((child.label, child.shape) for child in node.children.values())
        else:
            node.sums = sums[node.layer]
            key = replace(layers[node.layer], name="", module="", parameter="")
        node.shape = shapes.setdefault(key, len(shapes))
    return root


def _split_calls(node: _Node, layers: Sequence[Layer]) -> list[_Node]:
    """New children of a layer with others inside, or called several times: its weights, then their calls."""
    if not node.calls or (len(node.calls) == 1 and not node.children):
        return []
    parameters = [layers[index].parameter for _, index in node.calls]
    has_one = not node.children and len(set(parameters)) == 1
    groups: dict[str, _Node] = {}
    for (call, index), parameter in zip(node.calls, parameters, strict=True):
        label = call if has_one or not parameter else parameter
        if has_one and label in groups:  # layers called `x` and `x#1` are both its first call
            label = f"{call} ({layers[index].name})"
        groups.setdefault(label, _Node(label)).calls.append((call, index))
    own = {f".{label}": child for label, child in groups.items()}  # parts of names have no dots
    node.children = own | node.children
    node.calls = []
    return list(groups.values())
