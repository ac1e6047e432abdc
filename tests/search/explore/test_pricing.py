"""One design: what can be its own fault and what cannot, and how it is stripped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest

from hwmodel import load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import ConfigError, HwModelError, LayerError, MappingError, PrecisionError
from search.explore import pricing
from search.explore.pricing import Pricer, Widths
from tests.search.explore.helpers import GRAPH, RESIDENT, chip_file


def raising(error: HwModelError) -> Any:
    def call(*_: object, **__: object) -> Never:
        raise error

    return call


@pytest.mark.parametrize("error", [MappingError("no mapping fits"), PrecisionError("no such width")])
def test_a_network_that_does_not_run_has_a_reason_and_no_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: HwModelError
) -> None:
    pricer = Pricer(DesignSpace(chip_file(tmp_path)), [GRAPH])
    monkeypatch.setattr(pricing, "evaluate", raising(error))
    monkeypatch.setattr(pricing, "least_of_network", raising(error))
    assert pricer.price(0).error == str(error)
    assert pricer.least(0, pricer.look(0).room) == ()


def test_what_is_asked_wrong_is_no_design_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pricer = Pricer(DesignSpace(chip_file(tmp_path)), [GRAPH])
    monkeypatch.setattr(pricing, "evaluate", raising(ConfigError("wrong")))
    monkeypatch.setattr(pricing, "least_of_network", raising(ConfigError("wrong")))
    with pytest.raises(ConfigError, match="wrong"):
        pricer.price(0)
    with pytest.raises(ConfigError, match="wrong"):
        pricer.least(0, pricer.look(0).room)


@pytest.mark.parametrize("given", [{"w_bits": 0}, {"a_bits": 0}, {"w_bits": 33}, {"density": 0.0}])
def test_widths_out_of_range(given: dict[str, Any]) -> None:
    with pytest.raises(LayerError):
        Widths(**given)


def test_widths_leave_the_others_native() -> None:
    chip = load_accelerator("edge_npu")
    native = chip.native_bits
    (layer, *_) = Widths(w_bits=3).on(GRAPH, chip).layers
    assert (layer.bits.w, layer.bits.i, layer.density.w) == (3, native.i, 1.0)
    (layer, *_) = Widths(a_bits=5, density=0.25).on(GRAPH, chip).layers
    assert (layer.bits.w, layer.bits.i, layer.density.w) == (native.w, 5, 0.25)
    assert Widths().on(GRAPH, chip) is GRAPH


def changed(chip: Accelerator, level: int, **changes: Any) -> Accelerator:
    """The chip with another memory at a level."""
    levels = list(chip.levels)
    memory = replace(levels[level].memories[0], **changes)
    levels[level] = replace(levels[level], memories=(memory,))
    return replace(chip, levels=tuple(levels))


def test_a_look_tells_apart_what_bounds_and_kin_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports are no part of a kin, nor of what is alike."""
    space = DesignSpace(chip_file(tmp_path, RESIDENT))
    design = space.design(0)

    def look(chip: Accelerator) -> pricing.Look:
        monkeypatch.setattr(DesignSpace, "design", lambda *_: replace(design, accelerator=chip))
        return Pricer(space, [GRAPH]).look(0)

    base = design.accelerator
    first = look(base)
    wider = look(changed(base, 1, read_bits_per_cycle=1e3))
    assert (wider.kin, wider.like) == (first.kin, first.like)
    register = look(changed(base, 0, size_bits=base.levels[0].memories[0].size_bits * 2))
    larger = look(changed(base, 1, size_bits=2.0**15))
    assert len({first.kin, register.kin, larger.kin}) == len({first.like, register.like, larger.like}) == 3
    assert first.family == ""  # tensors stay: rooms are rounded, groups are tried where tensors do not fit
    dearer = look(changed(base, 1, read_pj_per_bit=7.0))
    assert dearer.kin != first.kin and dearer.like != first.like
    unbounded = look(changed(base, 1, read_bits_per_cycle=None))
    assert unbounded.kin != first.kin  # no port is another thing than an endless one


def test_designs_of_one_family_differ_in_sizes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = DesignSpace(chip_file(tmp_path))
    design = space.design(0)

    def family(chip: Accelerator) -> str:
        monkeypatch.setattr(DesignSpace, "design", lambda *_: replace(design, accelerator=chip))
        return Pricer(space, [GRAPH]).look(0).family

    base = design.accelerator
    own = family(base)
    assert own and own == family(changed(base, 1, size_bits=2.0**15)) == family(changed(base, 0, size_bits=128.0))
    assert own != family(changed(base, 1, read_pj_per_bit=7.0))
    assert family(changed(base, 1, leakage_w=1e-3)) == ""  # then more cycles take more energy
