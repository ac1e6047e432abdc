"""The recorder of the tracer, as the importer needs it: weights of modules that the file does not name, bits."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from hwmodel.errors import TraceError
from hwmodel.network.layer import Bits
from workloads.onnx_import.naming import OnnxNames
from workloads.onnx_import.values import Node, meta_tensor
from workloads.tracing.builder import GraphBuilder
from workloads.tracing.ops.contractions import reached_padding
from workloads.tracing.ops.rules import Contraction, OpCall, Rewrite, Vector, rule_of
from workloads.tracing.recorder import Recorder
from workloads.tracing.scope import Scope

#: Names that the exporters of PyTorch make up for weights that they rewrote.
_MADE_UP = re.compile(r"onnx::.*|val_\d+|\W.*")


class OnnxBuilder(GraphBuilder):
    """Finds a module for weights that bear no module's name: that of the node that reads them first.

    Attributes:
        module: of the node that runs.
        made: layers that were added since it was last emptied.
    """

    def __init__(self, names: OnnxNames) -> None:
        super().__init__(names)
        self.module = ""
        self.made: list[str] = []
        self._adopted: dict[str, tuple[str, str]] = {}

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
        if owner == "" and contraction.kind != "matmul":
            owner, parameter = self._adopt(parameter)
        name = super().add_layer(call, contraction, scope, owner, parameter, bits, stored)
        self.made.append(name)
        return name

    def _adopt(self, weight: str) -> tuple[str, str]:
        """(module, parameter) of a weight: two weights never get the same."""
        if weight not in self._adopted:
            name = "weight" if _MADE_UP.fullmatch(weight) else weight
            taken = set(self._adopted.values())
            names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
            self._adopted[weight] = next((self.module, free) for free in names if (self.module, free) not in taken)
        return self._adopted[weight]

    def count_free(self, op: str) -> None:
        if op != "aten::empty":  # a stand-in for a tensor
            super().count_free(op)


class OnnxRecorder(Recorder):  # type: ignore[no-untyped-call]  # torch leaves its base untyped
    """Records the torch functions that stand for ONNX nodes."""

    def __init__(self, builder: OnnxBuilder, scope: Scope) -> None:
        super().__init__(builder, scope, has_inputs=True)
        self._builder = builder
        self._repetitions: Counter[tuple[str, str]] = Counter()
        #: Stand-in of a padded tensor -> (zeros before it, sizes) along its last dims.
        self._margins: MutableMapping[torch.Tensor, tuple[tuple[int, ...], tuple[int, ...]]] = (
            WeakTensorKeyDictionary()
        )

    def is_active(self, tensor: torch.Tensor) -> bool:
        """The tensor depends on an input of the network."""
        return self.origin_of(tensor) is not None

    def enter(self, path: str, module: str) -> None:
        """A node starts to run; `module` owns the weights in it that bear no module's name."""
        self.scope.path = path
        self._builder.module = module

    def take_made(self) -> list[str]:
        """The layers added since the last call."""
        made, self._builder.made = self._builder.made, []
        return made

    def source(self, tensor: torch.Tensor) -> str:
        """The node of the graph that wrote a tensor; "" for a weight."""
        value = self.origin_of(tensor)
        return "" if value is None else value.source

    # ---- stand-ins -----------------------------------------------------------------------------

    def reshaped(self, tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """What `tensor` holds in another shape, at no cost."""
        new = meta_tensor(shape, tensor.dtype)
        self._alias(new, tensor)
        if tensor in self._weights:
            self._weights[new] = self._weights[tensor]
        return new

    def padded(self, tensor: torch.Tensor, before: Sequence[int], after: Sequence[int]) -> torch.Tensor:
        """What `tensor` holds with zeros around its last dims, at no cost."""
        inner = len(before)
        grown = [size + b + a for size, b, a in zip(tensor.shape[-inner:], before, after, strict=True)]
        new = self.reshaped(tensor, (*tensor.shape[:-inner], *grown))
        self._margins[new] = (tuple(before), tuple(tensor.shape[-inner:]))
        return new

    def stored_elements(self, tensor: torch.Tensor) -> int:
        if tensor not in self._margins:
            return super().stored_elements(tensor)
        _, sizes = self._margins[tensor]
        return math.prod((*tensor.shape[: -len(sizes)], *sizes))

    def contraction(self, call: OpCall, rule: Callable[[OpCall], Contraction | Vector]) -> Contraction | Vector:
        made = super().contraction(call, rule)
        stream = call.arguments.get("input")
        if isinstance(made, Vector) or not isinstance(stream, torch.Tensor) or stream not in self._margins:
            return made
        before, sizes = self._margins[stream]
        names = [("OY", "FY"), ("OX", "FX")]
        outputs, taps = ([made.dims[pair[index]] for pair in names] for index in (0, 1))
        pads = reached_padding((0, *before)[-2:], (1, *sizes)[-2:], outputs, taps, made.stride, made.dilation)
        return replace(made, padding=pads)

    def part_of(self, weight: torch.Tensor, name: str, shape: Sequence[int]) -> torch.Tensor:
        """A part of a weight, as the parameter `name` of its module."""
        new = meta_tensor(shape, torch.float32)
        if self.is_active(weight):
            self._alias(new, weight)
        else:
            owner = self._weights.get(weight)
            module = (owner.module if owner is not None else "") or self._builder.module
            self.add_weight(new, module, name, is_parameter=True)
        return new

    def repetition(self, op: str) -> int:
        """How often an op ran in this module before."""
        self._repetitions[self.scope.path, op] += 1
        return self._repetitions[self.scope.path, op] - 1

    # ---- ops without a torch function ----------------------------------------------------------

    def add_computed(self, op: str, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
        """Numbers known before the network runs: they belong to the weight that they come from."""
        self.builder.count_free(f"onnx::{op}")
        self._record_weights(f"onnx::{op}", [t for t in inputs if not self.is_active(t)], tuple(outputs))

    def add_foreign(
        self, op: str, node: Node, captured: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]
    ) -> None:
        """An op by the rule that a user registered under its name, else uncounted.

        The rule sees the inputs as "0", "1", ... beside the attributes; `captured` are values that the
        graphs inside a Loop or If read.
        """
        inputs = [*node.tensors, *captured]
        active = [tensor for tensor in inputs if self.is_active(tensor)]
        if not active:
            self.builder.add_folded(op, self.scope.path, 0)
            self._record_weights(op, inputs, tuple(outputs))
            return
        rule = rule_of(op)
        if isinstance(rule, Rewrite):
            raise TraceError(f"the rule of {op!r} is a Rewrite, which holds for torch ops only")
        call = OpCall(
            op=op,
            arguments={**{str(index): t for index, t in enumerate(node.tensors)}, **node.attributes},
            output=tuple(outputs),
            weights=frozenset(id(tensor) for tensor in node.tensors if not self.is_active(tensor)),
        )
        self._record(call, rule, active, [])
