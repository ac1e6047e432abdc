from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hwmodel.errors import ConfigError
from hwmodel.network.choice import surviving_weights
from hwmodel.network.layer import Density, Dims, Layer
from workloads.compress import LayerChoice
from workloads.compress.prune import block_mask, build_mask, filter_mask, magnitude_mask


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def survivors(mask: Tensor, weight: Tensor) -> int:
    return int(mask.expand_as(weight).sum())


@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(1, 6), c=st.integers(1, 6), groups=st.integers(1, 4), size=st.integers(1, 3),
    density=st.floats(0.01, 1.0), pattern=st.sampled_from(["unstructured", "filter"]),
)  # fmt: skip
def test_the_number_kept_is_the_cost_models(
    k: int, c: int, groups: int, size: int, density: float, pattern: str
) -> None:
    weight = normal(groups * k, c, size, size)
    mask = build_mask(weight, LayerChoice(density=density, pattern=pattern), groups)
    kept = weight.numel() if mask is None else survivors(mask, weight)
    layer = Layer(
        name="l", dims=Dims(G=groups, K=k, C=c, FY=size, FX=size), density=Density(w=density, pattern=pattern)
    )
    assert kept == surviving_weights(layer)
    if pattern == "unstructured" and kept > 1:
        assert abs(kept / weight.numel() - density) <= 0.5 / weight.numel() + 1e-12


def test_the_largest_magnitudes_stay() -> None:
    weight = torch.tensor([[0.1, -3.0], [2.0, -0.2]])
    assert magnitude_mask(weight, 0.5).tolist() == [[False, True], [True, False]]
    assert magnitude_mask(torch.ones(1, 4), 0.5).tolist() == [[True, True, False, False]], "ties: lower index"


def test_filters_with_the_largest_l1_norm_stay() -> None:
    weight = normal(10, 3, 3, 3)
    norms = weight.abs().sum((1, 2, 3))
    mask = filter_mask(weight, 0.35)  # 3.5 filters: halves round up
    assert mask.shape == (10, 1, 1, 1)
    assert set(mask.flatten().nonzero().flatten().tolist()) == set(norms.topk(4).indices.tolist())


def test_groups_keep_equally_many_and_depthwise_drops_groups() -> None:
    weight = normal(8, 2, 3, 3)
    weight[:4] *= 100  # the first group outweighs the second
    assert filter_mask(weight, 0.5, groups=2).flatten().reshape(2, 4).sum(1).tolist() == [2, 2]
    depthwise = normal(8, 1, 3, 3)
    mask = filter_mask(depthwise, 0.5, groups=8).flatten()
    assert int(mask.sum()) == 4
    assert depthwise.abs().sum((1, 2, 3))[mask].min() >= depthwise.abs().sum((1, 2, 3))[~mask].max()


def test_listed_channels_stay() -> None:
    weight = normal(6, 2)
    mask = build_mask(weight, LayerChoice(pattern="filter", density=0.5, keep_channels=(0, 4, 5)))
    assert mask is not None
    assert mask.flatten().tolist() == [True, False, False, False, True, True]
    with pytest.raises(ConfigError, match=r"keep_channels must lie in 0\.\.5, but got 6"):
        filter_mask(weight, 0.5, keep_channels=(0, 1, 6))
    with pytest.raises(ConfigError, match=r"must name 3 channels to match the density, but names \[2\]"):
        filter_mask(weight, 0.5, keep_channels=(0, 1))


@pytest.mark.parametrize(("kept", "block"), [(1, 4), (2, 4), (4, 8)])
def test_every_block_of_input_channels_keeps_its_largest(kept: int, block: int) -> None:
    weight = normal(5, 16, 3, 3)
    mask = block_mask(weight, kept, block)
    blocks = mask.movedim(1, -1).reshape(-1, block)
    assert blocks.sum(1).eq(kept).all()
    sizes = weight.abs().movedim(1, -1).reshape(-1, block)
    lowest_kept = sizes.masked_fill(~blocks, math.inf).amin(1)
    highest_dropped = sizes.masked_fill(blocks, -math.inf).amax(1)
    assert (lowest_kept >= highest_dropped).all()
    assert survivors(mask, weight) == surviving_weights(
        Layer(name="l", dims=Dims(K=5, C=16, FY=3, FX=3), density=Density(pattern=f"{kept}:{block}"))
    )


def test_blocks_must_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match=r"divisible by 4, but got 3\. Leave this layer dense"):
        block_mask(normal(2, 3, 3, 3), 2, 4)


def test_dense_needs_no_mask() -> None:
    assert build_mask(normal(2, 2), LayerChoice(w_bits=4)) is None
