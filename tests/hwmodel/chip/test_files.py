"""Accelerator files and other inputs: what is wrong, where, and how to mend it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Density, Layer, LayerGraph, Port, Tensor, VectorOp, list_accelerators, load_accelerator
from hwmodel.chip.storage import stored_bits
from hwmodel.chip.units import USUAL, _by_pint, parse_bandwidth, parse_quantity
from hwmodel.chip.yamlfile import Schema, dump_yaml, field_validator, parse_yaml
from hwmodel.errors import AcceleratorError, ConfigError, GraphError, LayerError, MappingError
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task
from tests.hwmodel.chips import TINY, chip


def broken(tmp_path, old, new):
    """The message for the tiny chip with one text replaced."""
    assert old in TINY
    with pytest.raises(AcceleratorError) as caught:
        chip(tmp_path, TINY.replace(old, new, 1))
    return str(caught.value)


def line_of(text, piece):
    return next(n for n, line in enumerate(text.splitlines(), 1) if piece in line)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "read_bandwidth",
            "read_bandwith",
            "unknown key 'read_bandwith' in memories[1]. Did you mean 'read_bandwidth'?",
        ),
        ("clock: 100 MHz", "clock: 200", "clock: 200 has no unit. Write 200 MHz."),
        ("clock: 100 MHz", "clock: 200 pJ", "'200 pJ' is not a frequency. Write it in MHz."),
        ("clock: 100 MHz", "clock: 0 MHz", "must be above 0"),
        ("size: 64 B", "size: 0 B", "buffer 'buffer' (0 B) cannot hold one 8-bit word twice (double buffered)."),
        ("size: 8 B", "size: -8 B", "must be at least 0, but got -8 B"),
        ("size: 2, dims: [K", "size: 0, dims: [K", "greater than or equal to 1, but got 0"),
        ("holds: [W, O]", "holds: []", "at least 1 item"),
        ("holds: [W, O]", "holds: [W, X]", "'W', 'I' or 'O', but got 'X'"),
        ("dims: [K, OX]", "dims: [K, QX]", "but got 'QX'"),
        ("read_bandwidth: 32 bit/cycle", "read_bandwidth: 0 bit/cycle", "must be above 0"),
        ("read_energy: 2 pJ/bit", "read_energy: 2", "2 has no unit. Write 2 pJ/bit."),
        ("source: made up for tests\n", "", "'source' is missing."),
        (
            "  - name: dram\n    holds: [W, I, O]",
            "  - name: dram\n    holds: [W, I]",
            "must hold W, I and O, but lacks ['O']",
        ),
        ("name: buffer", "name: regs", "memory 'regs' is described twice"),
    ],
)  # fmt: skip
def test_a_broken_chip_says_where_and_what(tmp_path, old, new, expected):
    message = broken(tmp_path, old, new)
    assert expected in message
    assert message.startswith(str(tmp_path / "chip.yaml") + ":")


def test_the_place_is_the_line_and_column(tmp_path):
    text = TINY.replace("read_bandwidth: 32", "read_bandwith: 32")
    message = broken(tmp_path, "read_bandwidth: 32", "read_bandwith: 32")
    assert f"chip.yaml:{line_of(text, 'bandwith')}:5 " in message


def test_a_duplicate_key_names_both_lines(tmp_path):
    text = TINY.replace("clock: 100 MHz", "clock: 100 MHz\nclock: 200 MHz")
    message = broken(tmp_path, "clock: 100 MHz", "clock: 100 MHz\nclock: 200 MHz")
    first = line_of(text, "clock: 100")
    assert f"chip.yaml:{first + 1}:1 'clock' is already set at line {first}." in message


def test_files_that_are_no_chips(tmp_path):
    path = tmp_path / "chip.yaml"
    for content, expected in ((b"", "must be a mapping"), (b"[1", "not valid YAML"), (b"\xff\xfe\x00", "UTF-8")):
        path.write_bytes(content)
        with pytest.raises(AcceleratorError, match=expected):
            load_accelerator(path)
    with pytest.raises(AcceleratorError, match="no such file"):
        load_accelerator(tmp_path / "absent.yaml")
    with pytest.raises(AcceleratorError, match=r"No accelerator 'eyeris'. Did you mean eyeriss\? hwmodel hw list"):
        load_accelerator("eyeris")


@pytest.mark.parametrize("name", list_accelerators())
def test_every_preset_loads_and_names_its_sources(name):
    accelerator = load_accelerator(name)
    assert accelerator.name == name
    assert accelerator.source
    assert all(memory.source for memory in accelerator.memories().values())
    assert accelerator.clock_hz > 0


def test_units():
    assert parse_quantity("size", "108 KiB") == 108 * 1024 * 8
    assert parse_quantity("energy_per_bit", "24 pJ/(64 bit)") == 24 / 64
    assert parse_bandwidth("25.6 GB/s", 200e6) == 25.6e9 * 8 / 200e6


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(USUAL)), st.floats(1e-9, 1e9) | st.integers(0, 10**6))
def test_a_usual_unit_is_that_of_pint_to_the_last_bit(usual, number):
    kind, unit = usual
    assert parse_quantity(kind, f"{number!r} {unit}") == _by_pint(kind, "", float(number), unit)


def test_no_preset_waits_for_pint():
    code = (
        "import sys\nfrom hwmodel import list_accelerators, load_accelerator\n"
        "for name in list_accelerators(): load_accelerator(name)\nprint('pint' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("8 bit", 8), ("8bit", 8), (" 2.5 B ", 20), (".5 KiB", 4096), ("1e1 bits", 10), ("+3 bit", 3), ("0 B", 0),
    ],
)  # fmt: skip
def test_a_quantity_is_a_number_and_a_unit(text, bits):
    assert parse_quantity("size", text) == bits
    assert parse_quantity("area", "2 um^2") == parse_quantity("area", "2 um**2") == 2e-6
    assert parse_quantity("area", "3 mm²") == 3


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9 pJ",
        "1 pJ + 2 pJ",
        "2 * 3 pJ",
        "(1 pJ)",
        "1 pJ pJ",
        "pJ",
        "1 2 pJ",
        "1 pJ^9^9",
        "1 pJ^99",
        "inf pJ",
        "nan pJ",
        "-inf pJ",
        "1e999 pJ",
        "1e-999 pJ",
        "1e31 pJ",
        "1 pJ/(0 bit)",
        "__import__('os') pJ",
        "1 " + "p" * 9999,
        "1" * 9999 + " pJ",
        "",
        " ",
        [1],
        {"pJ": 1},
        ["1 pJ"],
        True,
        None,
        "1 pJ\n2 pJ",
    ],
)
def test_anything_else_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(ValueError, match=r"^.{1,300}$"):
        parse_quantity("energy", text)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "value", ["[1, pJ]", "{pJ: 1}", "9**9**9 pJ", "1 pJ + 2 pJ", "true", "null", "-1 pJ", "inf pJ"]
)
def test_a_chip_states_quantities_and_computes_none(tmp_path, value):
    message = broken(tmp_path, "  read_energy: 0.01 pJ/bit", f"  read_energy: {value}")
    assert f":{line_of(TINY, '0.01 pJ/bit')}:5 memories[0].read_energy: " in message


@given(st.integers(1, 10_000), st.integers(1, 16), st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_stored_size_falls_with_density_and_never_exceeds_dense(elements, bits, one, other):
    low, high = sorted((one, other))
    assert stored_bits(elements, bits, low)[0] <= stored_bits(elements, bits, high)[0] * (1 + 1e-12)
    assert stored_bits(elements, bits, high)[0] <= elements * bits
    assert stored_bits(elements, bits, 1.0) == (elements * bits, "dense")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Layer(name="x", dims={"K": 0}),
            r"layer 'x': dims: `K >= 1` must hold \(an integer\), but got K=0",
        ),
        (lambda: Layer(name="x", dims={"k": 2}), "got 'k'"),
        (lambda: Layer(name="x", dims={}, stride=0), "stride: must be one or two integers >= 1, but got 0"),
        (lambda: Layer(name="x", kind="pool", dims={}), "kind must be one of conv, linear, matmul"),
        (lambda: Bits(w=0, i=8), r"`1 <= w <= 32` must hold \(an integer\), but got w=0"),
        (lambda: Bits(w=8, i=33), "got i=33"),
        (lambda: Density(w=0.5, pattern="4:2"), "'N:M' with 1 <= N <= M, but got '4:2'"),
        (lambda: Density(i=math.nan), "0 < i <= 1"),
    ],
)
def test_bad_layers_state_the_rule_and_the_value(make, message):
    with pytest.raises(LayerError, match=message):
        make()


NAMES = st.text("abc./[0]<>&'\"\\ é", min_size=1, max_size=6)


@given(st.lists(NAMES, min_size=2, max_size=5, unique=True), st.integers(1, 9), st.sampled_from([None, 3, 16]))
def test_a_graph_survives_json(names, size, bits):
    layer = Layer(
        name=names[0], module="m", dims={"K": size, "C": 2}, stride=(1, 2), dilation=3, has_bias=True,
        bits=None if bits is None else Bits(w=bits, i=8, acc=20), density=Density(w=0.5, i=0.25, pattern="2:4"),
    )  # fmt: skip
    ops = [VectorOp(name=n, kind="add", elements_in=size, elements_out=1) for n in names[1:-1]]
    graph = LayerGraph(
        "g",
        [layer, *ops, Port(name=names[-1], kind="output")],
        [(names[0], names[-1], Tensor(name="t", shape=(1, size)))],
        free_ops={"view": 2},
    )
    back = LayerGraph.from_json(graph.to_json())
    assert back.to_dict() == graph.to_dict()
    assert back.layers == graph.layers
    assert back.fingerprint == graph.fingerprint


def test_bad_graphs():
    layer = Layer(name="a", dims={"K": 2})
    other = Layer(name="b", dims={"K": 2})
    tensor = Tensor(name="t", shape=(2,))
    with pytest.raises(GraphError, match="'a' is used twice"):
        LayerGraph("g", [layer, layer], [])
    with pytest.raises(GraphError, match="unknown node 'z'"):
        LayerGraph("g", [layer], [("a", "z", tensor)])
    with pytest.raises(GraphError, match="acyclic"):
        LayerGraph("g", [layer, other], [("a", "b", tensor), ("b", "a", tensor)])
    with pytest.raises(GraphError, match="not JSON"):
        LayerGraph.from_json("{")
    for text, kind in (("[]", "list"), ("null", "NoneType"), ("3", "int")):
        with pytest.raises(GraphError, match=f"must be a mapping, but is a {kind}"):
            LayerGraph.from_json(text)
    with pytest.raises(GraphError, match="schema must be 1"):
        LayerGraph.from_json(json.dumps({"schema": 99}))


def test_mappings_that_do_not_cover_or_fit(tmp_path):
    accelerator = chip(tmp_path)
    layer = Layer(name="x", dims={"K": 4})

    def mapping(inner=(), spatial=(), outer=(), keeps=("W", "I", "O")):
        return Mapping(
            levels=(
                LevelMapping(name="regs", temporal=inner, keeps=("W", "O")),
                LevelMapping(name="buffer", spatial=spatial, keeps=("W", "I", "O")),
                LevelMapping(name="dram", temporal=outer, keeps=keeps),
            )
        )

    check_mapping(Task.of(layer, accelerator), mapping(outer=(Loop("K", 4),)))
    for bad, message in (
        (mapping(outer=(Loop("K", 3),)), "the loops over K must multiply to 4, but give 3"),
        (mapping(spatial=(Loop("K", 4, "X"),)), "`loops on axis X <= 2` must hold, but got 4"),
        (mapping(outer=(Loop("K", 4),), keeps=("W", "I")), r"must keep W, I and O, but lacks \['O'\]"),
        (mapping(inner=(Loop("K", 4),)), "`tiles <= 64 bits` must hold in 'regs', but got 96 bits"),
    ):
        with pytest.raises(MappingError, match=message):
            check_mapping(Task.of(layer, accelerator), bad)


@pytest.mark.parametrize(
    ("inner", "spatial", "outer", "message"),
    [
        ([("K", 2)], [("OX", 4, "X")], [("C", 4), ("K", 2)], ""),
        (
            [("C", 2)],
            [("OX", 4, "X")],
            [("C", 2), ("K", 4)],
            r"`temporal: \[K\]` of level 'regs' must hold, but it loops over C",
        ),
        (
            [],
            [("OX", 4, "X")],
            [("K", 4), ("C", 4)],
            r"`order: \[C, K\]` of level 'dram' must hold .* are \[K, C\]",
        ),
        ([], [("OX", 4, "X")], [("OY", 2), ("C", 4), ("K", 4)], ""),
        ([], [("OX", 4, "X")], [("C", 4), ("OY", 2), ("K", 4)], r"its loops are \[C, OY, K\]"),
        (
            [],
            [("OX", 2, "X")],
            [("OX", 2), ("C", 4), ("K", 4)],
            r"`full: \[OX\]` of axis X must hold, but 2 of 4 of OX",
        ),
        (
            [],
            [("OX", 4, "X"), ("K", 2, "Y")],
            [("C", 4), ("K", 2)],
            r"`dims: \[C\]` of axis Y must hold, but a loop over K",
        ),
        ([], [("OX", 4, "Z")], [("C", 4), ("K", 4)], r"a loop over OX runs on axis 'Z'; axes: \['X', 'Y'\]"),
    ],
)
def test_mappings_that_break_the_dataflow(tmp_path, inner, spatial, outer, message):
    """The rules by their names in the file; those that obey them pass."""
    text = (
        TINY.replace("size: 2, dims: [K, OX]", "size: 4, dims: [K, OX], full: [OX]")
        .replace("dims: [C, FY, OY]", "dims: [C]")
        .replace("vector:", "temporal: {regs: [K]}\norder: {dram: [C, K]}\nvector:")
    )
    rows = 2 if ("OY", 2) in outer else 1
    layer = Layer(name="x", dims={"K": 4, "C": 4, "OX": 4, "OY": rows})
    mapping = Mapping(
        levels=(
            LevelMapping(name="regs", temporal=tuple(Loop(*loop) for loop in inner), keeps=("W", "O")),
            LevelMapping(name="buffer", spatial=tuple(Loop(*loop) for loop in spatial), keeps=("W", "I", "O")),
            LevelMapping(name="dram", temporal=tuple(Loop(*loop) for loop in outer), keeps=("W", "I", "O")),
        )
    )
    accelerator = chip(tmp_path, text)
    if not message:
        check_mapping(Task.of(layer, accelerator), mapping)
        return
    with pytest.raises(MappingError, match=message):
        check_mapping(Task.of(layer, accelerator), mapping)


def test_yaml_is_written_in_blocks():
    assert dump_yaml({"a": {"b": [1, 2]}, "c": "no"}, header="made by hand") == (
        "# made by hand\na:\n  b:\n  - 1\n  - 2\nc: no\n"
    )


def test_a_rule_that_names_its_place_is_not_prefixed_again(tmp_path):
    class Spec(Schema):
        goals: list[str]

        @field_validator("goals")
        @classmethod
        def _known(cls, value: list[str]) -> list[str]:
            raise ValueError(f"goals: must be known, but got {value}")

    with pytest.raises(ConfigError) as caught:
        parse_yaml("goals: [x]\n", Spec, place="spec.yaml")
    assert str(caught.value) == "spec.yaml:1:1 goals: must be known, but got ['x']"
