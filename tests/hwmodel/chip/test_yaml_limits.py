"""YAML that is small on the disk and large in memory, or no kind of value that a file may hold, is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hwmodel.chip import yamllimits
from hwmodel.chip.yamlfile import Schema, parse_yaml, read_yaml
from hwmodel.chip.yamllimits import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, MAX_VALUES
from hwmodel.errors import ConfigError


class Anything(Schema):
    a: Any = None
    b: Any = None


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, Anything, place="x.yaml")
    message = str(caught.value)
    assert message.startswith("x.yaml:")
    assert len(message) < 500
    return message


def nested(depth: int) -> str:
    """A mapping with lists in it: `depth` of them inside each other."""
    return "a: " + "[" * (depth - 1) + "]" * (depth - 1)


def bomb(width: int, depth: int) -> str:
    """`width ** depth` values in `depth` lines."""
    lines = [f"- &v0 [{','.join(['x'] * width)}]"]
    lines += [f"- &v{n} [{','.join([f'*v{n - 1}'] * width)}]" for n in range(1, depth)]
    return "a:\n" + "\n".join(lines)


def test_depth_is_limited() -> None:
    parse_yaml(nested(MAX_DEPTH), Anything)
    assert f"x.yaml:1:{len('a: ') + MAX_DEPTH}" in refusal(nested(MAX_DEPTH + 1))
    for text in (nested(100_000), "{a: " * 100_000, "a:\n" + "".join(" " * n + "-\n" for n in range(1, 400))):
        assert f"deeper than {MAX_DEPTH}" in refusal(text)


def test_aliases_are_limited_by_their_number_and_by_what_they_repeat() -> None:
    few = f"a: &x [1, 2]\nb: [{', '.join(['*x'] * MAX_ALIASES)}]"
    assert parse_yaml(few, Anything).b == [[1, 2]] * MAX_ALIASES
    assert f"more than {MAX_ALIASES} aliases" in refusal(few.replace("]\nb: [", "]\nb: [*x, "))
    assert 9**8 > MAX_VALUES > 9**4
    assert MAX_ALIASES > 9 * 7
    assert f"more than {MAX_VALUES} values" in refusal(bomb(9, 8))


@pytest.mark.parametrize("text", ["a: &x [*x]", "&x\na: *x", "a: &x\n  <<: *x\nb: 1", "a: &x {b: [1, {c: *x}]}"])
def test_nothing_contains_itself(text: str) -> None:
    assert "*x stands inside of itself" in refusal(text)
    assert parse_yaml("&x a: {b: *x}", Anything).a == {"b": "a"}  # the anchor is the key's
    assert "&x is used twice" in refusal("a: &x 1\nb: &x 2")


def test_size_is_limited(tmp_path, monkeypatch) -> None:
    largest = "a: " + "x" * (MAX_BYTES - 3)
    assert len(parse_yaml(largest, Anything).a) == MAX_BYTES - 3
    assert "larger than 1000 kB" in refusal(largest + "x")
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: " + b"x" * MAX_BYTES)
    with pytest.raises(ConfigError, match="larger than 1000 kB"):
        read_yaml(path, Anything)
    assert "more than 100000 lines" in refusal("a: 1\n" + "#\n" * 100_000)
    assert "a tag (!...)" in refusal("a: !" + "x" * 900_000)
    monkeypatch.setattr(yamllimits, "MAX_VALUES", 100)
    parse_yaml("a:\n" + "- 1\n" * 97, Anything)  # the mapping, its key and the list beside them
    assert "more than 100 values" in refusal("a:\n" + "- 1\n" * 98)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("9" * 30, "below 2^63"),
        ("-" + "9" * 30, "below 2^63"),
        ("9" * 100_000, "not valid YAML"),
        ("0x" + "f" * 10_000, "below 2^63"),
        (".inf", "finite"),
        (".nan", "finite"),
        ("1e999", "finite"),
        ("2020-01-01", "in quotes"),
        ("2020-01-01 10:00:00", "in quotes"),
        ("!!set {x, y}", "no kind of value"),
        ("!!binary aGVsbG8=", "no kind of value"),
        ("!thing x", "no kind of value"),
        ("!!python/name:os.system ''", "no kind of value"),
        ("!!float x", ""),
        ("!!int x", ""),
        ("!!timestamp x", ""),
        ("{? [1] : 2}", "keys are text"),
        ("{null: 1}", "keys are text"),
        ("{1.5: 1}", "keys are text"),
        ("{true: 1}", "keys are text"),
        ("{1: a, '1': b}", "set twice"),
    ],
)
def test_values_are_plain(value: str, said: str) -> None:
    for text in (f"a: {value}", f"a: [{value}]"):
        assert said in refusal(text)


def test_integer_keys_are_names_of_modules() -> None:
    assert parse_yaml("a: {0: x, 1: y}", Anything).a == {"0": "x", "1": "y"}


@pytest.mark.parametrize("data", [b"\xff\xfea\x00", b"a: caf\xe9", b"a: x\0y", b"a: \x1b[31m", b'a: "\\ud800"'])
def test_bytes_that_are_no_text(tmp_path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"x\.yaml:"):
        read_yaml(path, Anything)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path, Anything).a == 1


def test_a_file_of_problems_is_summed_up() -> None:
    text = "\n".join(f"k{n}: 1" for n in range(200))
    with pytest.raises(ConfigError, match="and 180 more") as caught:
        parse_yaml(text, Anything)
    assert len(str(caught.value).splitlines()) == 21


@pytest.mark.parametrize(
    "text", [bomb(9, 8), nested(5000), nested(400), "a: &x [*x]", "{a: " * 100_000, "a: " + "x" * 2_000_000]
)
def test_a_refusal_takes_a_moment(text: str) -> None:
    start = time.process_time()
    refusal(text)
    assert time.process_time() - start < 1.0  # about 0.02 s: a hundred times that is another kind of work
