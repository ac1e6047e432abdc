"""The table of ONNX ops: which torch function stands for which node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workloads.onnx_import import elementwise, movement, products
from workloads.onnx_import.values import Function, Node

if TYPE_CHECKING:
    from onnx import ModelProto

#: Domain -> op -> function.
_MICROSOFT = {**products.MICROSOFT, **elementwise.MICROSOFT}
_TABLE: dict[str, dict[str, Function]] = {
    "": {**products.FUNCTIONS, **elementwise.FUNCTIONS, **movement.FUNCTIONS},
    "com.microsoft": _MICROSOFT,
    **dict.fromkeys(
        ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas", "finn"), elementwise.QONNX
    ),
}


def function_of(node: Node) -> Function | None:
    """The function of a node's op; None where it has none. Fused ops also stand in the default domain."""
    found = _TABLE.get(node.domain, {}).get(node.op)
    return found or (_TABLE[""].get(node.op) if node.domain == "com.microsoft" else None)


def decomposed(model: ModelProto) -> ModelProto:
    """The model with standard ops that have no function here replaced by the body that ONNX defines for them."""
    import onnx
    import onnx.inliner

    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)
    composite = set()
    for op in {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")} - _TABLE[""].keys():
        if onnx.defs.has(op, max_inclusive_version=version):
            schema: Any = onnx.defs.get_schema(op, max_inclusive_version=version)
            if schema.has_function or schema.has_context_dependent_function:
                composite.add(("", op))
    if not composite:
        return model
    inlined: ModelProto = onnx.inliner.inline_selected_functions(
        model, sorted(composite), exclude=False, inline_schema_functions=True
    )
    return inlined
