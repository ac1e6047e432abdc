"""Calibration: what the device at hand needs for products and convolutions.

from workloads.calibrate import calibrate
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workloads.calibrate.run import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]


def __getattr__(name: str) -> Any:
    """Load torch on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workloads.calibrate import run

    return getattr(run, name)
