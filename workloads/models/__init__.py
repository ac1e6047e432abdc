"""Networks by name: plain modules with the layer names of their papers' reference code."""

from hwmodel.lazy import lazy_exports
from workloads.models.registry import (
    load_model,
    load_model_with_input,
    model_names,
    options_for,
)

__all__ = ["load_model", "load_model_with_input", "model_names", "options_for"]

__getattr__, __dir__ = lazy_exports(
    __name__, {}, old={"load_pretrained_npz": "workloads.models.registry.load_pretrained_npz"}
)
