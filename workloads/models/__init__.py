"""Networks by name: plain modules with the layer names of their papers' reference code."""

from workloads.models.registry import (
    load_model,
    load_model_with_input,
    load_pretrained_npz,
    model_names,
    options_for,
)

__all__ = ["load_model", "load_model_with_input", "load_pretrained_npz", "model_names", "options_for"]
