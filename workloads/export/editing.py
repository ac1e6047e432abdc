"""Small edits of an ONNX graph: marks and what feeds them, new nodes in place of old, unused weights out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workloads.export.marking import MARK_DOMAIN, MARK_OP
from workloads.onnx_import.naming import CLASSES_KEY, SCOPES_KEY

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

#: Writes the nodes that stand for one mark: (editor, input, output).
Writer = Callable[["Editor", str, str], None]


class Editor:
    """Rebuilds the nodes of a graph, one after the other.

    Args:
        model: changed in place.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self._nodes: list[NodeProto] = []
        self._stored = {tensor.name for tensor in model.graph.initializer}
        self._current: NodeProto | None = None

    def replace_marks(self, writers: dict[str, Writer]) -> None:
        """Put what a writer makes where its mark is; the nodes keep their order.

        Args:
            writers: text of the mark -> writer.
        """
        for node in list(self.model.graph.node):
            if (node.domain, node.op_type) != (MARK_DOMAIN, MARK_OP):
                self._nodes.append(node)
                continue
            self._current = node
            writers[mark_text(node)](self, node.input[0], node.output[0])
        self._current = None
        del self.model.graph.node[:]
        self.model.graph.node.extend(self._nodes)
        self.drop_unused()

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        output: str,
        *,
        domain: str = "",
        data_type: int = 1,
        **attributes: Any,
    ) -> str:
        """A node in the scope of the mark that it replaces; its output has the shape of the mark's.

        Args:
            op, inputs, output, domain, attributes: of the node.
            data_type: of the output, ONNX's number; 1 is float32.

        Returns:
            The name of its output.
        """
        from onnx import helper

        node = helper.make_node(op, list(inputs), [output], name=f"{op}_{output}", domain=domain, **attributes)
        if self._current is not None:
            for prop in self._current.metadata_props:
                if prop.key in (SCOPES_KEY, CLASSES_KEY):
                    node.metadata_props.add(key=prop.key, value=prop.value)
            self._declare(output, like=self._current.output[0], data_type=data_type)
        self._nodes.append(node)
        return output

    def _declare(self, name: str, *, like: str, data_type: int) -> None:
        """Give a new tensor the shape of another."""
        if name == like:
            return
        for value in self.model.graph.value_info:
            if value.name == like:
                new = self.model.graph.value_info.add()
                new.CopyFrom(value)
                new.name, new.type.tensor_type.elem_type = name, data_type
                return

    def constant(self, name: str, value: NDArray[Any] | TensorProto) -> str:
        """Store a tensor once under a name; the name."""
        if name not in self._stored:
            self._stored.add(name)
            self.model.graph.initializer.append(self._tensor(name, value))
        return name

    @staticmethod
    def _tensor(name: str, value: NDArray[Any] | TensorProto) -> TensorProto:
        from onnx import numpy_helper

        if isinstance(value, np.ndarray):
            return numpy_helper.from_array(np.array(value, order="C"), name)
        value.name = name
        return value

    def annotate(self, tensor: str, datatype: str) -> None:
        """Note the datatype of a tensor, as FINN and the qonnx package do."""
        item = self.model.graph.quantization_annotation.add(tensor_name=tensor)
        item.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)

    def drop_unused(self) -> None:
        """Remove initializers and shapes that no node names any more."""
        graph = self.model.graph
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        made = used | {name for node in graph.node for name in node.output}
        for items, keep in ((graph.initializer, used), (graph.value_info, made)):
            kept = [item for item in items if item.name in keep]
            del items[:]
            items.extend(kept)


def mark_text(node: NodeProto) -> str:
    """What was written on a mark; "" for any other node."""
    if (node.domain, node.op_type) != (MARK_DOMAIN, MARK_OP):
        return ""
    return next((item.s.decode() for item in node.attribute if item.name == "text"), "")


def shortest(name: str) -> str:
    """A module's name as a prefix of tensor names; the model itself is a layer under the name `model`."""
    return name or "model"


def scaled_integer(bits: int) -> str:
    """The datatype of values on a grid of 2^bits codes, in the words of the qonnx package."""
    return f"SCALEDINT<{bits}>"
