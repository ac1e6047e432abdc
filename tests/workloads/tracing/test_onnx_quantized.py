"""Bit-widths and densities that an ONNX file declares, on graphs made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodel.network.layer import Bits
from workloads import trace_onnx

onnx = pytest.importorskip("onnx")
helper, numpy_helper, T = onnx.helper, onnx.numpy_helper, onnx.TensorProto

B, C, K, Y, X, R = 2, 3, 8, 6, 5, 3
MACS = B * K * C * (Y - R + 1) * (X - R + 1) * R * R
WEIGHT = np.arange(1, K * C * R * R + 1, dtype=np.float32).reshape(K, C, R, R) / 100


def save(path, nodes, initializers, *, x_type=T.FLOAT, x_shape=(B, C, Y, X), y_type=T.FLOAT, opset=21, domains=()):
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", x_type, list(x_shape))],
        [helper.make_tensor_value_info("y", y_type, None)],
        [
            tensor if isinstance(tensor, T) else numpy_helper.from_array(np.asarray(tensor), name)
            for name, tensor in initializers.items()
        ],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


def narrow(name, data_type, shape, value=1):
    return helper.make_tensor(name, data_type, shape, [value] * int(np.prod(shape)))


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"n_{outputs.split()[0]}", **attributes)


def only_layer(path, **options):
    (layer,) = trace_onnx(path, strict=True, **options).layers
    return layer


def test_qlinear_conv(tmp_path):
    """The types of x, w and y are the widths; the weight is zero where it equals its zero point."""
    weight = np.full((K, C, R, R), 7, dtype=np.int8)
    weight[: K // 4] = 3
    path = save(
        tmp_path / "m.onnx",
        [node("QLinearConv", "x xs xz w ws wz ys yz", "y")],
        {"xs": np.float32(1), "xz": np.uint8(0), "w": weight, "ws": np.float32(1), "wz": np.int8(3),
         "ys": np.float32(1), "yz": np.uint8(9)},
        x_type=T.UINT8,
        y_type=T.UINT8,
    )  # fmt: skip
    layer = only_layer(path)
    assert (layer.bits, layer.macs) == (Bits(w=8, i=8, o=8), MACS)
    assert layer.density.w == 1 - 1 / 4
    assert (layer.name, layer.module) == ("n_y", "n_y")


@pytest.mark.parametrize(
    ("op", "x_shape", "w_shape", "macs"),
    [("ConvInteger", (B, C, Y, X), (K, C, R, R), MACS), ("MatMulInteger", (B, 4, C), (C, K), B * 4 * C * K)],
)
def test_integer_ops_write_wide_numbers(tmp_path, op, x_shape, w_shape, macs):
    path = save(
        tmp_path / "m.onnx",
        [node(op, "x w", "y")],
        {"w": np.ones(w_shape, dtype=np.int8)},
        x_type=T.UINT8,
        x_shape=x_shape,
        y_type=T.INT32,
    )
    layer = only_layer(path)
    assert (layer.bits, layer.macs) == (Bits(w=8, i=8, o=32), macs)


def test_qlinear_matmul(tmp_path):
    path = save(
        tmp_path / "m.onnx",
        [node("QLinearMatMul", "x s xz w s wz s yz", "y")],
        {"s": np.float32(1), "xz": np.int8(0), "w": np.ones((C, K), np.int8), "wz": np.int8(0), "yz": np.int8(0)},
        x_type=T.INT8,
        x_shape=(B, 4, C),
        y_type=T.INT8,
    )
    layer = only_layer(path)
    assert (layer.kind, layer.bits, layer.macs) == ("linear", Bits(w=8, i=8, o=8), B * 4 * C * K)


@pytest.mark.parametrize(("w_type", "w_bits"), [(T.INT4, 4), (T.UINT4, 4), (T.INT8, 8), (T.INT16, 16)])
@pytest.mark.parametrize(("a_type", "a_bits"), [(T.UINT8, 8), (T.INT4, 4), (T.UINT16, 16)])
def test_quantize_dequantize_pairs(tmp_path, w_type, w_bits, a_type, a_bits):
    """x -> Q -> DQ -> Conv <- DQ <- int weight; Conv -> Relu -> Q: the output is as wide as that Q."""
    path = save(
        tmp_path / "m.onnx",
        [
            node("QuantizeLinear", "x s az", "xq"),
            node("DequantizeLinear", "xq s az", "xd"),
            node("DequantizeLinear", "w ws wz", "wd", axis=0),
            node("Conv", "xd wd", "c"),
            node("Relu", "c", "r"),
            node("QuantizeLinear", "r s oz", "rq"),
            node("DequantizeLinear", "rq s oz", "y"),
        ],
        {"s": np.float32(0.1), "az": narrow("az", a_type, []), "w": narrow("w", w_type, [K, C, R, R]),
         "ws": np.full(K, 0.1, np.float32), "wz": narrow("wz", w_type, [K], 0), "oz": np.uint8(0)},
    )  # fmt: skip
    graph = trace_onnx(path, strict=True)
    assert [layer.bits for layer in graph.layers] == [Bits(w=w_bits, i=a_bits, o=8)]
    assert (graph.macs, [op.kind for op in graph.vector_ops]) == (MACS, ["activation"])
    assert graph.layers[0].density.w == 1.0


def test_widths_pass_through_ops_that_keep_the_grid(tmp_path):
    path = save(
        tmp_path / "m.onnx",
        [
            node("QuantizeLinear", "x s z", "xq"),
            node("DequantizeLinear", "xq s z", "xd"),
            node("MaxPool", "xd", "p", kernel_shape=[2, 2]),
            node("Transpose", "p", "t", perm=[0, 2, 3, 1]),
            node("MatMul", "t w", "y"),
        ],
        {"s": np.float32(0.1), "z": np.int8(0), "w": np.ones((C, K), np.float32)},
    )
    layer = only_layer(path)
    assert layer.bits == Bits(w=32, i=8, o=32)
    assert layer.macs == B * (Y - 1) * (X - 1) * C * K


@pytest.mark.parametrize(("types", "bits"), [
    ((T.INT4, T.INT8), 8), ((T.INT8, T.INT4), 8), ((T.INT4, T.INT4), 4), ((T.INT4, None), 32), ((None, T.INT4), 32),
])  # fmt: skip
def test_a_concatenation_is_as_wide_as_its_widest_input(tmp_path, types, bits):
    """A float input makes it a float; the order of the inputs says nothing."""
    nodes, parts = [], []
    for index, kind in enumerate(types):
        if kind is not None:
            nodes += [node("QuantizeLinear", f"x s z{index}", f"q{index}"),
                      node("DequantizeLinear", f"q{index} s z{index}", f"d{index}")]  # fmt: skip
        parts.append("x" if kind is None else f"d{index}")
    zeros = {f"z{index}": narrow(f"z{index}", kind, [], 0) for index, kind in enumerate(types) if kind is not None}
    path = save(
        tmp_path / "m.onnx",
        [
            *nodes,
            node("Concat", " ".join(parts), "c", axis=1),
            node("DequantizeLinear", "w s wz", "wd"),
            node("Conv", "c wd", "y"),
        ],
        {"s": np.float32(0.1), "w": np.ones((K, 2 * C, R, R), np.int8), "wz": np.int8(0), **zeros},
    )
    layer = only_layer(path)
    assert (layer.bits, layer.macs) == (Bits(w=8, i=bits, o=32), 2 * MACS)


def test_float_layers_have_no_widths_of_their_own(tmp_path):
    path = save(tmp_path / "m.onnx", [node("Conv", "x w", "y")], {"w": WEIGHT})
    assert only_layer(path).bits is None


def test_an_average_leaves_the_grid(tmp_path):
    path = save(
        tmp_path / "m.onnx",
        [
            node("QuantizeLinear", "x s z", "xq"),
            node("DequantizeLinear", "xq s z", "xd"),
            node("AveragePool", "xd", "p", kernel_shape=[2, 2]),
            node("Conv", "p w", "y"),
        ],
        {"s": np.float32(0.1), "z": np.int8(0), "w": WEIGHT},
    )
    assert only_layer(path).bits is None


GENERAL = "qonnx.custom_op.general"


@pytest.mark.parametrize("domain", [GENERAL, "onnx.brevitas", "finn.custom_op.general"])
@pytest.mark.parametrize(("w_bits", "a_bits"), [(4.0, 3.0), (2.0, 8.0), (2.5, 4.0)])
def test_qonnx(tmp_path, domain, w_bits, a_bits):
    """Quant(x, scale, zero point, bit width); a fraction of a bit is stored as a whole one."""
    weight = WEIGHT.copy()
    weight[0] = 0.2  # 0.2 / 0.5 rounds to zero
    weight[1:] = 0.6
    path = save(
        tmp_path / "m.onnx",
        [
            node("Quant", "x s z ab", "xq", domain=domain, signed=0, narrow=0),
            node("Quant", "w s z wb", "wq", domain=domain, signed=1, narrow=1),
            node("Conv", "xq wq", "c"),
            node("BatchNormalization", "c one zero zero one", "b"),
            node("Relu", "b", "r"),
            node("Quant", "r s z ob", "y", domain=domain),
        ],
        {"s": np.float32(0.5), "z": np.float32(0), "ab": np.float32(a_bits), "wb": np.float32(w_bits),
         "ob": np.float32(5), "w": weight, "one": np.ones(K, np.float32), "zero": np.zeros(K, np.float32)},
        domains=[domain],
    )  # fmt: skip
    layer = only_layer(path)
    assert layer.bits == Bits(w=int(np.ceil(w_bits)), i=int(np.ceil(a_bits)), o=5)
    assert layer.density.w == 1 - 1 / K


def test_bipolar_weights_and_truncated_activations(tmp_path):
    path = save(
        tmp_path / "m.onnx",
        [
            node("Trunc", "x s z in out", "xt", domain=GENERAL),
            node("BipolarQuant", "w s", "wq", domain=GENERAL),
            node("Conv", "xt wq", "y"),
        ],
        {"s": np.float32(1), "z": np.float32(0), "in": np.float32(10), "out": np.float32(6), "w": WEIGHT},
        domains=[GENERAL],
    )
    layer = only_layer(path)
    assert (layer.bits, layer.density.w) == (Bits(w=1, i=6, o=32), 1.0)


def test_finn_datatypes(tmp_path):
    """Weights stored as floats with a `finn_datatype`, thresholds that write two bits."""
    path = save(
        tmp_path / "m.onnx",
        [
            node("Conv", "x w", "c"),
            node("MultiThreshold", "c t", "y", domain="finn.custom_op.general", out_dtype="UINT2"),
        ],
        {"w": WEIGHT, "t": np.ones((K, 3), np.float32)},
        domains=["finn.custom_op.general"],
    )
    model = onnx.load(path)
    for name, datatype in (("x", "UINT8"), ("w", "INT3")):
        note = onnx.TensorAnnotation(tensor_name=name)
        note.quant_parameter_tensor_names.append(onnx.StringStringEntryProto(key="finn_datatype", value=datatype))
        model.graph.quantization_annotation.append(note)
    onnx.save(model, path)
    assert only_layer(path).bits == Bits(w=3, i=8, o=2)


def test_weights_of_four_bits_in_blocks(tmp_path):
    """com.microsoft.MatMulNBits: as language models are shipped."""
    n, k = 6, 32
    path = save(
        tmp_path / "m.onnx",
        [node("MatMulNBits", "x w s", "y", domain="com.microsoft", K=k, N=n, bits=4, block_size=16)],
        {"w": np.zeros((n, k // 16, 8), np.uint8), "s": np.ones((n * k // 16,), np.float32)},
        x_shape=(B, 7, k),
        domains=["com.microsoft"],
    )
    layer = only_layer(path)
    assert (layer.macs, layer.weights, layer.bits) == (B * 7 * k * n, k * n, Bits(w=4, i=32, o=32))


def test_dynamic_quantization_is_decomposed(tmp_path):
    """DynamicQuantizeLinear is the function that ONNX defines for it, and ends in eight bits."""
    path = save(
        tmp_path / "m.onnx",
        [
            node("DynamicQuantizeLinear", "x", "xq xs xz"),
            node("MatMulInteger", "xq w xz", "m"),
            node("Cast", "m", "y", to=T.FLOAT),
        ],
        {"w": np.ones((C, K), np.int8)},
        x_shape=(B, 4, C),
    )
    layer = only_layer(path)
    assert (layer.macs, layer.bits) == (B * 4 * C * K, Bits(w=8, i=8, o=32))


@pytest.mark.parametrize("pruned", [0, 1, K // 2, K])
def test_density_is_measured(tmp_path, pruned):
    """Filters of zeros; a weight of zeros alone was never trained, and is taken as dense."""
    weight = WEIGHT.copy()
    weight[:pruned] = 0
    path = save(tmp_path / "m.onnx", [node("Conv", "x w", "y")], {"w": weight})
    assert only_layer(path).density.w == (1 - pruned / K if pruned < K else 1.0)


def test_a_stray_zero_is_not_pruning(tmp_path):
    weight = np.ones((64, 64), np.float32)
    weight[0, 0] = 0
    path = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"w": weight}, x_shape=(1, 64))
    assert only_layer(path).density.w == 1.0


def test_a_width_that_is_not_in_the_file(tmp_path):
    path = save(
        tmp_path / "m.onnx",
        [node("Quant", "x s z b", "q", domain=GENERAL), node("Conv", "q w", "y")],
        {"s": np.float32(1), "z": np.float32(0), "b": np.float32(64), "w": WEIGHT},
        domains=[GENERAL],
    )
    with pytest.raises(ValueError, match=r"n_q.*bit width of Quant must be between 1 and 32, but is 64"):
        trace_onnx(path)
