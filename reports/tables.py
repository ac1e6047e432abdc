"""Tables of graphs and costs for the terminal: an indented tree, totals, and what was not counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports import units

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from hwmodel import NetworkCost
    from hwmodel.accelerator import Accelerator
    from hwmodel.graph import LayerGraph

OK, WARNING = "✓", "!"


def safe_name(name: object) -> str:
    """A name as one printable line: control characters become escapes, so that none reaches the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def safe_text(name: object, style: str = "") -> Text:
    """The name as rich text that is never read as markup."""
    from rich.text import Text

    return Text(safe_name(name), style=style)


def new_table(*headers: str, width: int = 80) -> Table:
    """A table without a frame; a leading `<` aligns a column left. The first column folds, others stay whole."""
    from rich.table import Table

    gap = 2 if width >= 96 else 1
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(
            header.lstrip("<"),
            justify="left" if header.startswith("<") else "right",
            no_wrap=index > 0,
            overflow="fold" if index == 0 else "ellipsis",
        )
    return table


def print_lines(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Lines of (mark, text): `!` in yellow, a tick in green, others plain; wrapped at the terminal's width."""
    styles = {WARNING: "yellow", OK: "green"}
    for mark, text in lines:
        console.print(safe_text(f"{mark} {text}" if mark else text, styles.get(mark, "")), overflow="fold")


# ---- cost ----------------------------------------------------------------------------------------


def cost_table(cost: NetworkCost, *, name: str = "total", depth: int | None = None, width: int = 80) -> Table:
    """The indented tree of what each layer costs, under a row with the totals.

    Args:
        cost: as `hwmodel.evaluate` gives it.
        name: of the network.
        depth: layers with more dots in their module name are summed at this depth; None shows all.
        width: columns of the terminal; narrow ones get a smaller gap.
    """
    frame = cost.to_dataframe()
    table = new_table("<Layer", "<Out", "<W/A", "Density", "MACs", "Cycles", "Energy", "<Bound", width=width)
    table.add_row(safe_text(name, "bold"), *_cost_cells(frame, out=""), "")
    groups = _groups(frame, depth)
    for index, (label, part) in enumerate(groups):
        branch = "└─" if index == len(groups) - 1 else "├─"
        out = str(part["out_shape"].iloc[-1]).replace("x", "×") if len(part) == 1 else ""
        table.add_row(safe_text(branch + label), *_cost_cells(part, out=out), safe_text(_bound(part)))
    return table


def _cost_cells(part: pd.DataFrame, out: str) -> list[Text]:
    return [
        safe_text(out),
        safe_text(f"{_bits(part, 'w_bits', 'weights')}/{_bits(part, 'a_bits', 'macs')}"),
        safe_text(f"{_mean(part, 'density', 'weights'):.2f}"),
        safe_text(units.count(part["macs"].sum())),
        safe_text(units.count(part["cycles"].sum())),
        safe_text(units.energy(part["energy_pj"].sum())),
    ]


def _mean(part: pd.DataFrame, column: str, by: str) -> float:
    """Mean of a column weighted by another; the plain mean where the weights are all zero.

    By weights, a module that is called twice counts once.
    """
    if by == "weights":
        part = part[~(part["module"].duplicated() & (part["module"] != ""))]
    total = part[by].sum()
    return float((part[column] * part[by]).sum() / total) if total else float(part[column].mean())


def _bits(part: pd.DataFrame, column: str, by: str) -> str:
    """One width for all rows, else their weighted average with a decimal."""
    widths = part[column].unique()
    return str(int(widths[0])) if len(widths) == 1 else f"{_mean(part, column, by):.1f}"


def _bound(part: pd.DataFrame) -> str:
    """What bounds most of the cycles."""
    return str(part.groupby("bound", sort=False)["cycles"].sum().idxmax())


def _groups(frame: pd.DataFrame, depth: int | None) -> list[tuple[str, pd.DataFrame]]:
    """(label, rows) in order of first appearance."""
    if depth is None:
        return [(str(row.layer), frame.iloc[[index]]) for index, row in enumerate(frame.itertuples())]
    keys = frame["layer"].map(lambda name: ".".join(str(name).split(".")[:depth]))
    parts = [(str(key), frame[keys == key]) for key in dict.fromkeys(keys)]
    return [(_group_label(key, len(part)), part) for key, part in parts]


def _group_label(key: str, num_layers: int) -> str:
    return f"{key} ({num_layers} layers)" if num_layers > 1 else key


def cost_lines(
    cost: NetworkCost, graph: LayerGraph, *, accelerator: Accelerator | None = None, verbose: bool = False
) -> list[tuple[str, str]]:
    """The lines under the table: totals, the notes of the model, and what was not counted.

    Args:
        cost: of `graph`.
        graph: names the ops without MACs.
        accelerator: that it was priced on, for its clock and its buffer.
        verbose: name the ops priced as memory only, and the free ones.
    """
    clock = f" @ {units.frequency(accelerator.clock_hz)}" if accelerator else ""
    totals = [
        f"latency {units.seconds(cost.latency_s)}{clock}",
        f"energy {units.energy(cost.energy_pj)}",
        f"weights {units.data_size(cost.weight_bits)}",
        f"peak activations {units.data_size(cost.activation_bits)}{_fits(cost.activation_bits, accelerator)}",
        f"memory {units.data_size(cost.memory_bits)}",
    ]
    lines = [("", " · ".join(totals))]
    frame = cost.to_dataframe()
    if frame["w_bits"].nunique() > 1:
        mean = _mean(frame, "w_bits", "weights")
        lines.append(
            ("", f"average weight precision {mean:.4f} bit, over conv and linear weights (no bias, no norm)")
        )
    lines += [(WARNING, note) for note in cost.notes if "LOWER BOUND" not in note]
    priced = "priced by traffic and vector cycles"
    if accelerator is not None and not accelerator.levels:
        priced = f"that {accelerator.name} does not price"
    return lines + coverage_lines(graph, priced=priced, verbose=verbose)


def _fits(bits: float, accelerator: Accelerator | None) -> str:
    """Whether the largest on-chip memory can hold that much; empty where there is none."""
    memories = [] if accelerator is None else list(accelerator.memories().values())
    sized = [(memory.size_bits, memory.name) for memory in memories if memory.size_bits is not None]
    if not sized:
        return ""
    size, name = max(sized)
    return f" ({'fits' if bits <= size else 'exceeds'} {name}, {units.data_size(size)})"


def coverage_lines(graph: LayerGraph, *, priced: str = "", verbose: bool = False) -> list[tuple[str, str]]:
    """What was counted and what was not; never empty.

    Args:
        graph: names its ops without MACs, free ops and ops without a rule.
        priced: what became of the ops without MACs.
        verbose: name them, and the free ones.
    """
    lines = [
        (
            WARNING,
            f"{op} ({calls} call{'s' if calls > 1 else ''}, in {places}) has no rule: the total is a LOWER BOUND.",
        )
        for op, calls, places in _uncounted(graph)
    ]
    kinds = Counter(op.kind for op in graph.vector_ops)
    if not lines:
        others = f"{len(kinds)} kind{'s' if len(kinds) != 1 else ''} of op without MACs {priced}".rstrip()
        hint = " (-v)" if kinds and not verbose else ""
        lines.append((OK, f"all MACs counted; {others if kinds else 'no other op in the graph'}{hint}"))
    if verbose:
        lines += [("", f"  without MACs: {kind} × {num}") for kind, num in kinds.most_common()]
        lines += [("", f"  free (views): {op} × {num}") for op, num in sorted(graph.free_ops.items())]
    return lines


def _uncounted(graph: LayerGraph) -> list[tuple[str, int, str]]:
    """(op, calls, modules it ran in) of every op without a rule."""
    ops = dict.fromkeys(item.op for item in graph.uncounted)
    rows = []
    for op in ops:
        items = [item for item in graph.uncounted if item.op == op]
        places = list(dict.fromkeys(item.module or graph.name for item in items))
        named = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
        rows.append((op, sum(item.calls for item in items), named))
    return rows


# ---- graph ---------------------------------------------------------------------------------------


def graph_table(graph: LayerGraph, *, depth: int | None = None, width: int = 80) -> Table:
    """The indented tree of the layers with MACs: kind, output, filter, weights, MACs."""
    table = new_table("<Layer", "<Kind", "<Out", "<Filter", "Weights", "MACs", width=width)
    weights, macs = sum(graph.weights.values()), graph.macs
    table.add_row(safe_text(graph.name, "bold"), "", "", "", units.count(weights), units.count(macs))
    groups = _layer_groups(graph, depth)
    for index, (label, layers) in enumerate(groups):
        branch = "└─" if index == len(groups) - 1 else "├─"
        one = layers[0] if len(layers) == 1 else None
        cells = ["", "", ""] if one is None else [one.kind, out_shape(one), _filter(one)]
        owned = {layer.module or layer.name: layer.weights for layer in layers}
        table.add_row(
            safe_text(branch + label), *(safe_text(cell) for cell in cells),
            units.count(sum(owned.values())), units.count(sum(layer.macs for layer in layers)),
        )  # fmt: skip
    return table


def _layer_groups(graph: LayerGraph, depth: int | None) -> list[tuple[str, list[Any]]]:
    if depth is None:
        return [(layer.name, [layer]) for layer in graph.layers]
    groups: dict[str, list[Any]] = {}
    for layer in graph.layers:
        groups.setdefault(".".join(layer.name.split(".")[:depth]), []).append(layer)
    return [(_group_label(key, len(layers)), layers) for key, layers in groups.items()]


def out_shape(layer: Any) -> str:
    """`64×112×112` of a convolution, `1000` of a linear layer; the batch is left out."""
    d = layer.dims
    channels = d.G * d.K
    return f"{channels}×{d.OY}×{d.OX}" if d.OY * d.OX > 1 or layer.kind == "conv" else str(channels)


def _filter(layer: Any) -> str:
    d = layer.dims
    if layer.kind != "conv":
        return f"{d.C}→{d.K}" + (f" ×{d.G}" if d.G > 1 else "")
    groups = f" /{d.G}" if d.G > 1 else ""
    return f"{d.FY}×{d.FX}{groups}" + (f" s{layer.stride[0]}" if max(layer.stride) > 1 else "")


def graph_lines(graph: LayerGraph, *, verbose: bool = False) -> list[tuple[str, str]]:
    """The lines under the tree: exact totals, and what was not counted."""
    totals = [
        f"{len(graph.layers)} layers",
        f"{sum(graph.weights.values()):,} weights (no bias, no norm)",
        f"{graph.macs:,} MACs",
        f"{len(graph.vector_ops)} other ops",
        f"traced by {graph.route or 'hand'}",
    ]
    return [("", " · ".join(totals)), *coverage_lines(graph, verbose=verbose)]
