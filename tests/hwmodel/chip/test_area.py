"""Areas: a sum over cited parts, unknown parts said to be unknown."""

from __future__ import annotations

import pytest

from benchmarks.replays.figures import figures
from hwmodel import list_accelerators, load_accelerator
from hwmodel.chip.area import chip_area
from hwmodel.errors import AcceleratorError
from tests.hwmodel.chips import TINY, chip


def test_area_by_component(tmp_path):
    text = TINY.replace("energy: 0.5 pJ, source: test}", "energy: 0.5 pJ, area: 700 um^2, source: test}")
    text = text.replace("    size: 64 B\n", "    size: 64 B\n    area: 0.008 mm^2/KiB\n")
    area = chip_area(chip(tmp_path, text))
    assert [(c.name, c.copies, c.mm2) for c in area.components] == [
        ("MACs", 4, pytest.approx(4 * 700e-6)),
        ("regs", 4, None),
        ("buffer", 1, pytest.approx(0.008 * 64 / 1024)),
    ]
    assert area.unknown == ("regs",)
    assert area.mm2 is None
    assert area.known_mm2 == pytest.approx(4 * 700e-6 + 0.008 / 16)
    text = text.replace("    size: 8 B\n", "    size: 8 B\n    area: 2 um^2/bit\n")
    whole = chip_area(chip(tmp_path, text))
    assert whole.mm2 == pytest.approx(4 * 700e-6 + 4 * 64 * 2e-6 + 0.008 / 16)


@pytest.mark.parametrize(
    ("area", "said"),
    [("700", "700 has no unit. Write 700 um"), ("3 mm", "is not an area"), ("-1 um^2", "must be above 0")],
)
def test_areas_have_units(tmp_path, area, said):
    text = TINY.replace("energy: 0.5 pJ, source: test}", f"energy: 0.5 pJ, area: {area}, source: test}}")
    with pytest.raises(AcceleratorError, match=said):
        chip(tmp_path, text)


@pytest.mark.parametrize("name", list_accelerators())
def test_every_preset_has_an_area_or_says_that_it_is_unknown(name):
    area = chip_area(load_accelerator(name))
    assert all(component.mm2 is None or component.mm2 > 0 for component in area.components)
    assert all(component.source for component in area.components if component.mm2 is not None)


@pytest.mark.parametrize(("name", "widths"), [("bitfusion", (8, 2)), ("edge_npu", (8, 8))])
def test_macs_have_the_synthesised_area(name, widths):
    """Bit Fusion's 45 nm synthesis of one PE."""
    rows = figures("pe_synthesis_45nm.json")
    (published,) = [r["area_um2"] for r in rows if (r["max_bits"], r["min_bits"]) == widths]
    accelerator = load_accelerator(name)
    assert accelerator.mac_area_mm2 == pytest.approx(published * 1e-6, rel=1e-6)
    assert chip_area(accelerator).components[0].mm2 == pytest.approx(accelerator.num_pes * published * 1e-6)
