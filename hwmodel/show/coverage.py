"""What a trace counted and what it did not, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hwmodel.network.graph import LayerGraph
from hwmodel.network.names import OK, WARNING, times


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
