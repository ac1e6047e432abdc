"""Handwritten digits that come with scikit-learn: 1,797 real scans of 8x8 pixels, no download.

Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998 (its test part).
"""

from __future__ import annotations

import numpy as np
import torch

from hwmodel.errors import ConfigError
from workloads.data.dataset import Dataset, make_dataset, resize
from workloads.options import check_count

IMAGES, CLASSES = 1797, 10
VALIDATION = 360
TEST = 360


def digits(
    seed: int = 0, size: int | None = None, channels: int = 1, validation: int = VALIDATION, test: int = TEST
) -> Dataset:
    """The digits, split 1,077 / 360 / 360 with every class in its share.

    Args:
        seed: of the split.
        size: resize to size x size (32 for LeNet-5); None keeps 8x8.
        channels: 3 repeats the grey channel for networks on colour images.
        validation, test: images of these parts; more tell smaller differences apart, and the rest, which trains,
            is less.

    Raises:
        ConfigError: a part without an image per class, or too few left to train on.
    """
    from sklearn.datasets import load_digits  # the slowest import of all data sets

    what = "data 'digits'"
    check_count(what, "seed", seed, least=0)
    check_count(what, "channels", channels)
    for name, count in (("validation", validation), ("test", test)):
        check_count(what, name, count, least=CLASSES)
    if validation + test > IMAGES - CLASSES:
        raise ConfigError(
            f"{what}: `validation + test <= {IMAGES - CLASSES}` must hold, so that some train, but got "
            f"validation={validation}, test={test}."
        )
    bundle = load_digits()
    images = torch.from_numpy(bundle.images).float().unsqueeze(1) / 16.0
    if size is not None:
        images = resize(images, check_count("data 'digits'", "size", size))
    labels = torch.from_numpy(bundle.target)
    chosen = split_indices(bundle.target, seed, validation, test)
    parts = [(images[torch.from_numpy(i)], labels[torch.from_numpy(i)]) for i in chosen]
    source = "scikit-learn digits, 8×8 scans"
    return make_dataset("digits", (parts[0], parts[1], parts[2]), CLASSES, source, channels)


def split_indices(
    labels: np.ndarray, seed: int, validation: int = VALIDATION, test: int = TEST
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of train, validation and test, stratified by label: disjoint and complete."""
    from sklearn.model_selection import train_test_split

    everything = np.arange(len(labels))
    rest, tested = train_test_split(everything, test_size=test, random_state=seed, stratify=labels)
    train, validated = train_test_split(rest, test_size=validation, random_state=seed, stratify=labels[rest])
    return train, validated, tested
