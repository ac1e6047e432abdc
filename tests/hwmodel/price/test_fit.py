"""Fitting: latencies that a known machine made are explained, and its file says the same as the fit."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from hwmodel import Bits, Layer, evaluate, load_accelerator
from hwmodel.chip.formats import Format
from hwmodel.chip.measured import Machine, start_roofline, to_yaml
from hwmodel.errors import ConfigError
from hwmodel.price.fit import Sample, fit_roofline, mean_error, predict_seconds

START = start_roofline("cpu", 2, 32 << 20, (("fp32", 32), ("int8", 8)), channel_block=16)
TRUTH = replace(
    START,
    cache_bits_per_s=4e12,
    memory_bits_per_s=3e11,
    formats=tuple(
        replace(
            fmt, macs_per_s=4e12 / fmt.bits, conv_efficiency=0.7, pointwise_efficiency=0.7,
            direct_macs_per_s=1e10, overhead_s=4e-6, conv_overhead_s=9e-6, direct_overhead_s=2e-5,
            memory_bits_per_s=3e11,
        )
        for fmt in START.formats
    ),
)  # fmt: skip


def layers(name, width, sizes):
    bits = Bits(w=width, i=width)
    for n, size in enumerate(sizes):
        yield Layer(name=f"g{n}", kind="linear", dims={"B": size, "K": 2 * size, "C": 300}, bits=bits), name
        yield Layer(name=f"v{n}", kind="linear", dims={"B": 1, "K": 2 * size, "C": 999}, bits=bits), name
        dims = {"K": size, "C": 48, "OY": 20, "OX": 20, "FY": 3, "FX": 3}
        yield Layer(name=f"c{n}", dims=dims, bits=bits), name
        yield Layer(name=f"d{n}", dims={"G": size, "OY": 30, "OX": 30, "FY": 3, "FX": 3}, bits=bits), name


def samples(sizes):
    found = [*layers("fp32", 32, sizes), *layers("int8", 8, sizes)]
    return [Sample(layer=layer, fmt=fmt, seconds=predict_seconds(layer, TRUTH, fmt)) for layer, fmt in found]


def test_a_known_machine_is_found_again():
    fit = fit_roofline(samples((8, 30, 100, 350, 900)), START)
    assert fit.error < 0.1
    assert mean_error(samples((17, 60, 222, 640)), fit.machine) < 0.1


def test_the_file_is_the_fit(tmp_path):
    machine = Machine(name="mine", kind="cpu", device="made up", source="a test", memory_bytes=1 << 30)
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(machine, TRUTH))
    accelerator = load_accelerator(path)
    for layer, fmt in [*layers("fp32", 32, (64, 300)), *layers("int8", 8, (64, 300))]:
        expected = predict_seconds(layer, TRUTH, fmt)
        assert evaluate(layer, accelerator).latency_s == pytest.approx(expected, rel=1e-3, abs=2e-9)


def test_every_field_of_a_format_survives_its_file(tmp_path):
    """None is written and not read, or read and not written."""
    fraction, rate = 0.625, 2.5e9
    values = {
        field.name: fraction if "efficiency" in field.name else 16 if "bits" in field.name[-4:] else rate
        for field in fields(Format)
        if field.name not in ("name", "mac_pj")
    }
    known = Format(**{**values, "name": "fp16", "lowers": True, "sparse_rate": 2.0, "storage_bits": 32,
                      "overhead_s": 1e-6, "conv_overhead_s": 2e-6, "direct_overhead_s": 3e-6})  # fmt: skip
    assert all(getattr(known, f.name) != f.default for f in fields(Format) if f.name != "mac_pj")
    machine = Machine(name="mine", kind="cpu", device="made up", source="a test", memory_bytes=1 << 30)
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(machine, replace(TRUTH, formats=(known, replace(TRUTH.formats[-1], bits=32)))))
    assert load_accelerator(path).roofline.formats[0] == known


def test_samples_must_make_sense():
    good = samples((8, 30))
    with pytest.raises(ConfigError, match="format fp32 has no sample"):
        fit_roofline([s for s in good if s.fmt == "int8"], START)
    with pytest.raises(ConfigError, match="seconds > 0"):
        fit_roofline([replace(good[0], seconds=0.0), *good], START)
