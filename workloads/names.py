"""Names of models and data sets, for those who may not wait for torch: shell completion, above all."""

from __future__ import annotations

#: As `workloads.models.registry` builds them.
MODELS: tuple[str, ...] = (
    "dscnn", "lenet5", "mobilenetv2", "resnet18", "resnet20", "resnet32", "resnet44", "resnet50", "resnet56",
    "resnet8", "transformer", "vgg16",
)  # fmt: skip
#: As `workloads.data.registry` loads them.
DATA: tuple[str, ...] = ("cifar10", "digits", "folder", "mnist", "npz", "synthetic", "text")


def short_name(model: str) -> str:
    """`nets.py:build` -> `build`, `timm:resnet18` -> `resnet18`, `resnet20` -> `resnet20`."""
    return model.rpartition(":")[2] or model
