"""Layers in stripes: against every grouping of small networks, and by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Choice, CostTable, Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, load_accelerator
from hwmodel.cost import layer_cost
from hwmodel.errors import MappingError
from hwmodel.nest.task import ROOMS, Stay
from hwmodel.network.stripes import stripes
from hwmodel.place.plan import Plan
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.place.test_placement import chain, is_inner, vector_by_hand, width_of, with_buffer

STAYING = TINY.replace("size: 64 B", "size: 96 B\n    resident: [I, O]")
#: The same, but weights pass the buffer by, so that they cannot wait there.
WITHOUT_WEIGHTS = STAYING.replace("holds: [W, I, O]\n    size: 96 B", "holds: [I, O]\n    size: 96 B")


def convolutions(*shapes: dict[str, int], image: tuple[int, int, int], **options) -> LayerGraph:
    """A chain of convolutions with square filters F: K filters, stride s, padding p, on an image (C, rows, columns)."""
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
    assert found[0][0].dims.OY == min(rows, oy)
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
        for inside in itertools.chain.from_iterable(itertools.combinations(free, k) for k in range(len(free) + 1)):
            inside = set(inside)
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
            total, high = layer.dims.OY, math.ceil(layer.dims.OY / numbers.count)
            parts = [
                (replace(sized, dims=replace(layer.dims, OY=part), padding=((0, 0), (0, 0))), count)
                for part, count in ((high, total // high), (total % high, 1))
                if part
            ]
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
        if not any(group.begin <= step <= group.end for group, _, _ in groups):
            if area + sum(bits[t] for t in alive if t in inside) > keeper.size_bits:
                return None
    for vector in plan.vectors:
        more_energy, more_cycles = vector_by_hand(plan, accelerator, vector, inside, names)
        energy, cycles = energy + more_energy, cycles + more_cycles
    return energy if optimize == "energy" else cycles


def shape_of(graph: LayerGraph, name: str) -> tuple[int, ...]:
    return next(data["tensor"].shape for _, _, data in graph.digraph.out_edges(name, data=True))


@st.composite
def images(draw):
    """Convolutions one behind the other, with activations, pools and adds of earlier tensors between some of them.

    Unpadded, so that all stripes of a height are alike.
    """
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
        oy = (rows - f) // s + 1
        name = f"conv{n}"
        dims = dict(K=out, C=channels, OY=oy, OX=columns, FY=f)
        nodes.append(Layer(name=name, module=name, dims=dims, stride=(s, 1)))
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
