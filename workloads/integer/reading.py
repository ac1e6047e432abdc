"""The forward of a model as a list of operations that integer arithmetic knows, by torch.fx."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer


@dataclass(frozen=True, kw_only=True, eq=False)
class Op:
    """One operation.

    Attributes:
        name: unique; of a module its own name.
        kind: `input`, `layer`, `norm`, `clamp`, `add`, `max_pool`, `avg_pool`, `mean`, `move`, `concat`,
            `table` or `output`.
        inputs: names of the operations that it reads.
        node: of the torch.fx graph.
        target: name of the module; "" for a function.
        module: the layer or batch norm.
        options: what else it needs to know, by kind.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    node: fx.Node
    target: str = ""
    module: nn.Module | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, QuantLayer) or super().is_leaf_module(m, module_qualified_name)


def trace_forward(model: nn.Module) -> fx.GraphModule:
    """The torch.fx graph of a model, quantized layers whole.

    Raises:
        ConfigError: its forward cannot be traced, such as one that branches on values.
    """
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever the model's own code raises on a proxy
        raise ConfigError(
            f"the forward of {type(model).__name__} cannot be followed op by op: {_plainly(error)}. Write it "
            "without branches on values and with one tensor in."
        ) from error
    traced = fx.GraphModule(model, graph)
    traced.graph.eliminate_dead_code()
    return traced


def _plainly(error: Exception) -> str:
    """What the model's code did, without the tracer's words for it."""
    if isinstance(error, fx.proxy.TraceError):
        return "a branch, loop or index depends on the values of a tensor"
    return str(error).replace("Proxy", "tensor")


class _Shapes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.found[n] = tuple(value.shape)
        return value


@torch.no_grad()
def output_shapes(traced: fx.GraphModule, example: torch.Tensor) -> dict[fx.Node, tuple[int, ...]]:
    """Node -> shape of its output on an example."""
    shapes = _Shapes(traced)
    device = next((parameter.device for parameter in traced.parameters()), example.device)
    shapes.run(example.to(device))
    return shapes.found


def read_graph(model: nn.Module, traced: fx.GraphModule | None = None) -> list[Op]:
    """The operations of a model in order.

    Args:
        model: one tensor in, one out.
        traced: its graph, where it is known already.

    Raises:
        ConfigError: an operation without integer arithmetic here, or a forward that cannot be traced.
    """
    reader = _Reader(model)
    for node in (traced or trace_forward(model)).graph.nodes:
        reader.read(node)
    return reader.ops


class _Reader:
    """Reads nodes in order; `names` maps a node to the operation that stands for it."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.ops: list[Op] = []
        self.names: dict[fx.Node, str] = {}
        self.shapes: set[fx.Node] = set()

    def read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if any(op.kind == "input" for op in self.ops):
                raise ConfigError("an integer network takes one input, but the model has several")
            self._add(node, "input", ())
        elif node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                raise ConfigError("an integer network has one output tensor, but the model returns several")
            self._add(node, "output", (node.args[0],))
        elif node.op == "call_module":
            self._read_module(node)
        elif not self._is_shape(node):
            self._read_function(node)

    def _is_shape(self, node: fx.Node) -> bool:
        """Sizes, and what is computed from them: Python numbers, no tensors."""
        sources = node.all_input_nodes
        asks = node.target in ("size", "dim") or (node.target is getattr and node.args[1] in ("shape", "ndim"))
        if asks or (sources and all(source in self.shapes for source in sources)):
            self.shapes.add(node)
            return True
        return False

    def _add(self, node: fx.Node, kind: str, sources: tuple[fx.Node, ...], **more: Any) -> None:
        target = str(node.target) if node.op == "call_module" else ""
        taken = {op.name for op in self.ops}
        name = target if target and target not in taken else node.name
        self.names[node] = name
        module = more.pop("module", None)
        inputs = tuple(self.names[source] for source in sources)
        self.ops.append(
            Op(name=name, kind=kind, inputs=inputs, node=node, target=target, module=module, options=more)
        )

    def _same(self, node: fx.Node, source: fx.Node) -> None:
        self.names[node] = self.names[source]

    def _read_module(self, node: fx.Node) -> None:
        module = self.modules[str(node.target)]
        source = _source(node)
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            self._add(node, "layer", (source,), module=module)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            self._add(node, "norm", (source,), module=module)
        elif isinstance(module, (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)):
            self._same(node, source)
        elif isinstance(module, nn.Hardtanh):  # ReLU6 is one
            self._add(node, "clamp", (source,), low=float(module.min_val), high=float(module.max_val))
        elif isinstance(module, nn.ReLU):
            self._add(node, "clamp", (source,), low=0.0, high=None)
        elif isinstance(module, (nn.MaxPool1d, nn.MaxPool2d)):
            self._add(node, "max_pool", (source,), apply=module)
        elif isinstance(module, nn.AvgPool2d):
            self._add_average(
                node, source, module.kernel_size, module.stride, module.padding, module.ceil_mode,
                module.count_include_pad, module.divisor_override,
            )  # fmt: skip
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            self._add(node, "avg_pool", (source,), size=_pair(module.output_size))
        elif isinstance(module, nn.Flatten):
            self._add(node, "move", (source,), apply=module)
        elif isinstance(module, TABLE_MODULES):
            self._add(node, "table", (source,), apply=module)
        else:
            raise _unknown(node, type(module).__name__)

    def _read_function(self, node: fx.Node) -> None:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        read = FUNCTIONS.get(name)
        if read is None:
            raise _unknown(node, str(name))
        read(self, node)

    def read_add(self, node: fx.Node) -> None:
        if node.kwargs or not all(isinstance(arg, fx.Node) for arg in node.args[:2]) or len(node.args) != 2:
            raise ConfigError(f"{node.name!r}: an integer add takes two tensors, but got {node.args}")
        first, second = node.args
        assert isinstance(first, fx.Node) and isinstance(second, fx.Node)
        self._add(node, "add", (first, second))

    def read_clamp(self, node: fx.Node, low: float | None, high: float | None) -> None:
        self._add(node, "clamp", (_source(node),), low=low, high=high)

    def read_concat(self, node: fx.Node) -> None:
        tensors = _argument(node, 0, "tensors", ())
        assert isinstance(tensors, (list, tuple))
        self._add(node, "concat", tuple(tensors), dim=_argument(node, 1, "dim", 0))

    def read_mean(self, node: fx.Node) -> None:
        dims = _argument(node, 1, "dim", None)
        keepdim = bool(_argument(node, 2, "keepdim", False))
        if dims is None:
            raise ConfigError(f"{node.name!r}: a mean over everything has no place in an integer network")
        self._add(node, "mean", (_source(node),), dims=dims, keepdim=keepdim)

    def read_max_pool(self, node: fx.Node) -> None:
        self._add(node, "max_pool", (_source(node),), apply=_bound(node))

    def read_average(self, node: fx.Node) -> None:
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        defaults = (None, None, 0, False, True, None)
        values = [_argument(node, n + 1, name, defaults[n]) for n, name in enumerate(names)]
        self._add_average(node, _source(node), *values)

    def read_adaptive(self, node: fx.Node) -> None:
        self._add(node, "avg_pool", (_source(node),), size=_pair(_argument(node, 1, "output_size", None)))

    def read_move(self, node: fx.Node) -> None:
        self._add(node, "move", (_source(node),), apply=_bound(node))

    def read_reshape(self, node: fx.Node) -> None:
        shape = node.args[1] if len(node.args) == 2 else node.args[1:]
        if not (isinstance(shape, (tuple, list)) and len(shape) == 2):
            raise ConfigError(f"{node.name!r}: only a reshape to (N, -1) is known here, but got {shape}")
        self._add(node, "move", (_source(node),), apply=nn.Flatten())

    def read_pad(self, node: fx.Node) -> None:
        mode, value = _argument(node, 2, "mode", "constant"), _argument(node, 3, "value", None)
        if mode != "constant" or value not in (None, 0, 0.0):
            raise ConfigError(f"{node.name!r}: padding must be zeros, but got mode={mode!r}, value={value!r}")
        self._add(node, "move", (_source(node),), apply=_bound(node))

    def read_identity(self, node: fx.Node) -> None:
        self._same(node, _source(node))

    def read_table(self, node: fx.Node) -> None:
        self._add(node, "table", (_source(node),), apply=_bound(node))

    def _add_average(
        self, node: fx.Node, source: fx.Node, kernel: Any, stride: Any, padding: Any, ceil: Any, inside: Any,
        divisor: Any,
    ) -> None:  # fmt: skip
        padded = any(_pair(padding))
        if ceil or divisor is not None or (padded and not inside):
            raise ConfigError(
                f"{node.name!r}: an average pool must divide by the same number everywhere: without ceil_mode and "
                "divisor_override, and with count_include_pad where it pads"
            )
        kernel = _pair(kernel)
        stride = kernel if stride in (None, [], ()) else _pair(stride)
        self._add(node, "avg_pool", (source,), kernel=kernel, stride=stride, padding=_pair(padding))


TABLE_MODULES = (
    nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Mish,
)  # fmt: skip
_TABLES = (
    "tanh", "sigmoid", "silu", "gelu", "hardswish", "hardsigmoid", "leaky_relu", "elu", "softplus", "mish",
)  # fmt: skip

_FUNCTIONS: dict[tuple[str, ...], Callable[[_Reader, fx.Node], None]] = {
    ("add", "add_", "iadd"): _Reader.read_add,
    ("relu", "relu_"): lambda reader, node: reader.read_clamp(node, 0.0, None),
    ("relu6",): lambda reader, node: reader.read_clamp(node, 0.0, 6.0),
    ("cat", "concat", "concatenate"): _Reader.read_concat,
    ("mean",): _Reader.read_mean,
    ("max_pool1d", "max_pool2d"): _Reader.read_max_pool,
    ("avg_pool2d",): _Reader.read_average,
    ("adaptive_avg_pool2d",): _Reader.read_adaptive,
    ("flatten", "getitem", "squeeze", "unsqueeze", "permute", "transpose"): _Reader.read_move,
    ("view", "reshape"): _Reader.read_reshape,
    ("pad",): _Reader.read_pad,
    ("dropout", "contiguous", "dropout2d"): _Reader.read_identity,
    _TABLES: _Reader.read_table,
}
FUNCTIONS = {name: read for names, read in _FUNCTIONS.items() for name in names}


def _unknown(node: fx.Node, what: str) -> ConfigError:
    return ConfigError(
        f"{node.name!r} ({what}) has no integer arithmetic here. Known: convolutions, linear, batch norm behind, "
        "ReLU, ReLU6, add, concatenation, max, average and adaptive average pooling, mean, flatten, slicing, zero "
        f"padding, and by table {', '.join(_TABLES)}."
    )


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0] if node.args else node.kwargs.get("input")
    assert isinstance(source, fx.Node)
    return source


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _bound(node: fx.Node) -> Callable[[torch.Tensor], torch.Tensor]:
    """The node's function of its first argument, the others filled in."""
    rest, kwargs = node.args[1:], {key: value for key, value in node.kwargs.items() if key != "input"}
    if node.op == "call_method":
        return operator.methodcaller(str(node.target), *rest, **kwargs)
    function: Any = node.target
    return lambda x: function(x, *rest, **kwargs)


def _pair(value: Any) -> tuple[Any, Any]:
    return (value[0], value[-1]) if isinstance(value, (tuple, list)) else (value, value)
