"""Collects nodes and edges under unique names and makes a `LayerGraph` of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

from hwmodel.network.choice import FLOAT_BITS
from hwmodel.network.graph import Folded, LayerGraph, Node, Port, Tensor, Uncounted, VectorOp
from hwmodel.network.layer import Bits, Dims, Layer
from workloads.modules import join_names
from workloads.tracing.ops.rules import Contraction, OpCall, Vector
from workloads.tracing.scope import ModuleNames

#: Ops that ask about a tensor and do no work on it.
_QUESTIONS = ("prim::", "aten::_assert", "aten::sym_", "aten::is_same_size", "aten::_is_")


class GraphBuilder:
    """Nodes in order of execution, edges by value, and what was free or uncounted.

    Names: a layer bears the name of the module that owns its weight (`conv1`, then `conv1#2` when
    it runs again), and so does the single op of a torch.nn module without children (`bn1`); any other
    op the module it ran in and its own name (`attn.matmul`, then `attn.matmul_1`).
    """

    def __init__(self, names: ModuleNames) -> None:
        self._names = names
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], Tensor] = {}
        self._free: Counter[str] = Counter()
        self._reads: Counter[str] = Counter()
        self._folded: dict[tuple[str, str], tuple[int, int]] = {}
        self._uncounted: dict[str, tuple[str, str]] = {}
        self._uses: Counter[str] = Counter()
        self._kept: set[str] = set()
        self._unseen: Counter[tuple[str, str]] = Counter()

    # ---- nodes ---------------------------------------------------------------------------------

    def add_port(self, name: str, kind: Literal["input", "output"]) -> str:
        name = self._unique(name, "_")
        self._nodes[name] = Port(name=name, kind=kind)
        return name

    def add_layer(
        self,
        call: OpCall,
        contraction: Contraction,
        scope: str,
        owner: str | None,
        parameter: str,
        bits: Bits | None = None,
        stored: int | None = None,
    ) -> str:
        """A layer with MACs; `owner` and `parameter` name its weight, None and "" for two activations.

        `stored`: elements of the parameter, where W is gathered from it.
        """
        if contraction.kind == "matmul":
            owner, parameter, stored = None, "", None
        name = self._unique(owner, "#") if owner else self._functional(call, scope)
        self._nodes[name] = Layer(
            name=name,
            kind=contraction.kind,
            dims=Dims.of(contraction.dims),
            stride=contraction.stride,
            dilation=contraction.dilation,
            padding=contraction.padding,
            bits=bits,
            module=scope if owner is None else owner,
            parameter=parameter,
            parameter_elements=stored,
            has_bias=contraction.has_bias,
        )
        return name

    def add_vector(
        self,
        call: OpCall,
        rule: Vector,
        scope: str,
        elements_in: int,
        parameters: int = 0,
        pieces: tuple[str, ...] = (),
    ) -> str:
        """An op without MACs; `parameters` are the learned elements that it reads, `pieces` as in `VectorOp`."""
        name = self._unique(scope, "#") if self._names.is_single_op(scope) else self._functional(call, scope)
        self._nodes[name] = VectorOp(
            name=name,
            kind=rule.kind,
            elements_in=elements_in + rule.elements_gathered(call),
            elements_out=call.out.numel(),
            ops_per_element=rule.ops_per_element(call),
            module=scope,
            fused=rule.fused,
            parameters=parameters,
            pieces=pieces,
        )
        return name

    def add_uncounted(self, call: OpCall, scope: str, elements_in: int) -> str:
        """An op without a rule: its traffic is known, its arithmetic is not."""
        name = self._functional(call, scope)
        self._uncounted[name] = (call.op, scope)
        self._nodes[name] = VectorOp(
            name=name,
            kind="uncounted",
            elements_in=elements_in,
            elements_out=call.out.numel(),
            ops_per_element=0.0,
            module=scope,
        )
        return name

    def count_unseen(self, what: str, module: str) -> None:
        """Work that the route does not see at all, by the name of the code that does it."""
        self._unseen[what, module] += 1

    def keep(self, node: str) -> None:
        """The node is needed although no output of the network depends on it."""
        if node:
            self._kept.add(node)

    def count_free(self, op: str) -> None:
        if not op.startswith(_QUESTIONS):
            self._free[op] += 1

    def count_read(self, op: str) -> None:
        """Python reads a number that depends on the data."""
        if not op.startswith(_QUESTIONS):
            self._reads[op] += 1

    def add_folded(self, op: str, module: str, macs: int) -> None:
        """Work on constants alone, which is done ahead of time."""
        calls, total = self._folded.get((op, module), (0, 0))
        self._folded[op, module] = (calls + 1, total + macs)

    def connect(self, source: str, target: str, tensor: Tensor) -> None:
        """An edge; what comes from no node has none."""
        if source:
            self._edges.setdefault((source, target), tensor)

    def _functional(self, call: OpCall, scope: str) -> str:
        short = call.op.partition("::")[2].lstrip("_")
        return self._unique(join_names(scope, short), "_", first=1)

    def _unique(self, base: str, separator: str, first: int = 2) -> str:
        """`base`, then `base#2`, `base#3` (or `base_1`, `base_2` with `first=1`)."""
        while True:
            used = self._uses[base]
            self._uses[base] += 1
            name = base if used == 0 else f"{base}{separator}{used - 1 + first}"
            if name not in self._nodes:
                return name

    # ---- the graph -----------------------------------------------------------------------------

    def build(self, name: str, route: str, *, everything: bool = False) -> LayerGraph:
        """The graph of what the outputs and the kept nodes depend on: work that nothing reads is left out.

        Where some layer has bits the model is quantized, and the other layers with weights are float: 32 bits.

        Args:
            name: of the graph.
            route: how it was made.
            everything: leave nothing out, where not every edge is known.
        """
        outputs = [node.name for node in self._nodes.values() if isinstance(node, Port) and node.kind == "output"]
        read = set(self._nodes) if everything or not outputs else self._ancestors([*outputs, *self._kept])
        keep = {key for key, node in self._nodes.items() if key in read or isinstance(node, Port)}
        calls = Counter(entry for node, entry in self._uncounted.items() if node in keep) + self._unseen
        return LayerGraph(
            name,
            _float_where_unquantized([node for key, node in self._nodes.items() if key in keep]),
            [(u, v, tensor) for (u, v), tensor in self._edges.items() if u in keep and v in keep],
            uncounted=[Uncounted(op=op, module=module, calls=n) for (op, module), n in calls.items()],
            free_ops=dict(sorted(self._free.items())),
            data_reads=dict(sorted(self._reads.items())),
            folded=[Folded(op=op, module=m, calls=n, macs=macs) for (op, m), (n, macs) in self._folded.items()],
            route=route,
            aliases=self._names.aliases(
                {n.module for n in self._nodes.values() if isinstance(n, Layer) and n.weights}
            ),
        )

    def _ancestors(self, names: list[str]) -> set[str]:
        """The nodes that these depend on, and these."""
        parents: dict[str, list[str]] = {}
        for source, target in self._edges:
            parents.setdefault(target, []).append(source)
        found, waiting = set(names), list(names)
        while waiting:
            new = set(parents.get(waiting.pop(), ())) - found
            found |= new
            waiting.extend(new)
        return found


def _float_where_unquantized(nodes: list[Node]) -> list[Node]:
    if not any(isinstance(node, Layer) and node.bits for node in nodes):
        return nodes
    plain = Bits(w=FLOAT_BITS, i=FLOAT_BITS)
    return [
        replace(node, bits=plain) if isinstance(node, Layer) and node.weights and node.bits is None else node
        for node in nodes
    ]
