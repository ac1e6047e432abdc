"""The outline of a network: every layer in its place, sums at every level, equal blocks folded without loss."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.chip.loader import load_accelerator
from hwmodel.cost import evaluate
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Bits, Density, Dims, Layer
from hwmodel.show.outline import Line, cost_outline, graph_outline


def fc(name: str, k: int = 8, c: int = 4, **options: object) -> Layer:
    module = name.partition("#")[0]
    return Layer(**{"name": name, "kind": "linear", "module": module, "dims": Dims(K=k, C=c), **options})


def rows(lines: list[Line]) -> list[tuple[str, int, int]]:
    return [(line.name, line.times, line.sums.macs) for line in lines[1:]]


def network(*layers: Layer) -> LayerGraph:
    return LayerGraph("net", layers, [])


def test_equal_numbered_neighbours_are_one_line_with_their_sum() -> None:
    blocks = [fc(f"blocks.{n}.{part}", k) for n in range(12) for part, k in (("up", 16), ("down", 8))]
    lines = graph_outline(network(*blocks, fc("head", 2)))
    assert rows(lines) == [
        ("blocks", 1, 12 * (16 + 8) * 4),
        ("blocks.0–11", 12, 12 * (16 + 8) * 4),
        ("blocks.0–11.up", 12, 12 * 16 * 4),
        ("blocks.0–11.down", 12, 12 * 8 * 4),
        ("head", 1, 2 * 4),
    ]
    assert [line.guide for line in lines] == ["", "├─", "│ └─", "│   ├─", "│   └─", "└─"]
    assert len(graph_outline(network(*blocks), fold=False)) == 1 + 1 + 12 * 3


def test_what_differs_in_shape_bits_or_density_is_not_folded() -> None:
    wide, narrow = fc("a.1", 9), fc("a.3", bits=Bits(w=4, i=8))
    sparse = fc("a.5", density=Density(w=0.5))
    lines = graph_outline(network(fc("a.0"), wide, fc("a.2"), narrow, fc("a.4"), sparse, fc("a.6"), fc("a.8")))
    assert [line.label for line in lines[2:]] == ["0", "1", "2", "3", "4", "5", "6", "8"]


def test_names_alone_do_not_make_blocks() -> None:
    lines = graph_outline(network(fc("attn.query"), fc("attn.key"), fc("conv1"), fc("conv2")))
    assert [line.times for line in lines] == [1] * 6


def test_a_layer_called_again_is_stored_once() -> None:
    lines = graph_outline(
        network(fc("cell", has_bias=True), *(fc(f"cell#{n}", has_bias=True) for n in range(2, 6)))
    )
    assert [(line.name, line.times) for line in lines[1:]] == [("cell", 1), ("cell.#1–5", 5)]
    for line in lines:
        assert (line.sums.weights, line.sums.biases, line.sums.params) == (32, 8, 40)
        assert line.sums.macs == 5 * 32


def test_a_module_that_owns_weights_beside_its_children() -> None:
    own = [fc("attn", 24, parameter="in_proj_weight"), fc("attn#2", 8, parameter="in_proj_weight")]
    product = fc("attn.matmul", kind="matmul", module="attn")
    lines = graph_outline(network(own[0], product, own[1], fc("attn.out")))
    assert [line.name for line in lines[1:]] == [
        "attn", "attn.in_proj_weight", "attn.in_proj_weight.#1", "attn.in_proj_weight.#2",
        "attn.matmul", "attn.out",
    ]  # fmt: skip
    assert [line.sums.weights for line in lines[1:]] == [24 * 4 + 32, 24 * 4, 24 * 4, 0, 0, 32]


def test_a_shared_weight_counts_with_its_first_reader() -> None:
    tied = fc("head", module="embed", parameter="weight")
    lines = graph_outline(network(fc("embed", parameter="weight"), tied))
    assert [line.sums.weights for line in lines] == [32, 32, 0]


def test_lonely_modules_share_a_line_and_depth_sums_what_is_below() -> None:
    graph = network(fc("a.b.c"), fc("d.0"), fc("d.1", 9), fc("d.2.e", 10), fc("d.2.f", 11))
    lines = graph_outline(graph, depth=1)
    assert [(line.label, line.hidden, line.sums.macs) for line in lines[1:]] == [
        ("a.b.c", 0, 32),
        ("d", 4, (8 + 9 + 10 + 11) * 4),
    ]
    assert [line.label for line in graph_outline(graph, depth=2)] == ["net", "a.b.c", "d", "0", "1", "2"]


def test_mean_widths_are_by_weights_and_by_macs() -> None:
    many = fc("a", 30, 10, bits=Bits(w=2, i=4))
    few = Layer(name="b", module="b", dims=Dims(K=10, C=10, OY=5), bits=Bits(w=8, i=8))
    product = fc("p", 7, 9, kind="matmul", bits=Bits(w=16, i=16))
    sums = graph_outline(network(many, few, product))[0].sums
    assert sums.w_bits.value == (300 * 2 + 100 * 8) / 400  # a product stores no weights
    assert sums.a_bits.value == (300 * 4 + 500 * 8 + 63 * 16) / (300 + 500 + 63)
    assert not sums.w_bits.is_uniform
    assert graph_outline(network(product))[0].sums.w_bits.value == 16


def test_costs_add_up_to_the_total() -> None:
    layers = [fc(f"blocks.{n}", 16) for n in range(3)] + [fc("head", 64, 32)]
    cost = evaluate(network(*layers), load_accelerator("eyeriss"))
    whole, *others = cost_outline(cost)
    assert whole.sums.cycles == cost.cycles
    assert abs(whole.sums.energy_pj - cost.energy_pj) < 1e-9 * cost.energy_pj
    assert whole.sums.bound == max(whole.sums.bounds, key=whole.sums.bounds.__getitem__)
    assert sum(whole.sums.bounds.values()) == cost.cycles
    assert sum(line.sums.cycles for line in others if line.level == 1) == cost.cycles


def test_no_layers_and_no_end_of_nesting() -> None:
    assert [line.sums.macs for line in graph_outline(network())] == [0]
    deep = [fc(".".join(["m"] * depth + ["fc"]), 1 + depth % 3) for depth in range(1, 1200)]
    lines = graph_outline(network(*deep))
    assert lines[0].sums.num_layers == len(deep)
    assert max(line.level for line in lines) > 1000
    assert max(len(line.guide) for line in lines) < 40


PARTS = ["a", "b", "0", "1", "2", "3", "#1", "x", "x#1", "x#2", "", "[/0]"]
NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES.map(".".join), st.integers(1, 3)), max_size=14, unique_by=lambda item: item[0]))
def test_lines_add_up_whatever_the_names(items: list[tuple[str, int]]) -> None:
    layers = [fc(name, k, module=f"m{index}") for index, (name, k) in enumerate(items)]
    graph = network(*layers)
    for fold in (True, False):
        lines = graph_outline(graph, fold=fold)
        leaves = [line for line in lines[1:] if line.layer is not None]
        assert sum(line.sums.macs for line in leaves) == graph.macs == lines[0].sums.macs
        assert sum(line.sums.num_layers for line in leaves) == len(layers)
        for index, line in enumerate(lines):
            below = []
            for other in lines[index + 1 :]:
                if other.level <= line.level:
                    break
                if other.level == line.level + 1:
                    below.append(other)
            if below:
                assert sum(other.sums.weights for other in below) == line.sums.weights
    unfolded = [line for line in graph_outline(graph, fold=False)[1:] if line.layer is not None]
    assert sorted(line.layer.name for line in unfolded if line.layer) == sorted(layer.name for layer in layers)
    assert all(line.times == 1 for line in unfolded)


def test_a_name_that_looks_like_a_call_is_a_layer_of_its_own() -> None:
    lines = graph_outline(network(fc("x"), fc("x#1"), fc("x#2")))
    assert sorted(line.layer.name for line in lines if line.layer) == ["x", "x#1", "x#2"]


def test_folding_does_not_depend_on_the_modules_name() -> None:
    layer = fc("a.0")
    assert graph_outline(network(layer, replace(layer, name="a.1", module="other")))[2].times == 2
