"""The script of the page and its data, ready to stand inside HTML, and the policy that lets only this script run.

plotly.js is embedded whole: heat maps, error bars and selecting points in one well-kept library that draws SVG
without evaluating code, as the policy demands (its WebGL traces, which do evaluate, are not used). Vega-Lite
compiles expressions, and would need its slower interpreter; uPlot draws time series only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

#: The files of the script, in the order in which they stand: each uses only those before it.
PARTS = (
    "base", "store", "charts", "theme", "candidates", "limits", "front", "table", "layers", "config", "chosen",
    "parallel", "sensitivity", "hypervolume", "main",
)  # fmt: skip
#: Characters that could end a script or a line of it -> their escapes, which JSON reads as the same.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def json_text(data: Any) -> str:
    """JSON that may stand inside `<script type="application/json">`.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


@cache
def script() -> str:
    """The library and our files, as one script."""
    from plotly.offline import get_plotlyjs

    folder = files("reports.page") / "script"
    own = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in PARTS)
    text = f'{get_plotlyjs()}\n(() => {{\n"use strict";\n{own}\n}})();\n'
    if "</script" in text.lower() or "<!--" in own:
        raise ValueError("the script holds a tag that would end it: the page would be broken")
    return text


def policy() -> str:
    """The Content-Security-Policy: nothing is loaded, and only our script runs."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
