"""A folder of stand-ins: files of the right form whose images are noise around a pattern per class."""

from __future__ import annotations

import numpy as np
import pytest

from workloads import load_model


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for name, shape in (("cifar10", (32, 32, 3)), ("mnist", (28, 28))):
        patterns = draw.integers(40, 216, (10, *shape))
        arrays = {}
        for part, count in (("train", 6000), ("test", 5600)):
            labels = draw.permutation(np.arange(count) % 10).astype(np.uint8)
            noise = draw.integers(-40, 40, (count, *shape), dtype=np.int16)
            arrays |= {f"x_{part}": (patterns[labels] + noise).astype(np.uint8), f"y_{part}": labels}
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "weights").mkdir()
    for name in ("resnet20", "resnet56"):
        state = load_model(name, shortcut="pad").state_dict()
        np.savez(folder / "weights" / f"{name}_cifar10.npz", **{key: value.numpy() for key, value in state.items()})
    words = ("the quick brown fox jumps over a lazy dog and runs away from all of them again " * 3000).encode()
    (folder / "tinyshakespeare.txt").write_bytes(words[:200_000])
    return folder
