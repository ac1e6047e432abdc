"""No key of a chip file is without effect: another value changes what a chip costs or says, or it is refused."""

from __future__ import annotations

import copy
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from hwmodel import Mapping, evaluate, find_mapping
from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.loader import build_chip
from hwmodel.chip.yamlfile import Document, parse_document
from hwmodel.errors import AcceleratorError, HwModelError
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price
from hwmodel.show.lints import chip_lints
from tests.hwmodel.chip.key_values import DEPENDS, HOSTS, LARGE, LAYERS, OTHERS, TEXTS, network
from tests.hwmodel.chips import TINY, chip


@functools.cache
def mappings(host: str) -> tuple[Mapping, ...]:
    """The best ones of the layers on a host; none where it has no mappings."""
    chip = loaded(host)[1]
    return tuple(find_mapping(layer, chip)[0] for layer in LAYERS) if chip.kind == "spatial" else ()


def seen(host: str, chip: Accelerator) -> Iterator[Any]:
    """What a user sees of a chip that was made from a host, the cheapest first."""
    yield chip_lints(chip), chip_area(chip), chip.leakage_w, chip.technology_nm
    for layer, mapping in zip(LAYERS, mappings(host), strict=False):
        try:
            yield price(Task.of(layer, chip), mapping)
        except HwModelError as error:
            yield str(error)
    searched = chip.kind == "spatial" and chip.maps_freely
    works = [LAYERS[0], network()] if searched else [*LAYERS, network(), *LARGE * (chip.kind != "spatial")]
    for work, objective in itertools.product(works, ("energy", "latency")):
        try:
            cost = evaluate(work, chip, optimize=objective)
        except HwModelError as error:
            yield str(error)
        else:
            yield (
                cost.energy_pj,
                cost.latency_s,
                cost.cycles,
                cost.price_notes,
                [n.utilization for n in cost.layers],
            )


@functools.cache
def loaded(host: str) -> tuple[dict[str, Any], Accelerator]:
    document = read(host)
    return document.data, build_chip(document, document.validated(ChipFile))


@functools.cache
def read(host: str) -> Document:
    return parse_document(HOSTS[host], host, AcceleratorError)


@functools.cache
def base(host: str) -> tuple[dict[str, Any], Accelerator, tuple[Any, ...]]:
    """What a host says, and what is seen of it."""
    data, chip = loaded(host)
    return data, chip, tuple(seen(host, chip))


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in models(part)]


def places(model: type[BaseModel], data: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of every section that a file has, the keys of it that it leaves out, too."""
    for key, field in model.model_fields.items():
        yield (*where, key)
        inner = models(field.annotation)
        value = data.get(key)
        if inner and value is not None:
            several = isinstance(value, list)
            for index, item in enumerate(value if several else [value]):
                yield from places(inner[0], item, (*where, key, index) if several else (*where, key))


def changed(data: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(data)
    node: Any = data
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    return data


def others(host: str, place: tuple[Any, ...]) -> list[Any]:
    """Other values of a key than a host has."""
    data, chip = loaded(host)
    key = named(place, indices=False)
    if key in ("temporal", "order") and chip.kind == "spatial":
        return [{level.name: ["K", "C", "FX", "OX", "OY", "FY"]} for level in chip.levels]
    node: Any = data
    for part in place:
        node = node.get(part) if isinstance(node, dict) else node[part]
    own = default(place) if node is None else node
    return [value for value in OTHERS[key] if value != own]


def named(place: tuple[Any, ...], *, indices: bool = True) -> str:
    return ".".join(str(part) for part in place if indices or isinstance(part, str))


def default(place: tuple[Any, ...]) -> Any:
    """What a key is where a file leaves it out."""
    model: type[BaseModel] = ChipFile
    *sections, last = [part for part in place if isinstance(part, str)]
    for section in sections:
        model = models(model.model_fields[section].annotation)[0]
    value = model.model_fields[last].get_default(call_default_factory=True)
    return list(value) if isinstance(value, tuple) else value


def outcome(host: str, place: tuple[Any, ...], value: Any) -> str:
    """`changed`, the error by which the value is refused, or what it leaves as it was."""
    data, chip, before = base(host)
    document = read(host)
    try:
        made = build_chip(document, document.validated(ChipFile, changed(data, place, value)))
    except AcceleratorError as error:
        return str(error)
    if place[-1] in TEXTS:
        return "changed"
    if made.fingerprint == chip.fingerprint:
        return "the fingerprint is the same"
    if any(one != two for one, two in zip(before, seen(host, made), strict=True)):
        return "changed"
    return "no cost, area, lint or text is another"


@pytest.mark.parametrize("host", HOSTS)
def test_every_key_has_an_effect_or_is_refused_where_it_stands(host: str) -> None:
    """Of every section of the file, each memory and axis for itself: some other value, or none is allowed."""
    idle = {}
    for place in places(ChipFile, loaded(host)[0]):
        found: dict[str, str] = {}
        for value in others(host, place):
            found[repr(value)] = outcome(host, place, value)
            if found[repr(value)] == "changed":
                break
        allowed = {value: said for value, said in found.items() if not re.match(rf"{host}:\d+", said)}
        depends = DEPENDS & {named(place, indices=False), (host, named(place))}
        if allowed and "changed" not in allowed.values() and not depends:
            idle[named(place)] = allowed
    assert idle == {}, list(idle)


def test_every_key_of_the_schema_is_asked_for() -> None:
    def keys(model: type[BaseModel], where: str = "") -> Iterator[str]:
        for key, field in model.model_fields.items():
            yield where + key
            for inner in models(field.annotation)[:1]:
                yield from keys(inner, f"{where}{key}.")

    assert set(keys(ChipFile)) - set(OTHERS) == set()


UNREAD = [
    ("free", "    size: 8 B", "    size: 8 B\n    brick: 2", "brick", "needs `timing: {kind: blocks}`"),
    ("gpu", "roofline:", "tiles: uneven\nroofline:", "tiles", "needs an array"),
    (
        "row_stationary",
        "memories:",
        "tiles: uneven\nmemories:",
        "tiles",
        "does not go with `dataflow: row_stationary`",
    ),
    ("sparse", "memories:", "tiles: uneven\nmemories:", "tiles", "does not go with `skipping`: leave out one"),
    ("systolic", "memories:", "tiles: uneven\nmemories:", "tiles", "does not go with `timing`"),
    ("free", "memories:", "order: {dram: [K]}\ntiles: uneven\nmemories:", "tiles", "does not go with `order`"),
    ("blocks", "    burst: 32 B", "    compressed: [I]", "compressed", "tensors lie as they are"),
    ("blocks", "size: 8, dims: [C]}", "size: 8, dims: [C], multicast: false}", "{axis: C", "share its operands"),
]
#: Keys of older files, which still load.
IGNORED = [
    ("free", "    size: unbounded", "    size: unbounded\n    area: 1 um^2/bit", "area", "needs a `size`"),
    ("gpu", "roofline:", "nm: ['2:4']\nroofline:", "nm:", "needs an array"),
    ("loop_nest", "energy: 0 pJ", "energy: 1 pJ", "energy: 1", "write `energy: 0 pJ`"),
    ("sparse", "memories:", "gating: [W]\nmemories:", "gating", "zeros of W are skipped"),
    ("systolic", "memories:", "diagonal: false\nmemories:", "diagonal", "needs two axes that unroll rows"),
]


def written(host: str, old: str, new: str) -> str:
    """The file of a host with something else in one place."""
    assert old in HOSTS[host]
    return HOSTS[host].replace(old, new, 1)


@pytest.mark.parametrize(("host", "old", "new", "place", "message"), UNREAD)
def test_a_key_of_another_kind_is_refused_where_it_stands(
    host: str, old: str, new: str, place: str, message: str
) -> None:
    text = written(host, old, new)
    with pytest.raises(AcceleratorError, match=message) as refused:
        document = parse_document(text, "chip.yaml", AcceleratorError)
        document.validated(ChipFile)
    line = int(str(refused.value).split(":")[1])
    assert place in text.splitlines()[line - 1]


@pytest.mark.parametrize(("host", "old", "new", "place", "message"), IGNORED)
def test_a_key_that_nothing_reads_is_said_with_every_cost(
    host: str, old: str, new: str, place: str, message: str
) -> None:
    text = written(host, old, new)
    document = parse_document(text, "chip.yaml", AcceleratorError)
    chip = build_chip(document, document.validated(ChipFile))
    (note,) = [note for note in chip.notes if note.startswith("chip.yaml:")]
    assert message in note and "is ignored" in note
    assert place in text.splitlines()[int(note.split(":")[1]) - 1]
    assert note in evaluate(LAYERS[0], chip).price_notes
    assert not [note for note in loaded(host)[1].notes if "is ignored" in note]


@pytest.mark.parametrize("key", ["cycles: {adds: 2}", "fuses: [relu]"])
def test_kinds_of_operations_are_those_of_traced_models(key: str, tmp_path: Path) -> None:
    with pytest.raises(
        AcceleratorError, match=r"vector\.(cycles|fuses).* must be one of activation, add, .* but got '(adds|relu)'"
    ):
        chip(tmp_path, TINY.replace("vector: {lanes: 2,", f"vector: {{lanes: 2, {key},"))
