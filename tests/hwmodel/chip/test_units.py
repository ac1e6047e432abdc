"""Units measure what a key asks for: bits are information, whatever pint takes them for."""

from __future__ import annotations

import pytest

from hwmodel.chip.units import parse_quantity


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("size", "64 KiB**2"),
        ("size", "65536 radian"),
        ("size", "655 percent"),
        ("size", "3 count"),
        ("width", "8 rad"),
        ("energy_per_bit", "0.02 pJ"),
        ("energy_per_bit", "0.02 pJ/rad"),
        ("energy", "0.3 pJ/bit"),
        ("frequency", "500 Mbit/s"),
        ("bandwidth", "64 Hz"),
        ("bandwidth", "4 Gbaud"),
        ("area_per_size", "0.1 mm^2"),
    ],
)
def test_bits_are_no_plain_number(kind: str, text: str) -> None:
    """What counts no bits is no size, no bandwidth and no energy of a bit, and the other way round."""
    with pytest.raises(ValueError, match=r"is not an? "):
        parse_quantity(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("size", "1 Mbit", 1e6),
        ("size", "2 kilobyte", 16e3),
        ("size", "3 Kibit", 3072.0),
        ("size", "2 bytes", 16.0),
        ("energy_per_bit", "3 pJ/B", 0.375),
        ("energy_per_bit", "24 pJ/(64 bit)", 0.375),
        ("bandwidth", "4 Gbit/s", 4e9),
        ("bandwidth", "3 GiB/s", 3 * 2**33),
        ("bandwidth_per_cycle", "8 B/cycle", 64.0),
        ("area_per_size", "8 mm^2/MiB", 8 / 2**23),
    ],
)
def test_bits_and_bytes_with_prefixes(kind: str, text: str, value: float) -> None:
    assert parse_quantity(kind, text) == pytest.approx(value, rel=1e-12)
