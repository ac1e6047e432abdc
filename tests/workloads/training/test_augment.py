"""Augmentation: what may happen to an image, how often, and that one seed gives one result."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workloads.training import TrainSettings, augmented, cropped, cut_out, flipped

N, C, H, W = 400, 2, 6, 5


@pytest.fixture
def images() -> Tensor:
    return torch.arange(1.0, 1 + N * C * H * W).reshape(N, C, H, W)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_crop_is_a_window_of_the_image_padded_with_zeros(images: Tensor) -> None:
    out = cropped(images, 2, seeded())
    assert out.shape == images.shape
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    windows = {(dy, dx): padded[:, :, dy : dy + H, dx : dx + W] for dy in range(5) for dx in range(5)}
    found = torch.stack([(out == window).flatten(1).all(1) for window in windows.values()])
    assert found.sum(0).tolist() == [1] * N, "each image is one window, its channels alike"
    counts = found.sum(1)
    expected = N / 25
    assert (counts - expected).abs().max() < 5 * expected**0.5, "all windows are as likely"


def test_half_of_the_images_are_mirrored(images: Tensor) -> None:
    out = flipped(images, seeded())
    mirrored = (out == images.flip(-1)).flatten(1).all(1)
    same = (out == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert abs(int(mirrored.sum()) - N / 2) < 5 * (N / 4) ** 0.5


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_cutout_clears_one_square_that_the_edge_may_cut(images: Tensor, side: int) -> None:
    out = cut_out(images, side, seeded())
    cleared = out == 0
    assert torch.equal(out[~cleared], images[~cleared])
    assert (cleared[:, 0] == cleared[:, 1]).all(), "all channels at the same place"
    rows, columns = cleared[:, 0].any(2), cleared[:, 0].any(1)
    assert torch.equal(cleared[:, 0], rows[:, :, None] & columns[:, None, :]), "a rectangle"
    for extent, size in ((rows.sum(1), H), (columns.sum(1), W)):
        assert extent.max() == min(side, size)
        assert extent.min() >= (side + 1) // 2, "its centre lies in the image"
    centres = (cleared[:, 0].sum((1, 2)) == side * side).sum()
    assert centres > 0, "some squares are whole"


def test_one_seed_gives_one_result_and_each_image_its_own(images: Tensor) -> None:
    settings = TrainSettings(shift=1, crop=1, flip=True, cutout=2)
    first = augmented(images, settings, seeded(3))
    assert torch.equal(first, augmented(images, settings, seeded(3)))
    assert not torch.equal(first, augmented(images, settings, seeded(4)))
    same = images[:1].expand(64, -1, -1, -1)
    assert len({tuple(image.flatten().tolist()) for image in augmented(same, settings, seeded())}) > 16


def test_nothing_asked_changes_and_draws_nothing(images: Tensor) -> None:
    generator = seeded()
    before = generator.get_state()
    assert augmented(images, TrainSettings(), generator) is images
    assert torch.equal(generator.get_state(), before), "results of before augmentation existed stay the same"
    tokens = torch.zeros(4, 7, dtype=torch.int64)
    assert augmented(tokens, TrainSettings(crop=2, flip=True), generator) is tokens
