"""Names and patterns against known names, and what is said when nothing fits."""

from __future__ import annotations

import pytest

from hwmodel.errors import ConfigError, GraphError, check_names, check_one_of
from hwmodel.network.patterns import matching

NAMES = ["conv1", "blocks[0]", "blocks0", "layer1.a", "layer1.b", "fc"]


@pytest.mark.parametrize(
    ("patterns", "met"),
    [
        ("fc", ["fc"]),
        ("layer1.*", ["layer1.a", "layer1.b"]),
        (["fc", "conv?"], ["conv1", "fc"]),
        ("blocks[0]", ["blocks[0]"]),
        ("blocks[0-9]", ["blocks0"]),
        ([], []),
    ],
)
def test_patterns_meet_names_in_the_order_of_the_names(patterns, met):
    """An exact name goes before the pattern that it could be read as."""
    assert matching(patterns, NAMES) == met


def test_a_pattern_that_meets_nothing_names_place_number_and_nearest():
    with pytest.raises(
        ConfigError, match=r"^frozen: 'layr1\.a\*' matched 0 of 6 layers\. Did you mean 'layer1\.a'\?$"
    ):
        matching(["fc", "layr1.a*"], NAMES, place="frozen")
    with pytest.raises(ConfigError, match=r"^'xyz' matched 0 of 6 tensors\.$"):
        matching("xyz", NAMES, "tensors")


def test_names_and_words_are_checked_in_one_sentence_each():
    check_names(["fc"], NAMES)
    check_names([], [])
    with pytest.raises(GraphError, match=r"^'fd' matched 0 of 6 layers\. Did you mean 'fc'\?$"):
        check_names(["fc", "fd"], [*NAMES, "fc"], error=GraphError)
    check_one_of("route", "auto", ("auto", "export"))
    with pytest.raises(
        ConfigError, match=r"^route must be one of auto, export, but got 'exprt'\. Did you mean 'export'\?$"
    ):
        check_one_of("route", "exprt", ("auto", "export"))
    with pytest.raises(ConfigError, match=r"^route must be one of auto, export, but got 3\.$"):
        check_one_of("route", 3, ("auto", "export"))
