"""Module names of the nodes and weights of an ONNX file.

The exporters of PyTorch leave them in three places: the dynamo exporter writes
`pkg.torch.onnx.name_scopes` (with the classes beside it) on every node; the TorchScript exporter
names nodes by their path, `/layer1/layer1.0/conv1/Conv`; both name a weight that they did not
rewrite like the parameter, `layer1.0.conv1.weight`. In other files a node is its own module.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from torch import nn

from workloads.tracing.scope import ModuleNames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import NodeProto

SCOPES_KEY = "pkg.torch.onnx.name_scopes"
CLASSES_KEY = "pkg.torch.onnx.class_hierarchy"

_PARAMETER = re.compile(r"(\w+(?:\.\w+)*)\.([A-Za-z_]\w*)")
_CALLED_AGAIN = re.compile(r"(.+)_\d+")
_MACS = re.compile(r"torch\.nn\.modules\.(conv|linear|rnn|container|transformer)\b|MultiheadAttention")
_WITH_MACS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Einsum"}
_NO_WORK = {
    "Constant",
    "Identity",
    "Shape",
    "Reshape",
    "Flatten",
    "Transpose",
    "Unsqueeze",
    "Squeeze",
    "Cast",
    "Gather",
}


def split_parameter(name: str) -> tuple[str, str] | None:
    """`layer1.0.conv1.weight` as (`layer1.0.conv1`, `weight`); None for a name that no module gave."""
    found = _PARAMETER.fullmatch(name)
    return (found[1], found[2]) if found else None


class OnnxNames(ModuleNames):
    """The module of every node of one graph.

    Args:
        nodes: of the graph, in order.
    """

    def __init__(self, nodes: Iterable[NodeProto]) -> None:
        super().__init__(nn.Module())
        self._single: set[str] = set()
        by_path: dict[str, list[str]] = {}
        for node in nodes:
            path, is_single = _from_metadata(node) or _from_name(node)
            if is_single:
                self._single.add(path)
            if node.name.startswith("/"):
                by_path.setdefault(path, [])
                if node.op_type not in _NO_WORK:
                    by_path[path].append(node.op_type)
        self._add_paths(by_path)

    def _add_paths(self, by_path: dict[str, list[str]]) -> None:
        """Paths of the TorchScript exporter: a leaf with one op without MACs is a module of one op."""
        parents = {path[:end] for path in by_path for end in range(len(path)) if path[end] == "."}
        again = {
            path: found[1]
            for path in by_path
            if (found := _CALLED_AGAIN.fullmatch(path)) and by_path.get(found[1]) == by_path[path]
        }
        for path, ops in by_path.items():
            if path and len(ops) == 1 and ops[0] not in _WITH_MACS and path not in parents:
                self._single.add(path)
        self._again = {path: first for path, first in again.items() if path in self._single}

    def path_of(self, node: NodeProto) -> str:
        """The module that a node ran in; "" at the top."""
        path, _ = _from_metadata(node) or _from_name(node)
        return self._again.get(path, path)

    def module_of(self, node: NodeProto) -> str:
        """The owner of weights without a module's name: the path, outside of PyTorch the node itself."""
        is_torch = node.name.startswith("/") or any(prop.key == SCOPES_KEY for prop in node.metadata_props)
        return self.path_of(node) or ("" if is_torch else node.name or node.output[0])

    def is_single_op(self, name: str) -> bool:
        return name in self._single


def _from_metadata(node: NodeProto) -> tuple[str, bool] | None:
    """(path, a torch.nn module of one op) as the dynamo exporter writes them."""
    found = {prop.key: prop.value for prop in node.metadata_props}
    try:
        scopes = ast.literal_eval(found[SCOPES_KEY])
        classes = ast.literal_eval(found.get(CLASSES_KEY, "[]"))
    except (KeyError, ValueError, SyntaxError):
        return None
    if not isinstance(scopes, list) or not scopes:
        return None
    path = str(scopes[-2]).partition("@")[0] if len(scopes) > 1 else ""
    kind = str(classes[-2]) if isinstance(classes, list) and len(classes) == len(scopes) > 1 else ""
    return path, bool(path) and kind.startswith("torch.nn.modules.") and not _MACS.search(kind)


def _from_name(node: NodeProto) -> tuple[str, bool]:
    """(path, the node is its own module) from the name of a node."""
    if node.name.startswith("/"):
        path: list[str] = []
        for part in node.name.split("/")[1:-1]:
            if path and part.startswith(f"{path[-1]}."):  # layer1/layer1.0
                path[-1] = part
            else:
                path.append(part)
        return ".".join(path), False
    made_up = re.fullmatch(rf"(node_)?{re.escape(node.op_type)}_?\d*", node.name, re.IGNORECASE)
    return ("", False) if made_up or not node.name else (node.name, True)
