"""Exactly the integers that hardware computes: of a layer, of a whole network, and in its accumulators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.integer.accumulate import Accumulator, guaranteed_bits, sum_range, wrap
    from workloads.integer.folding import fold_batchnorms
    from workloads.integer.network import IntegerNetwork, integerize
    from workloads.integer.operands import LayerIntegers, PsumError, layer_integers, psum_error_table, psum_errors
    from workloads.integer.psums import PsumStatistics, psum_table, record_psums
    from workloads.integer.reference import fake_quantized
    from workloads.integer.requantize import Requantizer, fixed_point, requantizer
    from workloads.integer.widths import AccumulatorWidths, smallest_widths, sweep_widths, with_accumulators

__all__ = [
    "Accumulator",
    "AccumulatorWidths",
    "IntegerNetwork",
    "LayerIntegers",
    "PsumError",
    "PsumStatistics",
    "Requantizer",
    "fake_quantized",
    "fixed_point",
    "fold_batchnorms",
    "guaranteed_bits",
    "integerize",
    "layer_integers",
    "psum_error_table",
    "psum_errors",
    "psum_table",
    "record_psums",
    "requantizer",
    "smallest_widths",
    "sum_range",
    "sweep_widths",
    "with_accumulators",
    "wrap",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "accumulate": ("Accumulator", "guaranteed_bits", "sum_range", "wrap"),
        "folding": ("fold_batchnorms",),
        "network": ("IntegerNetwork", "integerize"),
        "operands": ("LayerIntegers", "PsumError", "layer_integers", "psum_error_table", "psum_errors"),
        "psums": ("PsumStatistics", "psum_table", "record_psums"),
        "reference": ("fake_quantized",),
        "requantize": ("Requantizer", "fixed_point", "requantizer"),
        "widths": ("AccumulatorWidths", "smallest_widths", "sweep_widths", "with_accumulators"),
    },
)
