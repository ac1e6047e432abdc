"""Errors of a forward pass in the user's terms: which module, which shapes, what had run."""

from __future__ import annotations

import re

from hwmodel.errors import TraceError
from hwmodel.network.graph import LayerGraph
from workloads.tracing.scope import Scope

MAX_VISITS = 20

_CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+) channels")
_ABSENT = re.compile(
    r"not compiled with (\w+) enabled|not linked with support for (\w+) devices|no (NVIDIA) driver", re.I
)
_REDUCED = re.compile(r"same reduction dim, but got \[(\d+), (\d+)\] X \[(\d+), (\d+)\]")
_PRODUCT = re.compile(r"\(?(\d+)x(\d+) and (\d+)x(\d+)\)?")


def forward_error(error: Exception, scope: Scope, model_name: str) -> TraceError:
    """The error of a forward that failed, with the innermost module and the layers before it."""
    place = scope.failing or f"{model_name} (outside any submodule)"
    lines = [f"Tracing failed in {place}: {_reason(str(error)) or type(error).__name__}."]
    if scope.inputs:
        lines.append(f"Its inputs have the shapes {', '.join(map(str, scope.inputs))}.")
    lines.append(f"Layers that ran: {len(scope.visits)}{' (below)' if scope.visits else ''}.")
    hidden = len(scope.visits) - MAX_VISITS
    if hidden > 0:
        lines.append(f"  ... {hidden} before")
    lines.extend(f"  {visit.module or model_name} -> {visit.shape}" for visit in scope.visits[-MAX_VISITS:])
    return TraceError("\n".join(lines))


def _reason(text: str) -> str:
    """The first line of a message; mismatched channels and matrices as what was expected."""
    channels = _CHANNELS.search(text)
    if channels:
        return f"expected {channels[1]} channels, got {channels[2]}"
    product = _PRODUCT.search(text) or _REDUCED.search(text)
    if product and product[2] != product[3]:
        shapes = f"{product[1]}x{product[2]} and {product[3]}x{product[4]}"
        return f"expected {product[3]} features, got {product[2]} ({shapes})"
    absent = _ABSENT.search(text)
    if absent:
        device = next(filter(None, absent.groups())).lower().replace("nvidia", "cuda")
        return (
            f"it asks for device {device!r}, which is absent on this machine. Trace it on the CPU: the counts do "
            "not depend on the device"
        )
    return text.strip().partition("\n")[0].rstrip(".")


def refuse_uncounted(graph: LayerGraph) -> None:
    """Strict mode.

    Raises:
        TraceError: an op had no rule.
    """
    if not graph.uncounted:
        return
    ops = "\n".join(
        f"  {item.op} ({item.calls} call{'s' if item.calls > 1 else ''}, in {item.module or 'the top module'})"
        for item in graph.uncounted
    )
    if graph.route == "hooks":
        raise TraceError(
            f"{graph.name}: only hooks on modules could follow this model, and they do not see:\n{ops}\n"
            "Strict mode refuses that; without strict the totals are a LOWER BOUND."
        )
    name = graph.uncounted[0].op
    raise TraceError(
        f"{graph.name}: every op must have a rule in strict mode, but these have none:\n{ops}\n"
        f"Register one: workloads.tracing.register_op({name!r}, Vector(kind='elementwise', ops=1)) for an op "
        "without MACs, or a function from OpCall to Contraction; without strict the totals are a LOWER BOUND."
    )
