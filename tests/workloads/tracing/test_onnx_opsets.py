"""Older op sets of ONNX, outputs that nobody reads, and integer tensors that the file declares."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hwmodel.errors import TraceError
from workloads import trace, trace_onnx

onnx = pytest.importorskip("onnx")
helper, T = onnx.helper, onnx.TensorProto
node = helper.make_node


def weights(*shape, kind=np.float32):
    """Numbers without a zero."""
    return np.ones(shape, kind)


def write(path, nodes, inputs, arrays, opset, *, kind=T.FLOAT, infos=(), outputs=("y",)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, T.UNDEFINED, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
        value_info=list(infos),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    onnx.save(model, path)
    return path


# ---- op sets ---------------------------------------------------------------------------------------


class Shapes(nn.Module):
    """Everything that PyTorch exports as arithmetic on shapes: sizes, slices, splits, pads, flattening."""

    def __init__(self, *, resizes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8 * 4 * 4, 10)
        self.resizes = resizes

    def forward(self, x):
        batch, _, height, width = x.shape
        x = functional.pad(functional.relu6(self.conv(x)), (1, 1, 1, 1))[:, :, 1:-1, 1:-1]
        if self.resizes:
            x = functional.interpolate(x, size=(height // 2, width // 2))
        x = x.reshape(batch, 8, height // 2 * (width // 2)).view(batch, 8, height // 2, -1)
        x = torch.cat(torch.split(x, 4, dim=1), 1).view(x.size(0), -1)
        return self.fc(x - x.mean(dim=1, keepdim=True)).unsqueeze(1).squeeze(1)


@pytest.mark.parametrize("opset", range(7, 14))
def test_pytorchs_exports_of_every_age(tmp_path, opset):
    """Nothing is folded by the exporter, so the file computes the shapes, in the forms of its op set."""
    model, x = Shapes(resizes=opset >= 9).eval(), torch.zeros(2, 3, 8, 8)  # interpolate cannot be written before 9
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model, (x,), tmp_path / "m.onnx", dynamo=False, opset_version=opset, do_constant_folding=False,
                input_names=["x"], dynamic_axes={"x": {0: "batch", 2: "height", 3: "width"}}, verbose=False,
            )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    found = trace_onnx(tmp_path / "m.onnx", shapes={"x": (2, 3, 8, 8)}, strict=True)
    assert found.macs == trace(model, x).macs == 2 * (8 * 4 * 4 * 27 + 128 * 10)


@pytest.mark.parametrize("opset", range(7, 26))
def test_arithmetic_on_shapes_in_the_form_of_its_op_set(tmp_path, opset):
    """x (2, 3, 4, 6) -> (6, 24) through Slice, ReduceProd, Split, Squeeze, Unsqueeze, Cast, Div, Concat."""
    arrays = {"w": weights(24, 5), "half": np.array([2], np.int64)}

    def with_ints(op, reads, gives, since, **attributes):
        """Numbers as attributes; as inputs, in their order, from an op set on."""
        if opset < since:
            return node(op, reads, gives, **{name: v for name, v in attributes.items() if v is not None})
        names = []
        for name, value in attributes.items():
            key = f"{gives[0]}.{name}" if value is not None else ""
            names.append(key)
            arrays.update({key: np.array(value, np.int64)} if key else {})
        return node(op, [*reads, *names], gives)

    nodes = [
        node("Shape", ["x"], ["shape"]),
        with_ints("Slice", ["shape"], ["rows"], 10, starts=[0], ends=[2]),  # (2, 3)
        with_ints("ReduceProd", ["rows"], ["six"], 18, axes=[0]),  # (6,)
        with_ints("Slice", ["shape"], ["rest"], 10, starts=[2], ends=[4]),  # (4, 6)
        with_ints("Split", ["rest"], ["four", "width"], 13, split=[1, 1]),
        node("Mul", ["four", "width"], ["area"]),
        node("Mul", ["area", "half"], ["twice"]),
        node("Cast", ["twice"], ["real"], to=T.FLOAT),
        node("Cast", ["half"], ["real half"], to=T.FLOAT),
        node("Div", ["real", "real half"], ["back"]),
        node("Floor", ["back"], ["floor"]),
        node("Cast", ["floor"], ["columns"], to=T.INT64),
        with_ints("Squeeze", ["columns"], ["scalar"], 13, axes=[0]),
        with_ints("Unsqueeze", ["scalar"], ["again"], 13, axes=[0]),
        node("Concat", ["six", "again"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["matrix"]),
        node("MatMul", ["matrix", "w"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, {"x": [2, 3, 4, 6]}, arrays, opset)
    assert trace_onnx(path, strict=True).macs == 6 * 24 * 5


def test_numbers_that_cannot_be_computed_are_named(tmp_path):
    """Not "they depend on the input": they do not."""
    arrays = {"t": np.array([1, -1]), "w": weights(12, 5), "wrong": np.array([[2, 2], [2, 2], [2, 2]])}
    nodes = [
        node("Concat", ["t", "wrong"], ["target"], axis=0),  # ranks 1 and 2
        node("Reshape", ["x", "target"], ["r"]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 2, 2]}, arrays, 12)
    with pytest.raises(TraceError, match="Concat"):
        trace_onnx(path)
    nodes[0] = node("Einsum", ["t", "wrong"], ["target"], equation="i,j->k")
    with pytest.raises(TraceError, match=r"'target'.*Einsum"):
        trace_onnx(write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 2, 2]}, arrays, 12))


# ---- outputs that nobody reads ---------------------------------------------------------------------

CONV = 36 * 4 * 27
AFFINE = {name: np.ones(4, np.float32) for name in ("s", "b", "m", "v")}


@pytest.mark.parametrize("opset", [7, 9, 13, 22])
@pytest.mark.parametrize(
    "tail",
    [
        [node("Dropout", ["c"], ["d", "mask"]), node("Relu", ["d"], ["y"])],
        [node("BatchNormalization", ["c", "s", "b", "m", "v"], ["y", "rm", "rv", "sm", "sv"])],
        [node("MaxPool", ["c"], ["y", "indices"], kernel_shape=[2, 2])],
        [node("Relu", ["c"], ["y"]), node("Warp", ["c"], ["nowhere"], domain="com.acme")],
        [node("Split", ["c"], ["y", "unread"], axis=1)],
    ],
    ids=lambda tail: tail[-1].op_type,
)
def test_outputs_that_nobody_reads(tmp_path, tail, opset):
    nodes = [node("Conv", ["x", "w"], ["c"]), *tail]
    path = write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 8, 8]}, {"w": weights(4, 3, 3, 3), **AFFINE}, opset)
    graph = trace_onnx(path, strict=True)
    assert graph.macs == CONV
    assert [layer.module for layer in graph.layers] == ["c"]


def test_one_of_two_outputs_of_an_unknown_op_is_enough(tmp_path):
    """The shape of the other is not in the file, and nobody asks."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Warp", ["c"], ["warped", "offsets"], domain="com.acme"),
        node("Conv", ["warped", "v"], ["y"]),
    ]
    arrays = {"w": weights(4, 3, 3, 3), "v": weights(2, 4, 1, 1)}
    infos = [helper.make_tensor_value_info("warped", T.FLOAT, [1, 4, 6, 6])]
    graph = trace_onnx(write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 8, 8]}, arrays, 13, infos=infos))
    assert graph.macs == CONV + 36 * 2 * 4
    assert [item.op for item in graph.uncounted] == ["com_acme::Warp"]


def test_a_read_output_without_a_shape_is_refused(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n", "rm", "rv"], training_mode=1),
        node("Mul", ["n", "rm"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 8, 8]}, {"w": weights(4, 3, 3, 3), **AFFINE}, 15)
    with pytest.raises(TraceError, match=r"BatchNormalization.*'rm' is read"):
        trace_onnx(path)


# ---- integer tensors -------------------------------------------------------------------------------

TYPES = {"INT8": (T.INT8, np.int8, 8), "UINT8": (T.UINT8, np.uint8, 8), "INT16": (T.INT16, np.int16, 16)}


@pytest.mark.parametrize("declared", [True, False], ids=["value_info", "inferred"])
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize(
    "between",
    [
        [],
        [node("Relu", ["c"], ["d"])],
        [node("MaxPool", ["c"], ["d"], kernel_shape=[1, 1])],
        [node("Add", ["c", "c"], ["d"])],
        [node("Add", ["c", "c"], ["e"]), node("Relu", ["e"], ["f"]), node("Concat", ["f", "f"], ["g"], axis=2),
         node("AveragePool", ["g"], ["d"], kernel_shape=[2, 1], strides=[2, 1])],
    ],
    ids=lambda nodes: "-".join(item.op_type for item in nodes) or "none",
)  # fmt: skip
def test_tensors_declared_as_integers_keep_their_width(tmp_path, between, name, declared):
    """Every tensor of the file is of one type: every operand and output has its width."""
    kind, numpy_kind, bits = TYPES[name]
    nodes = [node("Conv", ["x", "w"], ["c"]), *between, node("Conv", ["d" if between else "c", "v"], ["y"])]
    arrays = {"w": weights(4, 3, 3, 3, kind=numpy_kind), "v": weights(4, 4, 3, 3, kind=numpy_kind)}
    written = {name for item in nodes for name in item.output}
    infos = [
        helper.make_tensor_value_info(name, kind, None) for name in sorted(written) if declared and name != "y"
    ]
    path = write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 8, 8]}, arrays, 14, kind=kind, infos=infos)
    widths = [(layer.bits.w, layer.bits.i, layer.bits.o) for layer in trace_onnx(path).layers]
    assert widths == [(bits, bits, bits)] * 2


def test_a_wide_accumulator_and_a_float_between_are_not_narrow(tmp_path):
    """Declared INT32 and FLOAT: what reads them reads 32 bits, whatever was narrow before."""
    for kind in (T.INT32, T.FLOAT):
        nodes = [node("Conv", ["x", "w"], ["c"]), node("Conv", ["c", "v"], ["y"])]
        arrays = {"w": weights(4, 3, 3, 3, kind=np.int8), "v": weights(4, 4, 3, 3, kind=np.int8)}
        infos = [helper.make_tensor_value_info("c", kind, [1, 4, 6, 6])]
        path = write(tmp_path / "m.onnx", nodes, {"x": [1, 3, 8, 8]}, arrays, 14, kind=T.INT8, infos=infos)
        assert [(layer.bits.w, layer.bits.i) for layer in trace_onnx(path).layers] == [(8, 8), (8, 32)]
