"""Layers in stripes: against every grouping of small networks, and by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel import (
    Bits,
    Choice,
    CostTable,
    Density,
    Layer,
    LayerGraph,
    Port,
    Tensor,
    VectorOp,
    evaluate,
    load_accelerator,
)
from hwmodel.cost import layer_cost, price_situation
from hwmodel.errors import MappingError
from hwmodel.nest.task import ROOMS, Stay, Task
from hwmodel.network.stripes import stripes
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Situation
from hwmodel.price.stripes import least
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.place.test_placement import is_inner, vector_by_hand, width_of, with_buffer

STAYING = TINY.replace("size: 64 B", "size: 96 B\n    resident: [I, O]")
#: The same, but weights pass the buffer by, so that they cannot wait there.
WITHOUT_WEIGHTS = STAYING.replace("holds: [W, I, O]\n    size: 96 B", "holds: [I, O]\n    size: 96 B")


def convolutions(*shapes: dict[str, int], image: tuple[int, int, int], **options) -> LayerGraph:
    """A chain of convolutions of K square filters F with stride s and padding p, on an image (C, rows, columns)."""
    layers, (channels, rows, columns) = [], image
    for n, shape in enumerate(shapes):
        f, s, p = shape.get("F", 1), shape.get("s", 1), shape.get("p", 0)
        oy, ox = (rows + 2 * p - f) // s + 1, (columns + 2 * p - f) // s + 1
        dims = dict(K=shape["K"], C=channels, OY=oy, OX=ox, FY=f, FX=f)
        if shape.get("depthwise"):
            dims = dict(G=channels, OY=oy, OX=ox, FY=f, FX=f)
        pads = tuple((p, max(0, (out - 1) * s + f - p - size)) for out, size in ((oy, rows), (ox, columns)))
        layers.append(Layer(name=f"c{n}", module=f"c{n}", dims=dims, stride=s, padding=pads, **options))
        channels, rows, columns = shape["K"], oy, ox
    nodes = [Port(name="in", kind="input"), *layers, Port(name="out", kind="output")]
    sizes = [(1, *image), *((1, shape["K"], a.dims.OY, a.dims.OX) for shape, a in zip(shapes, layers, strict=True))]
    edges = [
        (a.name, b.name, Tensor(name=a.name, shape=size))
        for (a, b), size in zip(itertools.pairwise(nodes), sizes, strict=True)
    ]
    return LayerGraph("chain", nodes, edges)


# ---- the stripes of a layer -----------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    oy=st.integers(1, 30), fy=st.integers(1, 5), s=st.integers(1, 3), d=st.integers(1, 3), rows=st.integers(1, 30),
    data=st.data(),
)  # fmt: skip
def test_stripes_cover_a_layer(oy, fy, s, d, rows, data):
    """Row by row: which stored input rows each stripe needs, against the sum over the kinds of stripes."""
    reach = (oy - 1) * s + (fy - 1) * d + 1
    top = data.draw(st.integers(0, min(reach, (fy - 1) * d)))
    bottom = data.draw(st.integers(0, min(reach - top, (fy - 1) * d)))
    layer = Layer(
        name="x", dims=dict(OY=oy, FY=fy, K=2, C=3), stride=(s, 1), dilation=(d, 1),
        padding=((top, bottom), (0, 0)),
    )  # fmt: skip
    found = stripes(layer, rows)
    assert sum(part.dims.OY * count for part, count in found) == oy
    assert min(rows, oy) == found[0][0].dims.OY
    needed = 0
    for first in range(0, oy, rows):
        last = min(first + rows, oy)
        low, high = first * s, (last - 1) * s + (fy - 1) * d + 1
        needed += max(0, min(high, reach - bottom) - max(low, top))
    assert sum(part.stored_inputs * count for part, count in found) == 3 * needed


# ---- every grouping -------------------------------------------------------------------------------


def groupings(plan: Plan, first: int = 0):
    """Every set of groups of consecutive layers, each in a number of stripes, with its weights on chip or not."""
    yield ()
    for group, numbers in plan.options:
        if group.first >= first:
            for others in groupings(plan, group.last + 1):
                for weights in (False, True):
                    yield ((group, numbers, weights), *others)


def all_fused(graph: LayerGraph, accelerator, optimize: str):
    """(score, groups) of every grouping and placement that fits."""
    plan = Plan.of(graph, accelerator)
    keeper, index = accelerator.keeper, {tensor.name: n for n, tensor in enumerate(plan.tensors)}
    width = [width_of(graph, tensor.name) for tensor in plan.tensors]
    bits = [tensor.elements * w for tensor, w in zip(plan.tensors, width, strict=True)]
    names = {tensor.name: w for tensor, w in zip(plan.tensors, width, strict=True)}
    movable = {index[tensor.name] for tensor in plan.tensors if is_inner(graph, tensor.name)}
    for groups in set(groupings(plan)):
        streamed = {n for group, _, _ in groups for n in group.inner}
        free = sorted(movable - streamed)
        subsets = itertools.chain.from_iterable(itertools.combinations(free, k) for k in range(len(free) + 1))
        for inside in map(set, subsets):
            try:
                score = one_by_hand(graph, plan, accelerator, groups, inside, bits, names, optimize)
            except MappingError:
                continue
            if score is not None:
                yield score, groups, inside
    assert keeper is not None


def one_by_hand(graph, plan, accelerator, groups, inside, bits, names, optimize, area=0.0, pinned=frozenset()):
    """Score of one grouping and placement; None where it does not fit, or is not to be tried.

    area: kept for the weights of the layers that are pinned [bit].
    """
    keeper, outer = accelerator.keeper, accelerator.levels[-1].memories[0]
    of_layer = {n: item for item in groups for n in range(item[0].first, item[0].last + 1)}
    energy = cycles = 0.0
    for n, (layer, work) in enumerate(zip(plan.layers, plan.works, strict=True)):
        output = names[plan.tensors[work.output].name] if work.output is not None else layer.bits.out
        stored = max((names[plan.tensors[t].name] for t in work.inputs), default=layer.bits.i)
        sized = layer.with_bits(replace(layer.bits, o=output))
        lies_in = {"I": bool(work.inputs) and set(work.inputs) <= inside, "O": work.output in inside}
        lies_in["W"] = n in pinned and n not in of_layer
        taken = area + sum(bits[t] for t in plan.alive.steps[work.step] if t in inside)
        parts, load = [(sized, 1)], (0.0, 0)
        if n in of_layer:
            group, numbers, weights = of_layer[n]
            before = {t for t in plan.alive.steps[group.begin] if t in inside}
            pairs = [sum(bits[t] for t in group.inner[max(k - 1, 0) : k + 1]) for k in range(len(group.inner))]
            if area + sum(bits[t] for t in before) + max(pairs) <= keeper.size_bits:
                return None  # its tensors fit as they are
            lines = 0
            for k, t in enumerate(group.inner):
                reader = plan.layers[group.first + k + 1]
                high = math.ceil(reader.dims.OY / numbers.count)
                window = (high - 1) * reader.stride[0] + (reader.dims.FY - 1) * reader.dilation[0] + 1
                rows = shape_of(graph, plan.tensors[t].name)[2]
                lines += bits[t] // rows * min(window, rows)
            taken = area + sum(bits[t] for t in before) + lines
            if group.output in inside:
                taken += bits[group.output]
            if weights:
                if "W" not in keeper.holds:
                    return None
                members = plan.layers[group.first : group.last + 1]
                taken += sum(member.elements("W") * member.bits.w for member in members)
                mine = layer.elements("W") * layer.bits.w
                load = (
                    mine * (outer.read_pj_per_bit + keeper.write_pj_per_bit),
                    math.ceil(max(mine / outer.read_bits_per_cycle, mine / keeper.write_bits_per_cycle)),
                )
                lies_in["W"] = True
            lies_in["I"], lies_in["O"] = lies_in["I"] or n > group.first, lies_in["O"] or n < group.last
            parts = [(part, 1) for part in cut(sized, math.ceil(layer.dims.OY / numbers.count))]
        if taken > keeper.size_bits:
            return None
        room = max(part * keeper.size_bits for part in ROOMS if part * keeper.size_bits <= keeper.size_bits - taken)
        stay = Stay(
            resident=tuple(operand for operand in "WIO" if lies_in.get(operand)),
            room_bits=room if room < keeper.size_bits else None,
            i_bits=stored if stored != layer.bits.i else None,
        )
        for part, count in parts:
            cost = layer_cost(part, accelerator, optimize, stay=stay, unwritten=work.unwritten)
            energy, cycles = energy + count * cost.energy_pj, cycles + count * cost.cycles
        energy, cycles = energy + load[0], cycles + load[1]
    for step, alive in enumerate(plan.alive.steps):
        is_fused = any(group.begin <= step <= group.end for group, _, _ in groups)
        if not is_fused and area + sum(bits[t] for t in alive if t in inside) > keeper.size_bits:
            return None
    for vector in plan.vectors:
        more_energy, more_cycles = vector_by_hand(plan, accelerator, vector, inside, names)
        energy, cycles = energy + more_energy, cycles + more_cycles
    return energy if optimize == "energy" else cycles


def cut(layer: Layer, rows: int) -> list[Layer]:
    """Every stripe of a layer, by the stored rows that it reads: those from `top` on of what the filter reaches."""
    top, bottom = layer.padding[0]
    step, reach = layer.stride[0], layer.i_shape[3]
    found = []
    for first in range(0, layer.dims.OY, rows):
        last = min(first + rows, layer.dims.OY)
        reads = range(first * step, (last - 1) * step + layer.dims.FY)
        above, below = sum(row < top for row in reads), sum(row >= reach - bottom for row in reads)
        dims = replace(layer.dims, OY=last - first)
        found.append(replace(layer, dims=dims, padding=((above, below), layer.padding[1])))
    return found


def shape_of(graph: LayerGraph, name: str) -> tuple[int, ...]:
    return next(data["tensor"].shape for _, _, data in graph.digraph.out_edges(name, data=True))


@st.composite
def images(draw):
    """Convolutions one behind the other; activations, pools and adds of earlier tensors between some of them."""
    nodes = [Port(name="in", kind="input")]
    shape = (1, draw(st.integers(1, 2)), draw(st.integers(8, 16)), draw(st.integers(3, 5)))
    shapes, edges, last = {"in": shape}, [], "in"

    def read(target: str, source: str) -> None:
        edges.append((source, target, Tensor(name=source, shape=shapes[source])))

    for n in range(draw(st.integers(2, 3))):
        _, channels, rows, columns = shapes[last]
        f, s = draw(st.sampled_from([(1, 1), (1, 1), (3, 1), (3, 2), (2, 2), (1, 2)]))
        f = min(f, rows)
        out = draw(st.sampled_from([channels, 1, 2, 3]))
        p = draw(st.integers(0, f // 2))
        oy = (rows + 2 * p - f) // s + 1
        name = f"conv{n}"
        dims = dict(K=out, C=channels, OY=oy, OX=columns, FY=f)
        pads = ((p, max(0, (oy - 1) * s + f - p - rows)), (0, 0))
        nodes.append(Layer(name=name, module=name, dims=dims, stride=(s, 1), padding=pads))
        shapes[name] = (1, out, oy, columns)
        read(name, last)
        last = name
        kind = draw(st.sampled_from(["none", "none", "none", "relu", "add", "pool"]))
        alike = [other for other in shapes if shapes[other] == shapes[last] and other != last]
        if kind == "none" or (kind == "add" and not alike) or (kind == "pool" and shapes[last][2] < 2):
            continue
        name, size = f"{kind}{n}", math.prod(shapes[last])
        reads = 2 if kind == "add" else 1
        left = size if kind != "pool" else math.prod((1, out, shapes[last][2] // 2, columns))
        is_fused = draw(st.sampled_from([True, True, True, False]))
        nodes.append(VectorOp(name=name, kind=kind, elements_in=reads * size, elements_out=left, fused=is_fused))
        shapes[name] = shapes[last] if kind != "pool" else (1, out, shapes[last][2] // 2, columns)
        if kind == "add":
            read(name, draw(st.sampled_from(alike)))
        read(name, last)
        last = name
    nodes.append(Port(name="out", kind="output"))
    read("out", last)
    return LayerGraph("images", nodes, edges)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=images(), data=st.data())
def test_no_grouping_is_better(graph, data, tmp_path):
    """Random chains with residuals and pools, at random widths, in tight and ample buffers."""
    text = data.draw(st.sampled_from([STAYING, WITHOUT_WEIGHTS]))
    accelerator = with_buffer(chip(tmp_path, text), data.draw(st.sampled_from([384, 512, 768, 1024])))
    bits = st.sampled_from([2, 4, 8])
    choices = {layer.module: Choice(w_bits=8, a_bits=data.draw(bits)) for layer in graph.layers}
    annotated = graph.annotate(choices)
    optimize = data.draw(st.sampled_from(["energy", "latency"]))
    least = min(score for score, _, _ in all_fused(annotated, accelerator, optimize))
    cost = evaluate(graph, accelerator, choices, optimize)
    got = cost.energy_pj if optimize == "energy" else cost.cycles
    assert got == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("size_bits", [1024, 1280, 1536])
def test_a_group_between_tensors_that_stay(size_bits, tmp_path):
    """A narrow tensor that a skip reads again, a wide one, the sum, which a second skip reads, and the end.

    The wide tensor does not fit beside the first, which stays inside and dies while the group runs.
    """
    accelerator = with_buffer(chip(tmp_path, STAYING), size_bits)
    c0, c1, c2, c3 = (
        Layer(name=f"c{n}", module=f"c{n}", dims=dict(K=k, C=c, OY=8, OX=5), bits=Bits(w=8, i=8))
        for n, (k, c) in enumerate([(1, 2), (6, 1), (1, 6), (1, 1)])
    )
    adds = [VectorOp(name=name, kind="add", elements_in=80, elements_out=40, fused=True) for name in ("s", "t")]
    nodes = [Port(name="in", kind="input"), c0, c1, c2, adds[0], c3, adds[1], Port(name="out", kind="output")]
    pairs = ["in-c0", "c0-c1", "c1-c2", "c2-s", "c0-s", "s-c3", "c3-t", "s-t", "t-out"]
    channels = {"in": 2, "c1": 6}
    edges = [
        (a, b, Tensor(name=a, shape=(1, channels.get(a, 1), 8, 5))) for a, b in (pair.split("-") for pair in pairs)
    ]
    graph = LayerGraph("skips", nodes, edges)
    least, ((group, *_),), inside = min(all_fused(graph, accelerator, "energy"), key=lambda found: found[0])
    cost = evaluate(graph, accelerator)
    assert cost.energy_pj == pytest.approx(least, rel=1e-9)
    assert (group.first, group.last) == (1, 2)
    assert [found.layers for found in cost.fused] == [("c1", "c2")]
    assert {tensor.name for tensor in cost.tensors if tensor.memory == "buffer"} >= {"c0", "c1"}
    assert [tensor.name for tensor in cost.tensors].index("c0") in inside


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=images(), data=st.data())
def test_a_table_prices_candidates_as_evaluate_does(graph, data, tmp_path):
    """To the last bit, with and without fusion."""
    accelerator = with_buffer(chip(tmp_path, STAYING), data.draw(st.sampled_from([256, 384, 768])))
    options = [Choice(w_bits=w, a_bits=a) for w, a in ((8, 8), (4, 2), (2, 4))]
    optimize = data.draw(st.sampled_from(["energy", "latency", "edp"]))
    fuse = data.draw(st.booleans())
    table = CostTable.build(graph, accelerator, options, optimize, fuse=fuse)
    row = st.lists(st.integers(0, 2), min_size=len(table.modules), max_size=len(table.modules))
    picks = data.draw(st.lists(row, min_size=1, max_size=4))
    totals = table.totals(np.array(picks, dtype=np.int64))
    for n, row in enumerate(picks):
        chosen = {module: options[pick] for module, pick in zip(table.modules, row, strict=True)}
        cost = evaluate(graph, accelerator, chosen, optimize, fuse=fuse)
        for name in ("energy_pj", "cycles", "latency_s", "weight_bits", "activation_bits", "memory_bits", "bops"):
            assert totals[name][n] == getattr(cost, name), name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_costs_less_than_its_floor(data, tmp_path):
    """What keeps the placement from pricing every stripe: of no layer and situation may it say too much."""
    accelerator = chip(tmp_path, STAYING)
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    dims = dict(K=draw(1, 4), C=draw(1, 4), OY=draw(1, 6), OX=draw(1, 4), FY=draw(1, 3), FX=draw(1, 2))
    density = Density(w=data.draw(st.sampled_from([1.0, 0.4])))
    layer = Layer(
        name="x", dims=dims, stride=(draw(1, 3), draw(1, 2)), bits=Bits(w=draw(1, 8), i=draw(1, 8)), density=density
    )
    resident = tuple(operand for operand in "WIO" if data.draw(st.booleans()))
    rows, optimize = draw(0, 6), data.draw(st.sampled_from(["energy", "latency", "edp"]))
    situation = Situation(layer, Stay(resident=resident), Fraction(0), last=False, on_chip=(), rows=rows)
    ((energy, cycles),) = least(Task.of(layer, accelerator), rows, 0.0, [resident])
    price = price_situation(accelerator, optimize, situation)
    assert 0 < energy <= price.energy_pj
    assert 0 < cycles <= price.cycles


# ---- by hand --------------------------------------------------------------------------------------


def moved(cost, memory: str, operand: str) -> list[float]:
    """Bytes per layer."""
    return [item.traffic_bits.get((memory, operand), 0.0) / 8 for item in cost.layers]


PAIR = convolutions(dict(K=8, F=3), dict(K=4, F=3), image=(2, 36, 36))


def test_two_convolutions_byte_by_byte():
    """2x36x36 -> 8x34x34 -> 4x32x32, both 3x3 without padding, in 4 KiB: the 9,248 B between them do not fit.

    The line buffer for h rows of the second has h + 2 rows of 34 columns and 8 channels: 272 (h + 2) B. In n
    stripes the first layer makes ceil(34 / n) rows and reads 2 rows more than it makes: 36 rows, 2 more per cut.
    """
    npu = with_buffer(load_accelerator("edge_npu"), 4 * 1024 * 8)
    cost, apart = evaluate(PAIR, npu), evaluate(PAIR, npu, fuse=False)
    (group,) = cost.fused
    assert apart.fused == ()
    assert (group.layers, group.tensors) == (("c0", "c1"), ("c0",))
    first, second = (math.ceil(outputs / group.stripes) for outputs in (34, 32))
    assert group.rows == (first, second)
    assert group.line_bits == (min(second + 2, 34) * 34 * 8 * 8,)
    cuts = math.ceil(34 / first) - 1
    assert moved(cost, "dram", "I") == [(36 + 2 * cuts) * 36 * 2, 0]
    assert moved(cost, "dram", "O") == [0, 4 * 32 * 32]
    runs = [1, 1] if group.weights_on_chip else [cuts + 1, math.ceil(32 / second)]
    assert moved(cost, "dram", "W") == [runs[0] * 8 * 2 * 9, runs[1] * 4 * 8 * 9]
    assert moved(apart, "dram", "I")[1] >= 34 * 34 * 8
    assert moved(apart, "dram", "O")[0] >= 34 * 34 * 8
    assert cost.energy_pj < apart.energy_pj
    assert [item.resident for item in cost.layers] == [
        (*("W" * group.weights_on_chip), "O"), (*("W" * group.weights_on_chip), "I")
    ]  # fmt: skip
    assert cost.activation_bits == 2 * 36 * 36 * 8 + group.line_bits[0] + 4 * 32 * 32 * 8
    lies = {tensor.name: (tensor.memory, tensor.bits) for tensor in cost.tensors}
    assert lies["c0"] == ("sram", group.line_bits[0])
    assert lies["c1"] == ("dram", 4 * 32 * 32 * 8)


def test_weights_are_loaded_once_or_streamed():
    """Weights that stay for the time of a group cross the outer memory once, as they are stored there."""
    npu = with_buffer(load_accelerator("edge_npu"), 4 * 1024 * 8)
    (held,) = evaluate(PAIR, npu).fused
    assert held.weights_on_chip
    for item in evaluate(PAIR, npu).layers:
        assert item.traffic_bits["dram", "W"] == item.weight_bits
        assert item.energy_breakdown["dram", "W"] == item.weight_bits * npu.memories()["dram"].read_pj_per_bit


def test_a_mobile_network_fuses_on_a_small_chip():
    """Three inverted residuals of MobileNetV2 at 56x56 in 64 KiB: their expanded tensors never leave the chip."""
    shapes = [
        shape
        for _ in range(2)
        for shape in (dict(K=72, F=1), dict(K=72, F=3, p=1, depthwise=True), dict(K=12, F=1))
    ]
    graph = convolutions(*shapes, image=(12, 56, 56))
    npu = with_buffer(load_accelerator("edge_npu"), 64 * 1024 * 8)
    cost, apart = evaluate(graph, npu), evaluate(graph, npu, fuse=False)
    assert cost.energy_pj < 0.5 * apart.energy_pj
    inside = {name for group in cost.fused for name in group.tensors}
    assert {"c0", "c1", "c3", "c4"} <= inside
    for item, bare in zip(cost.layers, apart.layers, strict=True):
        assert item.macs == bare.macs
        assert item.energy_breakdown["mac", ""] == pytest.approx(bare.energy_breakdown["mac", ""])
        assert item.utilization <= 1.0


def test_what_fits_is_not_fused():
    npu = load_accelerator("edge_npu")
    assert evaluate(PAIR, npu).fused == ()
    assert evaluate(PAIR, npu).energy_pj == evaluate(PAIR, npu, fuse=False).energy_pj


def test_a_chip_that_keeps_no_tensors_fuses_no_layers():
    assert Plan.of(PAIR, load_accelerator("eyeriss")).groups == ()
    assert evaluate(PAIR, load_accelerator("eyeriss")).fused == ()


def test_a_tensor_that_two_read_stays_whole():
    """A skip over the second layer: the first tensor is read twice, so that no group holds it inside."""
    graph = convolutions(dict(K=8), dict(K=8), dict(K=8), image=(8, 32, 32))
    c0, c1, c2 = graph.layers
    add = VectorOp(name="add", kind="add", elements_in=2 * 8 * 1024, elements_out=8 * 1024, fused=True)
    pairs = [("in", "c0"), ("c0", "c1"), ("c1", "add"), ("c0", "add"), ("add", "c2"), ("c2", "out")]
    nodes = [Port(name="in", kind="input"), c0, c1, add, c2, Port(name="out", kind="output")]
    skip = LayerGraph("skip", nodes, [(a, b, Tensor(name=a, shape=(1, 8, 32, 32))) for a, b in pairs])
    plan = Plan.of(skip, load_accelerator("edge_npu"))
    names = [tensor.name for tensor in plan.tensors]
    assert [[names[n] for n in group.inner] for group in plan.groups] == [["add"]]


def test_costs_add():
    npu = with_buffer(load_accelerator("edge_npu"), 4 * 1024 * 8)
    cost = evaluate(PAIR, npu)
    assert (cost + cost).fused == cost.fused * 2
    assert cost.energy_pj == sum(item.energy_pj for item in cost.layers)
