"""Tests with transformers, timm, Ray and psycopg, which have an environment of their own (`make extras`)."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

MISSING = [name for name in ("transformers", "timm", "ray", "psycopg") if importlib.util.find_spec(name) is None]
if MISSING and os.environ.get("HWMODEL_EXTRAS"):
    raise RuntimeError(f"{' and '.join(MISSING)} must be installed here: make extras")
if not MISSING and importlib.util.find_spec("torchvision") is not None:
    # The wheel of torchvision for CUDA beside a torch for the CPU: its operators do not load, and naming them
    # is all that its import asks for.
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


def pytest_collection_modifyitems(items):
    if MISSING:
        skip = pytest.mark.skip(reason=f"{' and '.join(MISSING)} not installed: make extras")
        for item in items:
            if "extras" in item.path.parts:
                item.add_marker(skip)
