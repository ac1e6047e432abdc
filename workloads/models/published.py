"""Weights that others published and that we know: what they were trained on.

Source: Idelbayev, Proper ResNet Implementation for CIFAR10/CIFAR100 in PyTorch,
https://github.com/akamaster/pytorch_resnet_cifar10, trained on all 50,000 training images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from workloads.storage.foreign import is_foreign, read_foreign
from workloads.storage.weights import read_tensors


@dataclass(frozen=True, kw_only=True)
class Published:
    """Attributes:
    model: name of the architecture.
    data: name of the data set whose training files it was trained on, all of them.
    model_options: that the architecture was built with.
    data_options: how the images were scaled.
    """

    model: str
    data: str
    model_options: Mapping[str, str] = field(default_factory=dict)
    data_options: Mapping[str, str] = field(default_factory=dict)


def _resnet(name: str) -> Published:
    return Published(
        model=name, data="cifar10", model_options={"shortcut": "pad"}, data_options={"normalize": "imagenet"}
    )


#: Content -> what it is.
_KNOWN = {
    "8774c60a920d5a0a": _resnet("resnet20"),
    "9ec474b53effea05": _resnet("resnet32"),
    "82262fd9c3007d89": _resnet("resnet44"),
    "0f7d278ba70dc82d": _resnet("resnet56"),
}


def published(path: str | Path) -> Published | None:
    """What a file of weights is, in whatever format; None where we do not know it.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = Path(path)
    tensors = read_foreign(file) if is_foreign(file) else read_tensors(file)[1]
    return _KNOWN.get(content_digest(tensors))


def content_digest(tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits of the floating-point tensors, whatever they are called and however they are stored."""
    floats = [
        value.float().contiguous().numpy().tobytes() for value in tensors.values() if value.is_floating_point()
    ]
    return hashlib.sha256(b"".join(sorted(floats))).hexdigest()[:16]
