"""Layers and graphs in words: names, shapes, and what a trace counted and what it did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwmodel.network.graph import LayerGraph
    from hwmodel.network.layer import Layer

#: Marks of lines: good, and to be read.
OK, WARNING = "✓", "!"


def safe_name(name: object) -> str:
    """A name as one printable line: control characters become escapes, so that none reaches the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def out_shape(layer: Layer) -> str:
    """`64×112×112` of a convolution, `1000` of a linear layer, `128×4096` where it runs on 128 positions.

    `32×128×64` of 32 batched products; the batch is left out.
    """
    d = layer.dims
    if layer.kind == "conv":
        return f"{d.G * d.K}×{d.OY}×{d.OX}"
    groups = (d.G,) if layer.kind == "matmul" else ()
    filters = d.K if groups else d.G * d.K
    return "×".join(str(size) for size in (*(size for size in (*groups, d.OY * d.OX) if size > 1), filters))


def filter_shape(layer: Layer) -> str:
    """`3×3 /32 s2` of a convolution with groups and stride, `120→84` of a linear layer, `×4` of batched matmuls."""
    d = layer.dims
    if layer.kind != "conv":
        return f"{d.C}→{d.K}" + (f" ×{d.G}" if d.G > 1 else "")
    groups = f" /{d.G}" if d.G > 1 else ""
    return f"{d.FY}×{d.FX}{groups}" + (f" s{layer.stride[0]}" if max(layer.stride) > 1 else "")


def coverage_lines(graph: LayerGraph, *, priced: str = "", verbose: bool = False) -> list[tuple[str, str]]:
    """What was counted and what was not, as (mark, text); never empty.

    Args:
        graph: names its ops without MACs, free ops and ops without a rule.
        priced: what became of the ops without MACs.
        verbose: name them, and the free ones.
    """
    rule = "has no rule: the total is a LOWER BOUND. Register one, or --strict."
    lines = [
        (WARNING, f"{op} ({times(calls, 'call')}, in {places}) {rule}") for op, calls, places in _uncounted(graph)
    ]
    kinds = Counter(op.kind for op in graph.vector_ops if op.kind != "uncounted")
    views = sum(graph.free_ops.values())
    parts = [f"{times(len(kinds), 'kind')} of op without MACs {priced}".rstrip()] if kinds else []
    parts += [f"{times(views, 'view')} free"] if views else []
    others = ", ".join(parts) + (" (-v)" if parts and not verbose else "")
    if not lines:
        lines.append((OK, f"all MACs counted; {others or 'no other op in the graph'}"))
    elif others:
        lines.append(("", others))
    if graph.folded_macs:
        places = dict.fromkeys(item.module or graph.name for item in graph.folded if item.macs)
        lines.append(("", f"{graph.folded_macs:,} MACs on constants alone are folded, in {_first(places)}"))
    if graph.data_reads:
        reads = f"{times(sum(graph.data_reads.values()), 'value')} of the data ({', '.join(graph.data_reads)})"
        lines.append(("", f"Python read {reads}: another input may run other ops"))
    if verbose:
        lines += [("", f"  without MACs: {kind} × {num}") for kind, num in kinds.most_common()]
        lines += [("", f"  free (views): {op} × {num}") for op, num in sorted(graph.free_ops.items())]
        folded = sum((Counter({item.op: item.calls}) for item in graph.folded), Counter[str]())
        lines += [("", f"  folded (constants alone): {op} × {num}") for op, num in sorted(folded.items())]
    return lines


def times(number: int, word: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number} {word}{'s' if number != 1 else ''}"


def _uncounted(graph: LayerGraph) -> list[tuple[str, int, str]]:
    """(op, calls, modules it ran in) of every op without a rule."""
    ops = dict.fromkeys(item.op for item in graph.uncounted)
    rows = []
    for op in ops:
        items = [item for item in graph.uncounted if item.op == op]
        places = dict.fromkeys(item.module or graph.name for item in items)
        rows.append((op, sum(item.calls for item in items), _first(places)))
    return rows


def _first(names: Iterable[str]) -> str:
    """The first three, and how many more."""
    first, rest = list(names)[:3], list(names)[3:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")
