"""Ranges in a chip file: what they stand for, which chips they make, and what is refused where."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.chip.loader import load_accelerator
from hwmodel.chip.sweep.designs import has_ranges, load_designs
from hwmodel.chip.sweep.ranges import values_of
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import AcceleratorError
from tests.hwmodel.chips import TINY

SWEEP = """\
sweep:
  - array.X.size: [2, 4, 8]
  - memories.buffer.size: 64 B..128 B*2
    memories.buffer.read_energy: [0.1 pJ/bit, 0.14 pJ/bit]
    memories.buffer.write_energy: [0.13 pJ/bit, 0.18 pJ/bit]
"""
SWEEP_LINE = TINY.count("\n") + 1


def write(folder: Path, sweep: str, base: str = TINY) -> Path:
    path = folder / "chip.yaml"
    path.write_text(base + sweep)
    return path


# ---- values --------------------------------------------------------------------------------------


@given(
    first=st.decimals("0.01", "1000", places=2), step=st.decimals("1.01", "9", places=2), count=st.integers(2, 9),
    slack=st.decimals("0", "0.9", places=1), unit=st.sampled_from(["", " KiB", "KiB", " pJ/bit", " um**2"]),
)  # fmt: skip
def test_a_range_has_every_step_up_to_its_end(
    first: Fraction, step: Fraction, count: int, slack: Fraction, unit: str
) -> None:
    first, step, slack = Fraction(first), Fraction(step), Fraction(slack)
    for sign, nth in (("*", lambda n: first * step**n), ("+", lambda n: first + step * n)):
        exact = [nth(n) for n in range(count)]
        last = exact[-1] + slack * (nth(count) - exact[-1])
        text = f"{float(first)!r}{unit}..{_decimal(last)}{unit}{sign}{float(step)!r}"
        found = values_of(text)
        numbers = [float(str(value).removesuffix(unit.strip()).strip()) for value in found]
        assert numbers == pytest.approx([float(value) for value in exact], rel=1e-9)
        assert all(str(value).endswith(unit.strip()) for value in found)


def _decimal(value: Fraction) -> str:
    """Written out exactly: all of these are finite decimals."""
    digits = 40
    scaled = value * 10**digits
    assert scaled.denominator == 1
    return f"{scaled.numerator // 10**digits}.{scaled.numerator % 10**digits:0{digits}d}"


@pytest.mark.parametrize(
    ("stated", "values"),
    [
        ("8..64*2", (8, 16, 32, 64)),
        ("8..60*2", (8, 16, 32)),
        ("4..16+4", (4, 8, 12, 16)),
        ("1..2+0.5", (1, 1.5, 2)),
        ("64KiB..1MiB*4", ("64 KiB", "256 KiB", "1024 KiB")),
        ("64..256 KiB*2", ("64 KiB", "128 KiB", "256 KiB")),
        ("0.1 pJ..0.3 pJ+100 fJ", ("0.1 pJ", "0.2 pJ", "0.3 pJ")),
        ("1 GHz..1500 MHz+250 MHz", ("1 GHz", "1.25 GHz", "1.5 GHz")),
        ([True, False], (True, False)),
        ([["K"], ["K", "G"]], (["K"], ["K", "G"])),
    ],
)
def test_values(stated: object, values: tuple[object, ...]) -> None:
    assert values_of(stated) == values


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("8..64", "is no range. Write a list, or a range such as 64 KiB"),
        ("a..b*2", "is no range"),
        ("8..64*1", "`factor > 1` must hold"),
        ("0..64*2", "`first > 0`"),
        ("8..64+0", "`step > 0` must hold"),
        ("64..8*2", "`first < last` must hold"),
        ("8 KiB..64 KiB*2 KiB", "a factor has no unit, but got 'KiB'"),
        ("8 KiB..64 pJ*2", "pJ and KiB are not units of one kind"),
        ("1..9e9+1", "has more than 100,000 values"),
        (8, "must be several values, but got 8"),
        ([], "must be several values"),
        ([8, 16, 8], "must name each value once"),
        (["64 KiB", "65536 B"], "must name each value once, but got ['64 KiB', '65536 B']: 65536 B is 64 KiB"),
    ],
)
def test_what_is_no_range_is_said(stated: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        values_of(stated)


# ---- designs -------------------------------------------------------------------------------------


def test_every_design_is_the_file_with_its_values(tmp_path: Path) -> None:
    designs = load_designs(write(tmp_path, SWEEP))
    buffers = [("64 B", "0.1 pJ/bit", "0.13 pJ/bit"), ("128 B", "0.14 pJ/bit", "0.18 pJ/bit")]
    wanted = list(itertools.product([2, 4, 8], buffers))
    assert [tuple(design.values.values()) for design in designs] == [(x, *buffer) for x, buffer in wanted]
    for design, (x, (size, read, written)) in zip(designs, wanted, strict=True):
        text = TINY.replace("axis: X, size: 2", f"axis: X, size: {x}").replace("size: 64 B", f"size: {size}")
        text = text.replace("read_energy: 0.1 pJ/bit", f"read_energy: {read}")
        text = text.replace("write_energy: 0.13 pJ/bit", f"write_energy: {written}")
        by_hand, written_out = tmp_path / f"{design.number}.yaml", tmp_path / f"{design.number}-out.yaml"
        by_hand.write_text(text)
        written_out.write_text(design.to_yaml())
        assert load_accelerator(by_hand) == load_accelerator(written_out) == design.accelerator
    assert len({design.accelerator.fingerprint for design in designs}) == len(designs) == 6
    assert designs.notes == ()
    assert designs[1].name == (
        "array.X.size=2, memories.buffer.size=128 B, memories.buffer.read_energy=0.14 pJ/bit, "
        "memories.buffer.write_energy=0.18 pJ/bit"
    )


def test_a_file_without_ranges_is_its_only_design(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    (design,) = load_designs(path)
    assert (design.accelerator, design.values, design.name) == (load_accelerator(path), {}, "tiny")
    assert not has_ranges(path)
    (preset,) = load_designs("eyeriss")
    assert preset.accelerator == load_accelerator("eyeriss")


def test_a_file_without_ranges_that_is_no_chip_is_refused_as_one(tmp_path: Path) -> None:
    path = write(tmp_path, "", TINY.replace("size: 64 B", "size: 1 B"))
    with pytest.raises(AcceleratorError) as alone:
        load_accelerator(path)
    with pytest.raises(AcceleratorError) as listed:
        load_designs(path)
    assert str(listed.value) == str(alone.value)


def test_one_mapping_sweeps_freely_and_a_default_may_be_swept(tmp_path: Path) -> None:
    designs = load_designs(
        write(tmp_path, "sweep: {memories.buffer.double_buffered: [true, false], clock: [100 MHz, 200 MHz]}\n")
    )
    assert [tuple(design.values.values()) for design in designs] == [
        (True, "100 MHz"), (True, "200 MHz"), (False, "100 MHz"), (False, "200 MHz"),
    ]  # fmt: skip
    assert [design.accelerator.memories()["buffer"].double_buffered for design in designs] == [
        True,
        True,
        False,
        False,
    ]
    spared = load_designs(write(tmp_path, "sweep: {host_unfolds: [0, 4]}\n"))
    assert [design.accelerator.unfolded_channels for design in spared] == [0, 4]


def test_one_chip_is_asked_of_a_file_with_ranges(tmp_path: Path) -> None:
    path = write(tmp_path, SWEEP)
    assert has_ranges(path)
    with pytest.raises(
        AcceleratorError, match=rf"chip.yaml:{SWEEP_LINE}:1 has ranges.*hwmodel explore --run RUN --hw"
    ):
        load_accelerator(path)


@pytest.mark.parametrize(
    ("sweep", "line", "message"),
    [
        ("sweep: {array.Z.size: [1, 2]}\n", 1, "'array.Z.size' leads nowhere: 'Z' is not among X, Y"),
        (
            "sweep: {memories.bufer.size: [64 B, 128 B]}\n",
            1,
            "'bufer' is not among regs, buffer, dram. Did you mean 'buffer'?",
        ),
        (
            "sweep: {vector.lanes.many: [1, 2]}\n",
            1,
            "'vector.lanes.many' leads nowhere: nothing is named before 'many'",
        ),
        ("sweep:\n  clock: 100 MHz\n", 2, "clock: must be several values, but got '100 MHz'"),
        ("sweep:\n  clock: 100 MHz..50 MHz*2\n", 2, "`first < last` must hold"),
        ("sweep: 3\n", 1, "must map paths to values"),
        ("sweep: []\n", 1, "must map paths to values"),
        (
            "sweep:\n  - clock: [1 MHz, 2 MHz]\n  - clock: [3 MHz, 4 MHz]\n",
            3,
            "'clock' is swept already, by 'clock'",
        ),
        (
            "sweep:\n  - array.X: [1, 2]\n  - array.X.size: [1, 2]\n",
            3,
            "'array.X.size' is swept already, by 'array.X'",
        ),
        (
            "sweep:\n  - clock: [1 MHz, 2 MHz]\n    array.X.size: [1, 2, 3]\n",
            2,
            "as many values each, but clock has 2, array.X.size has 3",
        ),
        (
            "sweep: {array.X.size: 1..1000+1, array.Y.size: 1..1000+1}\n",
            1,
            "`designs <= 100,000` must hold, but there are 1,000,000",
        ),
        ("sweep:\n  clock: [100 MHz, 3]\n", 2, "clock: 3 has no unit. Write 3 MHz. (design clock=3)"),
        (
            "sweep:\n  mac.energi: [1 pJ, 2 pJ]\n",
            2,
            "unknown key 'energi' in mac. Did you mean 'energies'? (design mac.energi=1 pJ)",
        ),
        ("sweep:\n  array.X.size: [4, 0]\n", 2, "greater than or equal to 1, but got 0 (design array.X.size=0)"),
    ],
)  # fmt: skip
def test_errors_name_the_line_of_the_range(tmp_path: Path, sweep: str, line: int, message: str) -> None:
    with pytest.raises(AcceleratorError, match=re.escape(message)) as refused:
        load_designs(write(tmp_path, sweep))
    assert f"chip.yaml:{SWEEP_LINE + line - 1}:" in str(refused.value)


def test_what_can_be_no_chip_is_left_out_and_said(tmp_path: Path) -> None:
    """A buffer of 8 B holds a word of W, I and O (8 + 8 + 16 bit) twice, but not with an accumulator of 32 bit."""
    sweep = "sweep: {memories.buffer.size: [8 B, 64 B], mac.accumulator: [16 bit, 32 bit]}\n"
    designs = load_designs(write(tmp_path, sweep))
    assert [tuple(design.values.values()) for design in designs] == [
        ("8 B", "16 bit"), ("64 B", "16 bit"), ("64 B", "32 bit"),
    ]  # fmt: skip
    assert [design.number for design in designs] == [0, 1, 2]
    assert designs.notes[0].startswith("1 of 4 combinations can be no chip and are left out; the first: ")
    assert "buffer 'buffer' (8 B) cannot hold" in designs.notes[0]
    with pytest.raises(AcceleratorError, match=r"cannot hold.*design memories\.buffer\.size=4 B"):
        load_designs(write(tmp_path, "sweep: {memories.buffer.size: [4 B, 64 B]}\n"))


def test_numbers_that_stay_as_typed_in_are_said(tmp_path: Path) -> None:
    (alone,) = load_designs(write(tmp_path, "sweep: {memories.buffer.size: [64 B, 128 B]}\n")).notes
    assert alone.startswith(
        "memories.buffer.size is swept, but memories.buffer.read_energy and memories.buffer.write_energy stay as"
    )
    freely = "sweep: {memories.buffer.size: [64 B, 128 B], memories.buffer.read_energy: [1 pJ/bit, 2 pJ/bit]}"
    (apart,) = load_designs(write(tmp_path, freely)).notes
    assert "memories.buffer.read_energy and" in apart
    leaking = TINY.replace("energy: 0.5 pJ,", "energy: 0.5 pJ, leakage: 1 mW,")
    assert load_designs(write(tmp_path, "sweep: {array.X.size: [2, 4]}\n")).notes == ()
    (array,) = load_designs(write(tmp_path, "sweep: {array.X.size: [2, 4]}\n", leaking)).notes
    assert array.startswith("array.X.size is swept, but mac.leakage stay as typed in")


def test_arithmetic_of_its_own_technology_does_not_follow_that_of_the_chip(tmp_path: Path) -> None:
    own = TINY.replace("energy: 0.5 pJ,", "component: mac, technology: 28 nm, energy: 0.5 pJ,")
    (note,) = load_designs(write(tmp_path, "sweep: {technology: [28 nm, 45 nm]}\n", own)).notes
    assert note.startswith("technology is swept, but vector.energy and memories.regs.read_energy")


@pytest.mark.parametrize(
    ("sweep", "kept"),
    [
        ("clock: [1 MHz, 2 MHz]", None),
        ("mac.accumulator: [16 bit, 24 bit]", "mac.energy and mac.area"),
        ("mac.w: [8 bit, 4 bit]", "mac.energy and mac.area"),
        ("vector.lanes: [2, 4]", None),
        ("memories.dram.bandwidth: [16 bit/cycle, 8 bit/cycle]", None),
        (
            "technology: [28 nm, 45 nm]",
            "mac.energy and mac.area and vector.energy and memories.regs.read_energy and "
            "memories.buffer.read_energy and memories.buffer.write_energy",
        ),
        ("memories.buffer.banks: [1, 2]", "memories.buffer.write_energy"),
    ],
)
def test_numbers_of_every_part_that_is_swept_are_said(tmp_path: Path, sweep: str, kept: str | None) -> None:
    """Those of the memory outside of the chip do not follow its technology; what is not stated is not kept."""
    text = TINY.replace("energy: 0.5 pJ,", "energy: 0.5 pJ, area: 500 um^2,")
    if "banks" in sweep:
        made_of = "component: sram\n    technology: 28 nm\n    width: 32 bit"
        text = text.replace("size: 64 B\n    read_energy: 0.1 pJ/bit", f"size: 16 KiB\n    {made_of}")
    notes = load_designs(write(tmp_path, f"sweep: {{{sweep}}}\n", text)).notes
    path = sweep.partition(":")[0]
    assert [note.partition(" stay as typed in")[0] for note in notes] == (
        [] if kept is None else [f"{path} is swept, but {kept}"]
    )


# ---- a space of designs --------------------------------------------------------------------------


def test_a_space_makes_the_designs_of_the_file_one_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path, SWEEP)
    space, listed = DesignSpace(path), load_designs(path)
    assert (space.size, space.sizes, space.paths) == (len(listed), (3, 2), listed.paths)
    for design in listed:
        made = space.design(design.number)
        assert (made.values, made.accelerator, made.to_yaml()) == (
            design.values, design.accelerator, design.to_yaml(),
        )  # fmt: skip


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_numbers_and_turns(sizes: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    paths = ("clock", "array.X.size", "array.Y.size", "memories.buffer.size")
    ranges = [{path: [f"{n + 1}" for n in range(size)]} for path, size in zip(paths, sizes, strict=False)]
    space = DesignSpace(write(tmp_path_factory.mktemp("space"), ""), ranges)
    number = data.draw(st.integers(0, space.size - 1))
    turn = space.turn(number)
    assert space.number(turn) == number
    every = list(itertools.product(*map(range, sizes)))
    assert every[number] == turn
    assert list(space.values(number).values()) == [str(at + 1) for at in turn]


def test_ranges_beside_the_file_are_ranges_of_the_file(tmp_path: Path) -> None:
    beside = load_designs(write(tmp_path, ""), {"array.X.size": [2, 4], "clock": "100 MHz..300 MHz+100 MHz"})
    inside = load_designs(write(tmp_path, "sweep: {array.X.size: [2, 4], clock: 100 MHz..300 MHz+100 MHz}\n"))
    assert [(d.values, d.accelerator) for d in beside] == [(d.values, d.accelerator) for d in inside]
    both = DesignSpace(write(tmp_path, "sweep: {array.X.size: [2, 4]}\n"), {"clock": ["100 MHz", "1 GHz"]})
    assert both.size == 4


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"array.Z.size": [1, 2]}, "set: 'array.Z.size' leads nowhere"),
        ({"array.X.size": [1, 1]}, "set: array.X.size: must name each value once"),
        ([{"array.X.size": [1, 2], "clock": ["1 MHz"]}], "set: paths that change together need as many"),
        ([1], "set: must map paths to values"),
    ],
)
def test_ranges_that_are_none(tmp_path: Path, ranges: object, message: str) -> None:
    path = write(tmp_path, "")
    with pytest.raises(AcceleratorError, match=re.escape(message)):
        DesignSpace(path, ranges)  # type: ignore[arg-type]


def test_a_swept_path_is_not_set_again(tmp_path: Path) -> None:
    with pytest.raises(AcceleratorError, match=re.escape("--set: 'array.X.size' is swept already")):
        DesignSpace(write(tmp_path, SWEEP), {"array.X.size": [1, 2]}, place="--set")
