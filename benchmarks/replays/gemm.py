"""Replays `gemm` files: measured latency of single matrix products.

Format: {"columns": ["M", "N", "K", "milliseconds"], "dtype": "fp16", "rows": [[...], ...]}, and optionally
"accelerator": a name or a YAML file (default: a100).
"""

from __future__ import annotations

import re
from typing import Any

from benchmarks.replays.case import Case
from hwmodel import Bits, Dims, Layer, evaluate, load_accelerator


def width_bits(dtype: str) -> int:
    """Width of a number format by its name: fp16 -> 16, int8 -> 8, fp8_e4m3 -> 8 [bit].

    Raises:
        ValueError: no width in the name.
    """
    found = re.search(r"\d+", dtype)
    if found is None:
        raise ValueError(f"dtype must state a width, like fp16 or int8, but is {dtype!r}")
    return int(found[0])


def replay(data: Any) -> list[Case]:
    """One case per row: the latency of an M x K by K x N product [ms]."""
    accelerator = load_accelerator(data.get("accelerator", "a100"))
    width = width_bits(data["dtype"])
    columns = [name.lower() for name in data["columns"]]
    cases = []
    for row in data["rows"]:
        item = dict(zip(columns, row, strict=True))
        m, n, k = int(item["m"]), int(item["n"]), int(item["k"])
        layer = Layer(
            name=f"{m}x{n}x{k}",
            kind="linear",
            dims=Dims(B=m, K=n, C=k),
            bits=Bits(w=width, i=width),
        )
        latency_ms = evaluate(layer, accelerator).latency_s * 1e3
        cases.append(Case(name=layer.name, reference=item["milliseconds"], prediction=latency_ms))
    return cases
