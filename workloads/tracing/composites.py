"""Composite ops without a rule, by the ops that they are made of: a sum of products is a contraction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from workloads.tracing.ops.rules import OpCall
from workloads.tracing.ops.vector_ops import SUMS
from workloads.tracing.tensors import tensors_in


class Composites:
    """The composite ops that are being decomposed, and the products of two tensors in them."""

    def __init__(self) -> None:
        self._running: list[str] = []
        self._products: set[str] = set()

    @contextmanager
    def decomposing(self, op: str) -> Iterator[None]:
        self._running.append(op)
        try:
            yield
        finally:
            self._running.pop()

    def contraction(self, call: OpCall, node: str, sources: Iterable[str]) -> str:
        """The outermost composite op, where this call in it sums products; "" otherwise.

        Args:
            call: that was made.
            node: of the graph that it became.
            sources: nodes that its inputs come from.
        """
        if not self._running:
            return ""
        factors = {id(tensor) for tensor in tensors_in(dict(call.arguments)) if tensor.numel() > 1}
        if call.op == "aten::mul" and len(factors) > 1:
            self._products.add(node)
        return self._running[0] if call.op in SUMS and not self._products.isdisjoint(sources) else ""
