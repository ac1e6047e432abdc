"""Calibration: what the device at hand needs for products and convolutions.

from workloads.calibrate import calibrate_device
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.calibrate.run import Calibration, calibrate_device

__all__ = ["Calibration", "calibrate_device"]

__getattr__, __dir__ = lazy_exports(
    __name__, {"run": ("Calibration", "calibrate_device")}, old={"calibrate": "calibrate_device"}
)
