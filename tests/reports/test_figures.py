"""Figures: the axes given are the axes returned, the data is what is drawn, and any name can be a label."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hwmodel.errors import ConfigError
from reports import plot_breakdown, plot_layers, plot_pareto, save_figure
from reports.figures.files import FALLBACKS, figure_bytes
from reports.figures.pareto import TEST_SHIFT
from search.front.results import Result
from workloads.training import Accuracy

NASTY = "blocks[/0]<script>alert(1)</script>$x^$"


def make_axes() -> Axes:
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def make_results() -> list[Result]:
    """Two PTQ and three QAT results over 200 images; the front of the QAT ones is (2 bit, 0.9), (4 bit, 0.95)."""
    rows = [("ptq", 2.0, 120), ("ptq", 4.0, 180), ("qat", 2.0, 180), ("qat", 4.0, 190), ("qat", 8.0, 185)]
    return [
        Result(
            number=number, stage=stage, key=f"k{bits}", correct=correct, total=200,
            costs={"avg_w_bits": bits, "energy_pj": bits * 1e6},
        )
        for number, (stage, bits, correct) in enumerate(rows)
    ]  # fmt: skip


def layer_frame(num: int) -> pd.DataFrame:
    names = [NASTY, *(f"layer{n}.conv" for n in range(num - 1))]
    return pd.DataFrame(
        {"layer": names, "w_bits": [2] * num, "density": [0.5] * num, "weights": [10] * num,
         "energy_pj": np.arange(1.0, num + 1)}
    )  # fmt: skip


def test_pareto_draws_on_the_axes_given() -> None:
    ax = make_axes()
    assert plot_pareto(make_results(), ax=ax) is ax
    ptq, qat = ax.collections[0], ax.collections[1]
    assert sorted(ptq.get_offsets().tolist()) == [[2.0, 60.0], [4.0, 90.0]]
    assert sorted(qat.get_offsets().tolist()) == [[2.0, 90.0], [4.0, 95.0], [8.0, 92.5]]
    step = next(line for line in ax.lines if line.get_drawstyle() == "steps-post")
    assert step.get_xydata().tolist() == [[2.0, 90.0], [4.0, 95.0]]


def test_pareto_error_bars_are_the_intervals() -> None:
    ax = plot_pareto(make_results())
    bars = next(c for c in ax.containers if c.has_yerr)
    low, high = bars.lines[2][0].get_segments()[0][:, 1]
    interval = Accuracy(correct=180, total=200).interval
    assert (low, high) == pytest.approx((100 * interval.low, 100 * interval.high))


def test_pareto_scales_the_x_axis_to_its_unit() -> None:
    ax = plot_pareto(make_results(), x="energy_pj")
    assert ax.get_xlabel() == "Energy per inference [µJ]"
    assert sorted(ax.collections[0].get_offsets()[:, 0].tolist()) == [2.0, 4.0]  # 2e6 pJ = 2 µJ


def test_pareto_shows_float_and_test_accuracy() -> None:
    from reports.run.folder import read_candidates

    frame = read_candidates(make_results())
    frame.loc[frame["front"], "test_accuracy"] = 0.91
    frame.attrs["float_accuracy"] = 0.97
    ax = plot_pareto(frame)
    labels = ax.get_legend_handles_labels()[1]
    assert "float, 97.00 %" in labels
    assert "front, test (drawn to the right), 95 %" in labels


def test_pareto_draws_uniform_bits_beside_the_front() -> None:
    """On the validation split while none is tested, then front and uniform ones on the test split alone."""
    from reports.run.folder import read_candidates

    frame = read_candidates(make_results())
    uniform = frame["key"].isin(["k4.0", "k8.0"]) & (frame["stage"] == "qat")
    frame.loc[uniform, "origin"] = "uniform"
    bars = {box.get_label(): box for box in plot_pareto(frame).containers}
    assert bars["uniform bits, finetuned, 95 %"].lines[0].get_xydata().tolist() == [[4.0, 95.0], [8.0, 92.5]]
    frame.loc[uniform | frame["front"], ["test_accuracy", "test_low", "test_high"]] = (0.91, 0.9, 0.93)
    bars = {box.get_label(): box for box in plot_pareto(frame).containers}
    drawn = {label: box.lines[0].get_xydata().tolist() for label, box in bars.items()}
    shift = TEST_SHIFT * (4.0 - 2.0)
    assert drawn == {
        "front, validation, 95 %": [[2.0, 90.0], [4.0, 95.0]],
        "front, test (drawn to the right), 95 %": [[2.0 + shift, 91.0], [4.0 + shift, 91.0]],
        "uniform bits on the test split, 95 %": [[4.0 + shift, 91.0], [8.0 + shift, 91.0]],
    }


def test_members_of_a_front_over_more_objectives_are_ringed_and_the_projection_is_dashed() -> None:
    """The second member is dominated in these two axes: it costs more and scores less, but is faster."""
    from reports.run.folder import read_candidates

    frame = read_candidates(make_results())
    frame["front"] = frame["stage"] == "qat"
    ax = plot_pareto(frame)
    ringed = next(box for box in ax.containers if box.get_label() == "front, validation, 95 %").lines[0]
    assert ringed.get_xydata().tolist() == [[2.0, 90.0], [4.0, 95.0], [8.0, 92.5]]
    steps = next(line for line in ax.lines if line.get_label() == "best in these two axes (projection)")
    assert steps.get_xydata().tolist() == [[2.0, 90.0], [4.0, 95.0]]
    assert steps.get_linestyle() == "--"


def test_an_unknown_axis_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"but got 'energy'.*Did you mean 'energy_pj'"):
        plot_pareto(make_results(), x="energy")


def test_candidates_far_below_are_cut_off_and_said() -> None:
    chance = Result(number=5, stage="ptq", key="bad", correct=10, total=200, costs={"avg_w_bits": 2.0})
    ax = plot_pareto([*make_results(), chance])
    floor, (left, right) = ax.get_ylim()[0], ax.get_xlim()
    assert 5.0 < floor < 90.0  # 5 % is out, the lowest point of the front is in
    assert left < 2.0 and 4.0 < right < 8.0  # 8 bits are right of the front
    outside = sum(
        100 * result.accuracy < floor or not left <= result.costs["avg_w_bits"] <= right
        for result in [*make_results(), chance]
    )
    assert any(text.get_text().startswith(f"{outside} candidates outside") for text in ax.texts)


def test_layers_draws_bits_and_bits_times_density() -> None:
    ax = make_axes()
    assert plot_layers(layer_frame(3), ax=ax) is ax
    assert [bar.get_width() for bar in ax.patches] == [2.0] * 3 + [1.0] * 3


@pytest.mark.parametrize("num", [1, 22, 300])
def test_names_of_layers_do_not_overlap(num: int) -> None:
    ax = plot_layers(layer_frame(num))
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 - 1.0 for upper, lower in itertools.pairwise(boxes))


def test_breakdown_stacks_the_levels_of_each_layer() -> None:
    frame = pd.DataFrame({"layer": ["a", "a", "b"], "level": ["mac", "DRAM", "mac"], "energy_pj": [1e6, 2e6, 4e6]})
    ax = make_axes()
    assert plot_breakdown(frame, ax=ax) is ax
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends == pytest.approx([1.0, 4.0, 3.0, 4.0])  # mac of a, b; then DRAM on top, 0 for b


def test_any_name_is_plain_text() -> None:
    ax = plot_layers(layer_frame(2))
    label = ax.get_yticklabels()[0]
    assert label.get_text() == NASTY[:19] + "…" + NASTY[-18:]
    assert not label.get_parse_math()
    assert "<script" not in figure_bytes(ax, "svg").decode()


def test_characters_that_the_usual_font_lacks_are_drawn_by_another() -> None:
    from matplotlib.font_manager import fontManager

    if not set(FALLBACKS) & set(fontManager.get_font_names()):
        pytest.skip(f"needs one of the fonts {', '.join(FALLBACKS)}")
    frame = layer_frame(2)
    frame.loc[0, "layer"] = "卷积层.conv"
    ax = plot_layers(frame)
    assert figure_bytes(ax).startswith(b"\x89PNG")  # a warning would be an error here
    assert ax.get_yticklabels()[0].get_text() == "卷积层.conv"


def test_files_are_whole_and_of_the_right_kind(tmp_path: Path) -> None:
    png = save_figure(tmp_path / "deep" / "layers.png", plot_layers(layer_frame(3)))
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    assert width > 800
    assert height > 200
    with pytest.raises(ConfigError, match=r"\.png, \.svg or \.pdf"):
        save_figure(tmp_path / "layers.gif", plot_layers(layer_frame(3)))


def test_the_same_figure_gives_the_same_bytes() -> None:
    first, second = (figure_bytes(plot_pareto(make_results()), "svg") for _ in range(2))
    assert first == second


def test_pyplot_is_not_touched() -> None:
    code = (
        "import sys, reports; assert 'matplotlib' not in sys.modules; reports.plot_layers;"
        "import pandas as pd;"
        "reports.plot_layers(pd.DataFrame({'layer': ['a'], 'w_bits': [2], 'density': [1.0]}));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
