from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.workloads.compress.compress_models import TINY_LAYERS, images, tiny_graph, tiny_net
from workloads.compress import (
    ActivationQuantizer,
    CompressionConfig,
    LayerChoice,
    RangeObserver,
    UniformWeight,
    apply,
    calibrate,
    read_config,
    write_config,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seen(*batches: Tensor, axis: int | None = None) -> RangeObserver:
    observer = RangeObserver(axis)
    for batch in batches:
        observer.update(batch)
    return observer


def ends(observer: RangeObserver, rule: str) -> list[list[float]]:
    return [end.tolist() for end in observer.extremes(rule)]


def test_rules_by_hand() -> None:
    observer = seen(torch.tensor([-1.0, 3.0]), torch.tensor([-2.0, 2.0]), torch.tensor([0.0, 13.0]))
    assert ends(observer, "minmax") == [[-2.0], [13.0]]
    low, high = -1.0, 3.0
    for a, b in ((-2.0, 2.0), (0.0, 13.0)):
        low, high = 0.9 * low + 0.1 * a, 0.9 * high + 0.1 * b
    assert ends(observer, "moving_average") == [[pytest.approx(low)], [pytest.approx(high)]]


def test_percentiles_are_those_of_the_values() -> None:
    x = normal(9000)
    low, high = seen(x).extremes("percentile")
    np.testing.assert_allclose([low.item(), high.item()], np.percentile(x.numpy(), [0.1, 99.9]), rtol=1e-4)


@pytest.mark.parametrize("rule", ["minmax", "moving_average", "percentile"])
def test_a_channel_is_observed_like_a_tensor_of_its_own(rule: str) -> None:
    batches = [normal(8, 3, 6, seed=s) * torch.tensor([0.1, 1.0, 9.0])[:, None] for s in range(2)]
    low, high = seen(*batches, axis=1).extremes(rule)
    for channel in range(3):
        alone = seen(*(b[:, channel] for b in batches)).extremes(rule)
        assert (low[channel].item(), high[channel].item()) == pytest.approx([a.item() for a in alone], rel=1e-5)


def test_pruned_values_do_not_count() -> None:
    w, keep = torch.tensor([[1.0, 9.0], [-7.0, 2.0]]), torch.tensor([[True, False], [False, False]])
    for axis, expected in ((None, [[1.0], [1.0]]), (0, [[1.0, 0.0], [1.0, 0.0]])):
        observer = RangeObserver(axis)
        observer.update(w, keep)
        assert ends(observer, "minmax") == expected


@pytest.mark.parametrize("name", ["affine", "symmetric"])
def test_the_mse_range_beats_all_others(name: str) -> None:
    x = torch.cat([normal(4000), torch.tensor([25.0, -19.0])])[:, None]
    errors = {}
    for rule in ("minmax", "moving_average", "percentile", "mse"):
        quantizer = ActivationQuantizer(4, name, observer=rule)
        errors[rule] = float((quantizer(x) - x).square().sum())
    assert min(errors, key=errors.__getitem__) == "mse"
    assert errors["mse"] < errors["minmax"] / 2


@pytest.mark.parametrize("bits", [2, 4])
def test_symmetric_weights_of_any_observer_have_as_many_codes_below_zero_as_above(bits: int) -> None:
    """Codes -q .. q, q = 2^(b-1) - 1: the lowest value of n weights, all <= 0, is q steps away from 0.

    On a grid of 2^b codes it would be q + 1 steps away.
    """
    q, step = 2 ** (bits - 1) - 1, 0.5
    weight = -step * (torch.arange(4000) % (q + 1)).float().reshape(4, 1000)
    for observer in ("minmax", "moving_average", "percentile", "mse"):
        quantizer = UniformWeight(bits, symmetric=True, observer=observer)
        quantizer.initialise(weight, None)
        grid = quantizer.grid(weight)
        assert (grid.qmin, grid.qmax) == (-q, q)
        assert grid.scale.item() == pytest.approx(step, rel=1e-6), observer
        assert torch.equal(grid.codes(weight), (weight / step).to(torch.int32))


def test_a_configuration_chooses_observer_granularity_and_rounding(tmp_path: object) -> None:
    config = CompressionConfig.from_bits(
        dict.fromkeys(TINY_LAYERS, 3), a_bits=4, quantizer="affine", granularity="channel",
        observer="percentile", rounding="floor",
    )  # fmt: skip
    path = write_config(f"{tmp_path}/best.yaml", config, tiny_graph())
    assert read_config(path).config == config
    model = apply(tiny_net().eval(), config)
    calibrate(model, images())
    layer = model.block[2]
    assert layer.weight_grid().scale.shape == (12,)
    assert layer.weight_grid().rounding == layer.input_grid().rounding == "floor"
    plain = apply(tiny_net().eval(), CompressionConfig.from_bits(dict.fromkeys(TINY_LAYERS, 3), a_bits=4))
    assert plain.block[2].weight_quantizer.step.shape == ()


def test_defaults_leave_the_files_and_keys_of_old_configurations_as_they_were() -> None:
    """The hash of version 1 files with the six fields that they had."""
    import hashlib
    import json

    config = CompressionConfig({"a": LayerChoice(w_bits=3, a_bits=4, quantizer="minmax")})
    old = {"a_bits": 4, "density": 1.0, "pattern": "unstructured", "quantizer": "minmax", "w_bits": 3}
    assert config.to_dict() == {"layers": {"a": old}}
    text = json.dumps({"layers": {"a": old}}, sort_keys=True, separators=(",", ":"))
    assert config.key == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert LayerChoice(granularity="channel").to_dict()["granularity"] == "channel"


# ---- the sample has no rhythm ---------------------------------------------------------------------


@pytest.mark.parametrize("width", range(3, 16))
def test_the_sample_sees_every_column_of_an_image(width: int) -> None:
    """Columns are drawn alike: of n values each of W columns has n / W, to five standard deviations."""
    x = torch.arange(width).float().expand(65536 // width, width, width).clone()
    sample = seen(x).sample
    counts = torch.bincount(sample.long().flatten(), minlength=width).double()
    expected = sample.numel() / width
    assert sample.numel() == 1 << 14
    assert ((counts - expected).abs() < 5 * (expected * (1 - 1 / width)) ** 0.5).all(), counts


def test_a_border_of_ones_is_seen_in_small_images() -> None:
    x = torch.ones(256, 8, 7, 7)
    x[..., 0] = 0.01
    assert seen(x).sample.max() == 1


@pytest.mark.parametrize("axis", [None, 0])
def test_every_tap_of_a_large_kernel_counts(axis: int | None) -> None:
    """512 x 512 x 3 x 3, tap t holds the value t: the mean of the sample is that of 0..8, 4."""
    weight = torch.arange(9.0).reshape(3, 3).expand(512, 512, 3, 3)
    observer = RangeObserver(axis, 1 << 18)
    observer.update(weight)
    assert observer.sample.shape == ((1, 1 << 18) if axis is None else (512, 512))
    assert float(observer.sample.mean()) == pytest.approx(4.0, abs=0.05)


def test_the_sample_is_drawn_anew_for_every_batch_and_alike_in_every_run() -> None:
    x = torch.arange(100_000.0)
    one, two = seen(x, x).sample.chunk(2, dim=1)
    assert not torch.equal(one, two)
    assert torch.equal(seen(x, x).sample, torch.cat([one, two], 1))


def test_a_small_tensor_is_kept_whole() -> None:
    x = normal(3, 5)
    assert torch.equal(seen(x).sample, x.reshape(1, -1))
