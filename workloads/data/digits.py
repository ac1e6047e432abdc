"""Handwritten digits that come with scikit-learn: 1,797 real scans of 8x8 pixels, no download.

Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998 (its test part).
"""

from __future__ import annotations

import numpy as np
import torch

from workloads.data.dataset import Dataset, make_dataset, resize
from workloads.options import check_count

VALIDATION = 360
TEST = 360


def digits(seed: int = 0, size: int | None = None, channels: int = 1) -> Dataset:
    """The digits, split 1,077 / 360 / 360 with every class in its share.

    Args:
        seed: of the split.
        size: resize to size x size (32 for LeNet-5); None keeps 8x8.
        channels: 3 repeats the grey channel for networks on colour images.
    """
    from sklearn.datasets import load_digits  # the slowest import of all data sets

    check_count("data 'digits'", "seed", seed, least=0)
    check_count("data 'digits'", "channels", channels)
    bundle = load_digits()
    images = torch.from_numpy(bundle.images).float().unsqueeze(1) / 16.0
    if size is not None:
        images = resize(images, check_count("data 'digits'", "size", size))
    labels = torch.from_numpy(bundle.target)
    parts = [(images[torch.from_numpy(i)], labels[torch.from_numpy(i)]) for i in split_indices(bundle.target, seed)]
    return make_dataset("digits", (parts[0], parts[1], parts[2]), 10, "scikit-learn digits, 8×8 scans", channels)


def split_indices(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of train, validation and test, stratified by label: disjoint and complete."""
    from sklearn.model_selection import train_test_split

    everything = np.arange(len(labels))
    rest, test = train_test_split(everything, test_size=TEST, random_state=seed, stratify=labels)
    train, validation = train_test_split(rest, test_size=VALIDATION, random_state=seed, stratify=labels[rest])
    return train, validation, test
