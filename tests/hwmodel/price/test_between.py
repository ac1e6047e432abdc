"""What lies between the MACs: pools behind their convolution, and what of a stream is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import (
    Choice,
    CostTable,
    Layer,
    LayerGraph,
    Port,
    Tensor,
    VectorOp,
    evaluate,
    list_accelerators,
    load_accelerator,
)
from tests.hwmodel.chips import without_residents

BYTE = 8
DRAM_PJ = 20.3  # of edge_npu, per bit either way
WHOLE, POOLED = 16 * 32 * 32, 16 * 16 * 16
CONV = Layer(name="conv", module="conv", dims=dict(K=16, C=3, OY=32, OX=32, FY=3, FX=3))
POINT = Layer(name="point", module="point", dims=dict(K=8, C=16, OY=16, OX=16))
RELU = VectorOp(name="relu", kind="activation", elements_in=WHOLE, elements_out=WHOLE, fused=True)
POOL = VectorOp(name="pool", kind="pool", elements_in=WHOLE, elements_out=POOLED, ops_per_element=4, fused=True)
SHAPES = {"in": (1, 3, 32, 32), "conv": (1, 16, 32, 32), "relu": (1, 16, 32, 32), "pool": (1, 16, 16, 16)}


def network(nodes, edges) -> LayerGraph:
    shapes = SHAPES | {"point": (1, 8, 16, 16)}
    return LayerGraph("pooled", nodes, [(u, v, Tensor(name=u, shape=shapes.get(u, (1, 1)))) for u, v in edges])


def pooled(*, skip_from: str = "") -> LayerGraph:
    """16x32x32 -> ReLU -> max pool 2 -> 1x1; a skip may be read by another output."""
    nodes = [Port(name="in", kind="input"), CONV, RELU, POOL, POINT, Port(name="out", kind="output")]
    edges = [("in", "conv"), ("conv", "relu"), ("relu", "pool"), ("pool", "point"), ("point", "out")]
    if skip_from:
        nodes.append(Port(name="skip", kind="output"))
        edges.append((skip_from, "skip"))
    return network(nodes, edges)


def written(cost, name: str) -> float:
    """Bytes of finished outputs of a layer whose partial sums never leave the chip."""
    return {item.name: item for item in cost.layers}[name].traffic_bits["dram", "O"] / BYTE


def between(cost, name: str = "conv") -> float:
    """Bytes that the vector operations move."""
    return {item.name: item for item in cost.layers}[name].traffic_bits["dram", "vector"] / BYTE


def test_a_pool_behind_its_convolution_writes_what_it_leaves():
    """Of 16 x 32 x 32 = 16,384 B the pool leaves 16 x 16 x 16 = 4,096 B; with the image that is the peak."""
    npu = without_residents("edge_npu")
    cost, alone = evaluate(pooled(), npu), evaluate(CONV, npu).layers[0]
    assert alone.traffic_bits["dram", "O"] == WHOLE * BYTE
    assert written(cost, "conv") == POOLED == 4_096
    assert between(cost) == 0
    assert cost.activation_bits == (3 * 32 * 32 + POOLED) * BYTE == 7_168 * BYTE
    saved = (WHOLE - POOLED) * BYTE * DRAM_PJ
    arithmetic = (WHOLE * 1 + POOLED * 4) * 0.03
    assert cost.layers[0].energy_pj == pytest.approx(alone.energy_pj - saved + arithmetic)
    assert cost.layers[0].cycles == alone.cycles  # an upper bound
    assert cost.layers[0].mapping == alone.mapping


def test_a_pool_that_is_not_fused_reads_and_writes():
    npu = without_residents("edge_npu")
    cost = evaluate(pooled(), npu, fuse=False)
    assert written(cost, "conv") == WHOLE
    assert between(cost) == WHOLE + POOLED == 20_480
    assert cost.activation_bits == (WHOLE + POOLED) * BYTE  # while the pool runs


@pytest.mark.parametrize(("source", "peak"), [("relu", WHOLE + POOLED + 8 * 16 * 16), ("pool", 7_168)])
def test_a_skip_taken_before_the_pool_keeps_both(source, peak):
    """The convolution's tensor is stored for the skip, so the pool reads it; a skip behind the pool is free."""
    cost = evaluate(pooled(skip_from=source), without_residents("edge_npu"))
    before = source == "relu"
    assert written(cost, "conv") == (WHOLE if before else POOLED)
    assert between(cost) == (20_480 if before else 0)
    assert cost.activation_bits == peak * BYTE


def test_a_skip_between_fused_operations_is_a_second_tensor():
    """The convolution's output and what the activation makes of it are both read later, so both are written."""
    cost = evaluate(pooled(skip_from="conv"), without_residents("edge_npu"), fuse=False)
    assert written(cost, "conv") + between(cost) == 2 * WHOLE + 20_480
    fused = evaluate(pooled(skip_from="conv"), without_residents("edge_npu"))
    assert written(fused, "conv") + between(fused) == WHOLE + POOLED


def test_an_activation_spelled_out_is_one_stream():
    """x * sigmoid(x): both read the stream of the convolution, and only the product is written."""
    sigmoid = VectorOp(name="sigmoid", kind="activation", elements_in=WHOLE, elements_out=WHOLE, fused=True)
    mul = VectorOp(name="mul", kind="mul", elements_in=2 * WHOLE, elements_out=WHOLE, fused=True)
    shape = SHAPES["conv"]
    graph = LayerGraph(
        "silu",
        [CONV, sigmoid, mul, Port(name="out", kind="output")],
        [(u, v, Tensor(name=u, shape=shape)) for u, v in
         (("conv", "sigmoid"), ("conv", "mul"), ("sigmoid", "mul"), ("mul", "out"))],
    )  # fmt: skip
    cost = evaluate(graph, without_residents("edge_npu"))
    assert written(cost, "conv") + between(cost) == WHOLE
    assert cost.activation_bits == WHOLE * BYTE


def test_a_scale_of_a_whole_tensor_writes_all_of_it():
    """Squeeze and excitation: 16 factors times 16 x 32 x 32 values: these are read, and as many are written."""
    factors = Layer(name="fc", module="fc", kind="linear", dims=dict(K=16, C=16))
    squeeze = VectorOp(name="squeeze", kind="pool", elements_in=WHOLE, elements_out=16, fused=True)
    scale = VectorOp(name="scale", kind="mul", elements_in=WHOLE + 16, elements_out=WHOLE, fused=True)
    shapes = {"conv": (1, 16, 32, 32), "squeeze": (1, 16), "fc": (1, 16), "scale": (1, 16, 32, 32)}
    graph = LayerGraph(
        "se",
        [CONV, squeeze, factors, scale, Port(name="out", kind="output")],
        [(u, v, Tensor(name=u, shape=shapes[u])) for u, v in
         (("conv", "squeeze"), ("squeeze", "fc"), ("fc", "scale"), ("conv", "scale"), ("scale", "out"))],
    )  # fmt: skip
    cost = evaluate(graph, without_residents("edge_npu"))
    assert between(cost, "conv") == WHOLE + 16  # the squeeze: somebody else reads its input
    assert written(cost, "fc") + between(cost, "fc") == WHOLE + WHOLE


def test_a_global_pool_cannot_be_scaled_back_in_its_own_stream():
    """tanh(x) * pool(tanh(tanh(x))): the factor is known when all of x has gone by, so x is stored and read."""
    first = VectorOp(name="first", kind="activation", elements_in=WHOLE, elements_out=WHOLE, fused=True)
    second = VectorOp(name="second", kind="activation", elements_in=WHOLE, elements_out=WHOLE, fused=True)
    squeeze = VectorOp(name="squeeze", kind="pool", elements_in=WHOLE, elements_out=16, fused=True)
    scale = VectorOp(name="scale", kind="mul", elements_in=WHOLE + 16, elements_out=WHOLE, fused=True)
    graph = LayerGraph(
        "x",
        [CONV, first, second, squeeze, scale, Port(name="out", kind="output")],
        [(u, v, Tensor(name=u, shape=(16,) if u == "squeeze" else SHAPES["conv"])) for u, v in
         (("conv", "first"), ("first", "second"), ("second", "squeeze"), ("first", "scale"), ("squeeze", "scale"),
          ("scale", "out"))],
    )  # fmt: skip
    cost = evaluate(graph, without_residents("edge_npu"))
    assert written(cost, "conv") + between(cost) == WHOLE + WHOLE + WHOLE  # x, x again, and the product


def test_on_a_gpu_a_pool_is_a_kernel_of_its_own():
    fused, alone = (evaluate(pooled(), load_accelerator("a100"), fuse=fuse) for fuse in (True, False))
    assert fused.cycles == alone.cycles
    assert fused.layers[0].traffic_bits["hbm2e", "vector"] == (WHOLE + POOLED) * 16  # native fp16


@settings(max_examples=15, deadline=None)
@given(data=st.data(), name=st.sampled_from(list_accelerators()), fuse=st.booleans())
def test_the_table_equals_evaluate_with_pools(data, name, fuse):
    graphs = [pooled(), pooled(skip_from="conv"), pooled(skip_from="relu"), normed(skip=True)]
    graph, accelerator = data.draw(st.sampled_from(graphs)), load_accelerator(name)
    choices = [Choice(w_bits=w, a_bits=a, density=d) for w, a, d in ((2, 4, 1.0), (8, 8, 1.0), (8, 3, 0.4))]
    table = CostTable.build(graph, accelerator, choices, fuse=fuse)
    picked = {module: data.draw(st.sampled_from(choices)) for module in table.modules}
    totals, cost = table.price(picked), evaluate(graph, accelerator, picked, fuse=fuse)
    for field in ("energy_pj", "cycles", "activation_bits", "weight_bits"):
        assert getattr(totals, field) == getattr(cost, field), field


def normed(*, skip: bool) -> LayerGraph:
    """A convolution and a batch norm of a scale and a shift for each of its 16 channels."""
    norm = VectorOp(name="norm", kind="norm", elements_in=WHOLE, elements_out=WHOLE, fused=True, parameters=32)
    nodes = [CONV, norm, Port(name="out", kind="output")]
    edges = [("conv", "norm"), ("norm", "out")]
    if skip:
        nodes.append(Port(name="skip", kind="output"))
        edges.append(("conv", "skip"))
    return LayerGraph("normed", nodes, [(u, v, Tensor(name=u, shape=SHAPES["conv"])) for u, v in edges])


def test_a_batch_norm_that_cannot_be_folded_reads_its_scale_and_shift():
    """Folded, it costs no traffic. Where the convolution's output is read elsewhere too, its weights must stay."""
    npu = without_residents("edge_npu")
    assert between(evaluate(normed(skip=False), npu)) == 0
    assert between(evaluate(normed(skip=True), npu)) == WHOLE + 32 * 4  # the second tensor, and 32-bit floats


def test_files_of_an_earlier_release_have_no_parameters():
    graph = normed(skip=False)
    plain = graph.to_dict()
    assert LayerGraph.from_dict(plain).vector_ops == graph.vector_ops
    for node in plain["nodes"]:
        node.pop("parameters", None)
    assert LayerGraph.from_dict(plain).vector_ops[0].parameters == 0
    assert "parameters" not in pooled().to_dict()["nodes"][2]
