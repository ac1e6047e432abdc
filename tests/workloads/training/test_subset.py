"""Smaller data sets for quick studies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from hwmodel.errors import ConfigError
from workloads import load_data
from workloads.data.dataset import Split


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


def places(part: Split, whole: Split) -> list[int]:
    """Which items of the whole the part has, each with its label."""
    found = {x.numpy().tobytes(): index for index, x in enumerate(whole.x)}
    own = [found[x.numpy().tobytes()] for x in part.x]
    assert torch.equal(part.y, whole.y[own])
    return own


def test_classes_keep_their_shares(data) -> None:
    small = data.subset(train=123, validation=20)
    assert [len(split) for split in (small.train, small.validation, small.test)] == [123, 20, 360]
    assert small.test is data.test and small.num_classes == 10
    for part, whole in ((small.train, data.train), (small.validation, data.validation)):
        assert len(set(places(part, whole))) == len(part), "no item twice"
        for label in range(10):
            share = int((whole.y == label).sum()) * len(part) / len(whole)
            assert abs(int((part.y == label).sum()) - share) <= 1
    assert small.source == f"{data.source}; seed 0: 123 train, 20 validation"
    assert small.describe().endswith("1×8×8, 10 classes, 123 train / 20 validation / 360 test")


def test_rare_classes_have_their_share() -> None:
    """90 and 10 items: of 10 there are 9 and 1, whatever the seed."""
    y = torch.tensor([0] * 90 + [1] * 10)
    split = Split(x=torch.randn(100, 1, 2, 2), y=y)
    data = replace(load_data("digits"), train=split)
    chosen = [data.subset(train=10, seed=seed).train for seed in range(5)]
    assert [int(part.y.sum()) for part in chosen] == [1] * 5
    assert len({tuple(places(part, split)) for part in chosen}) == 5, "each seed draws its own"


def test_a_seed_draws_the_same_again_and_none_takes_the_first(data) -> None:
    assert places(data.subset(train=40).train, data.train) == places(
        data.subset(train=40, seed=0).train, data.train
    )
    assert places(data.subset(train=40, seed=1).train, data.train) != places(
        data.subset(train=40).train, data.train
    )
    first = data.subset(test=40, seed=None)
    assert places(first.test, data.test) == list(range(40))
    assert first.source == f"{data.source}; the first 40 test"
    assert sorted(places(data.subset(test=360).test, data.test)) == list(range(360)), "all of them"


def test_tokens_and_numbers_are_drawn_alike() -> None:
    split = Split(x=torch.arange(20.0).reshape(20, 1), y=torch.arange(20.0))
    part = replace(load_data("digits"), train=split).subset(train=5).train
    assert len(set(places(part, split))) == 5 and places(part, split) != list(range(5))
    tokens = Split(x=torch.arange(40).reshape(20, 2), y=torch.arange(40).reshape(20, 2))
    assert len(set(places(replace(load_data("digits"), test=tokens).subset(test=5).test, tokens))) == 5


def test_what_cannot_be_asked_is_answered(data) -> None:
    with pytest.raises(
        ConfigError, match=r"subset: `test <= 360` must hold, the items that there are, but got 361"
    ):
        data.subset(test=361)
    with pytest.raises(ConfigError, match=r"subset: `train >= 1` must hold"):
        data.subset(train=0)
    with pytest.raises(ConfigError, match=r"subset: `seed >= 0` must hold"):
        data.subset(train=5, seed=-1)
    loader = DataLoader(TensorDataset(data.train.x, data.train.y), batch_size=8)
    with pytest.raises(ConfigError, match=r"subset: train must be in memory, but it streams"):
        replace(data, train=loader).subset(train=5)
    assert replace(data, train=loader).subset(test=5).train is loader
