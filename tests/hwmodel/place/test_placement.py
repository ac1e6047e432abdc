"""Where tensors live: against every placement of small networks, and by hand on networks that fit."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel import Choice, CostTable, Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.cost import layer_cost
from hwmodel.errors import AcceleratorError, MappingError
from hwmodel.nest.task import ROOMS, Stay
from hwmodel.place.plan import MOST_AT_ONCE, Plan
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.price.test_memory import networks

STAYING = TINY.replace("size: 64 B", "size: 96 B\n    resident: [I, O]")


def with_buffer(accelerator: Accelerator, size_bits: float) -> Accelerator:
    """The same chip with another size of the memory in which tensors stay."""
    return changed(accelerator, lambda memory: replace(memory, size_bits=size_bits) if memory.resident else memory)


def without_residents(accelerator: Accelerator) -> Accelerator:
    return changed(accelerator, lambda memory: replace(memory, resident=()))


def changed(accelerator: Accelerator, change) -> Accelerator:
    levels = tuple(
        replace(level, memories=tuple(change(memory) for memory in level.memories)) for level in accelerator.levels
    )
    return replace(accelerator, levels=levels)


# ---- every placement ------------------------------------------------------------------------------


def all_placements(graph: LayerGraph, accelerator: Accelerator, optimize: str):
    """(score, tensors inside) of every placement that fits, priced layer by layer and operation by operation."""
    plan = Plan.of(graph, accelerator)
    keeper = accelerator.keeper
    width = {tensor.name: width_of(graph, tensor.name) for tensor in plan.tensors}
    bits = [tensor.elements * width[tensor.name] for tensor in plan.tensors]
    inner = [n for n, tensor in enumerate(plan.tensors) if is_inner(graph, tensor.name)]
    for count in range(len(inner) + 1):
        for inside in itertools.combinations(inner, count):
            taken = [sum(bits[n] for n in alive if n in inside) for alive in plan.alive.steps]
            if max(taken, default=0) > keeper.size_bits:
                continue
            energy = cycles = 0.0
            try:
                for layer, work in zip(plan.layers, plan.works, strict=True):
                    left = keeper.size_bits - taken[work.step]
                    room = max(part * keeper.size_bits for part in ROOMS if part * keeper.size_bits <= left)
                    output = width[plan.tensors[work.output].name] if work.output is not None else layer.bits.out
                    stored = max((width[plan.tensors[n].name] for n in work.inputs), default=layer.bits.i)
                    stay = Stay(
                        resident=tuple("I" * (bool(work.inputs) and set(work.inputs) <= set(inside)))
                        + tuple("O" * (work.output in inside)),
                        room_bits=room if room < keeper.size_bits else None,
                        i_bits=stored if stored != layer.bits.i else None,
                    )
                    sized = layer.with_bits(replace(layer.bits, o=output))
                    cost = layer_cost(sized, accelerator, optimize, stay=stay, unwritten=work.unwritten)
                    energy, cycles = energy + cost.energy_pj, cycles + cost.cycles
            except MappingError:
                continue
            for vector in plan.vectors:
                more_energy, more_cycles = vector_by_hand(plan, accelerator, vector, inside, width)
                energy, cycles = energy + more_energy, cycles + more_cycles
            yield (energy if optimize == "energy" else cycles), inside


def vector_by_hand(plan, accelerator, vector, inside, width):
    """Energy [pJ] and cycles of an operation: every tensor through the port of its memory, these side by side."""
    own = plan.layers[vector.owner].bits.out
    outer, inner = accelerator.levels[-1].memories[0], accelerator.keeper
    energy, ports = vector.operations * accelerator.vector.pj_per_op, []
    for memory, here in ((outer, False), (inner, True)):
        reads, writes = (
            sum(n * (width[plan.tensors[t].name] if t >= 0 else own) for t, n in way if (t in inside) is here)
            for way in (vector.reads, vector.writes)
        )
        energy += reads * memory.read_pj_per_bit + writes * memory.write_pj_per_bit
        reading, writing = reads / memory.read_bits_per_cycle, writes / memory.write_bits_per_cycle
        ports.append(reading + writing if memory.shared_port else max(reading, writing))
    compute = vector.operations / accelerator.vector.lanes if vector.waits else 0.0
    return energy, math.ceil(max(*ports, compute))


def is_inner(graph: LayerGraph, name: str) -> bool:
    nodes = [graph.digraph.nodes[n]["op"] for n in (name, *graph.digraph.successors(name))]
    return not any(isinstance(node, Port) for node in nodes)


def width_of(graph: LayerGraph, name: str, native: int = 8) -> int:
    """The widest that readers ask for, behind operations without MACs too; the maker's own where nobody asks."""
    asked = asking(graph, name)
    if asked:
        return max(asked)
    while not isinstance(graph.digraph.nodes[name]["op"], Layer):
        name = graph.owners.get(name, "")
        if not name:
            return native
    return graph.layer(name).bits.i


def asking(graph: LayerGraph, name: str) -> list[int]:
    found = []
    for reader in graph.digraph.successors(name):
        node = graph.digraph.nodes[reader]["op"]
        if isinstance(node, Layer):
            found.append(node.bits.i)
        elif isinstance(node, VectorOp):
            found += asking(graph, reader)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=networks(), data=st.data())
def test_no_placement_is_better(graph, data, tmp_path):
    """Random networks with residuals, concatenations and pools, at random widths, in tight and ample buffers."""
    if not graph.layers:
        return
    accelerator = with_buffer(chip(tmp_path, STAYING), data.draw(st.sampled_from([384, 768, 1536, 4096])))
    bits = st.sampled_from([2, 4, 8])
    choices = {layer.module: Choice(w_bits=8, a_bits=data.draw(bits)) for layer in graph.layers}
    annotated = graph.annotate(choices)
    optimize = data.draw(st.sampled_from(["energy", "latency"]))
    least, _ = min(all_placements(annotated, accelerator, optimize))
    cost = evaluate(graph, accelerator, choices, optimize)
    got = cost.energy_pj if optimize == "energy" else cost.cycles
    assert got == pytest.approx(least, rel=1e-9)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=networks(), data=st.data())
def test_a_table_prices_candidates_as_evaluate_does(graph, data, tmp_path):
    """To the last bit, whatever neighbours ask of each other, and in whatever order candidates come."""
    if not graph.layers:
        return
    accelerator = chip(tmp_path, STAYING)
    if data.draw(st.booleans()):
        accelerator = without_residents(accelerator)
    options = [Choice(w_bits=w, a_bits=a) for w, a in ((8, 8), (4, 2), (2, 4))]
    optimize = data.draw(st.sampled_from(["energy", "latency", "edp"]))
    table = CostTable.build(graph, accelerator, options, optimize)
    row = st.lists(st.integers(0, 2), min_size=len(table.modules), max_size=len(table.modules))
    picks = data.draw(st.lists(row, min_size=1, max_size=4))
    totals = table.totals(np.array(picks, dtype=np.int64))
    for n, row in enumerate(picks):
        chosen = {module: options[pick] for module, pick in zip(table.modules, row, strict=True)}
        cost = evaluate(graph, accelerator, chosen, optimize)
        for name in ("energy_pj", "cycles", "latency_s", "weight_bits", "activation_bits", "memory_bits", "bops"):
            assert totals[name][n] == getattr(cost, name), name


# ---- by hand --------------------------------------------------------------------------------------


def chain(*layers: Layer, image: tuple[int, ...]) -> LayerGraph:
    nodes = [Port(name="in", kind="input"), *layers, Port(name="out", kind="output")]
    shapes = [image, *((1, layer.dims.K, layer.dims.OY, layer.dims.OX) for layer in layers)]
    edges = [
        (a.name, b.name, Tensor(name=a.name, shape=shape))
        for (a, b), shape in zip(itertools.pairwise(nodes), shapes, strict=True)
    ]
    return LayerGraph("chain", nodes, edges)


POINTS = chain(
    *(Layer(name=f"c{n}", module=f"c{n}", dims=dict(K=16, C=16, OY=8, OX=8)) for n in range(3)), image=(1, 16, 8, 8)
)
BYTES = 16 * 8 * 8


def dram_bytes(cost, operand: str) -> float:
    return sum(item.traffic_bits.get(("dram", operand), 0.0) for item in cost.layers) / 8


def test_a_network_that_fits_leaves_the_chip_at_its_ends_alone():
    npu = load_accelerator("edge_npu")
    cost = evaluate(POINTS, npu)
    assert (dram_bytes(cost, "I"), dram_bytes(cost, "O")) == (BYTES, BYTES)
    assert [(tensor.name, tensor.memory) for tensor in cost.tensors] == [
        ("in", "dram"), ("c0", "sram"), ("c1", "sram"), ("c2", "dram")
    ]  # fmt: skip
    assert [item.resident for item in cost.layers] == [("O",), ("I", "O"), ("I",)]
    apart = evaluate(POINTS, without_residents(npu))
    assert (dram_bytes(apart, "I"), dram_bytes(apart, "O")) == (3 * BYTES, 3 * BYTES)
    assert cost.energy_pj < apart.energy_pj


def test_a_memory_that_is_too_small_sends_tensors_out():
    """2 KiB hold the 1 KiB of one tensor beside the tiles of a layer, not those of two."""
    npu = with_buffer(load_accelerator("edge_npu"), 2 * BYTES * 8)
    places = [tensor.memory for tensor in evaluate(POINTS, npu).tensors]
    assert places.count("sram") == 1


def test_a_layer_alone_costs_what_it_did():
    npu = load_accelerator("edge_npu")
    layer = POINTS.layers[1]
    alone, before = evaluate(layer, npu), evaluate(layer, without_residents(npu))
    assert alone.energy_pj == before.energy_pj == layer_cost(layer, npu).energy_pj
    assert alone.cycles == before.cycles


def test_a_resident_operand_costs_nothing_outside():
    """A layer alone brings and takes away 1 KiB each through DRAM, and fills the buffer with its input."""
    npu, layer = load_accelerator("edge_npu"), POINTS.layers[1]
    dram, sram = npu.levels[-1].memories[0], npu.keeper
    alone, resident = layer_cost(layer, npu), layer_cost(layer, npu, stay=Stay(("I", "O")))
    saved = 8 * BYTES * (dram.read_pj_per_bit + dram.write_pj_per_bit + sram.write_pj_per_bit)
    assert alone.energy_pj - resident.energy_pj == pytest.approx(saved)
    assert not {operand for place, operand in resident.traffic_bits if place == "dram"} & {"I", "O"}


def test_outputs_are_written_at_the_width_that_their_readers_ask():
    """c0 computes with 8-bit inputs and writes 2-bit outputs, since c1 reads 2 bits; c2's nobody asks for."""
    npu = without_residents(load_accelerator("edge_npu"))
    choices = {name: Choice(w_bits=8, a_bits=a) for name, a in (("c0", 8), ("c1", 2), ("c2", 4))}
    cost = evaluate(POINTS, npu, choices)
    written = [item.traffic_bits["dram", "O"] / (BYTES) for item in cost.layers]
    assert written == [2, 4, 4]
    assert [tensor.width for tensor in cost.tensors] == [8, 2, 4, 4]
    assert cost.activation_bits == max(8 + 2, 2 + 4, 4 + 4) * BYTES


def test_a_tensor_that_two_read_has_the_wider_width_for_both():
    """A skip from c0 to c2's add: c1 reads 2 bits of a tensor that the add keeps at 8."""
    c0, c1, last = (Layer(name=n, module=n, dims=dict(K=16, C=16, OY=8, OX=8)) for n in ("c0", "c1", "last"))
    add = VectorOp(name="add", kind="add", elements_in=2 * BYTES, elements_out=BYTES, fused=True)
    nodes = [Port(name="in", kind="input"), c0, c1, add, last, Port(name="out", kind="output")]
    pairs = [("in", "c0"), ("c0", "c1"), ("c1", "add"), ("c0", "add"), ("add", "last"), ("last", "out")]
    graph = LayerGraph("skip", nodes, [(a, b, Tensor(name=a, shape=(1, 16, 8, 8))) for a, b in pairs])
    choices = {name: Choice(w_bits=8, a_bits=a) for name, a in (("c0", 4), ("c1", 2), ("last", 8))}
    cost = evaluate(graph, without_residents(load_accelerator("edge_npu")), choices)
    by_name = {item.name: item for item in cost.layers}
    assert {t.name: t.width for t in cost.tensors} == {"in": 4, "c0": 8, "add": 8, "last": 8}
    assert by_name["c0"].traffic_bits["dram", "O"] == 8 * BYTES
    assert by_name["c1"].traffic_bits["dram", "I"] == 8 * BYTES  # it computes with 2 bits of what lies there with 8
    assert by_name["c1"].traffic_bits["dram", "vector"] == 8 * BYTES


def test_too_many_tensors_at_once_are_said():
    """Fourteen tensors wait for one concatenation: two of them are not placed."""
    count = MOST_AT_ONCE + 2
    layers = [Layer(name=f"c{n}", module=f"c{n}", dims=dict(K=1, C=1, OX=4)) for n in range(count)]
    join = VectorOp(name="join", kind="stack", elements_in=4 * count, elements_out=4 * count)
    end = Layer(name="end", module="end", dims=dict(K=1, C=count, OX=4))
    nodes = [Port(name="in", kind="input"), *layers, join, end, Port(name="out", kind="output")]
    edges = [("in", layer.name) for layer in layers] + [(layer.name, "join") for layer in layers]
    edges += [("join", "end"), ("end", "out")]
    graph = LayerGraph("wide", nodes, [(a, b, Tensor(name=a, shape=(1, 4))) for a, b in edges])
    cost = evaluate(graph, load_accelerator("edge_npu"))
    assert any("at most 12 are placed" in note for note in cost.notes)


# ---- the chip's word ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("resident: [I, O]", "resident: [I]"), "what a layer leaves as O the next one reads as I"),
        (("holds: [W, I, O]\n    size: 96 B", "holds: [I, O]\n    size: 96 B"), None),
        (("resident: [I, O]", "resident: [I, O, W]"), None),
        (("    size: unbounded", "    resident: [I, O]\n    size: unbounded"), "level before the outermost one"),
        (("    holds: [W, O]", "    holds: [W, O]\n    resident: [W]"), "level before the outermost one"),
        (("  - name: buffer\n    holds: [W, I, O]", "  - name: buffer\n    holds: [W, O]"),
         "I and W must be among holds"),
    ],
)  # fmt: skip
def test_where_tensors_may_stay(change, message, tmp_path):
    assert STAYING.count(change[0]) == 1
    text = STAYING.replace(*change)
    if message is None:
        assert chip(tmp_path, text).keeper.name == "buffer"
        return
    with pytest.raises(AcceleratorError, match=message):
        chip(tmp_path, text)


@pytest.mark.parametrize("name", ["regs", "dram"])
def test_the_error_stands_at_the_memory_that_cannot_keep_tensors(name, tmp_path):
    """Not at the first one that says `resident`."""
    text = STAYING.replace(f"  - name: {name}\n", f"  - name: {name}\n    resident: [W]\n")
    line = text.splitlines().index(f"  - name: {name}") + 1
    with pytest.raises(AcceleratorError, match=rf"chip\.yaml:{line} memory '{name}'"):
        chip(tmp_path, text)
