"""Steps are taken once, whatever happens; records and listings are read with care."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys

import pytest
import torch

from hwmodel.errors import ConfigError
from reports import plot_bars, plot_lines
from reports.experiments import Experiment, dominated
from reports.experiments.gallery import write_gallery
from reports.experiments.listing import script_of, scripts_in
from reports.experiments.printing import shown_rows
from reports.experiments.record import Record
from reports.experiments.steps import STEPS, Steps
from search import Space
from tests.search.helpers import ToyScorer, make_graph
from workloads.compress import CompressionConfig, load_weights
from workloads.data.dataset import make_dataset
from workloads.training import Accuracy, TrainHook, TrainSettings

SCRIPT = '"""Study {number}. What is {name}?\n\nMore.\n"""\n\nNEEDS = ("mnist",)\n'


def experiment(folder, **changes):
    values = {"name": "one", "question": "What is one?", "folder": folder, "device": "cpu"} | changes
    return Experiment(**values)


def test_a_training_that_was_killed_goes_on_behind_its_last_epoch(tmp_path):
    made, x = experiment(tmp_path), torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    split, settings = (x, torch.arange(8) % 2), TrainSettings(epochs=3, batch_size=4)
    whole, killed, resumed = (torch.nn.Linear(3, 2) for _ in range(3))
    for model in (killed, resumed):
        model.load_state_dict(whole.state_dict())
    seen = []

    class Kill(TrainHook):
        def before_epoch(self, _model, epoch):
            if epoch == 3 and not seen:
                seen.append(epoch)
                raise KeyboardInterrupt

    made.train("whole", whole, split, settings)
    with pytest.raises(KeyboardInterrupt):
        made.train("cut", killed, split, settings, hooks=[Kill()])
    result = made.train("cut", resumed, split, settings, hooks=[Kill()])
    assert [record.epoch for record in result.history] == [1, 2, 3] and seen == [3]
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["cut.safetensors", "whole.safetensors"]
    load_weights(tmp_path / "cut.safetensors", killed)
    assert torch.equal(killed.weight, whole.weight) and torch.equal(resumed.weight, whole.weight)


class Counted:
    """A step that counts its calls."""

    __name__ = "counted"

    def __init__(self, answer=1.0):
        self.calls, self.answer = 0, answer

    def __call__(self, **_arguments):
        self.calls += 1
        return self.answer


def test_a_step_is_taken_once_and_again_after_a_restart(tmp_path):
    accuracy = Accuracy(correct=3, total=4)
    step = Counted({"validation": accuracy, "rows": [1, 2.5, "x", None, True]})
    for _ in range(3):  # each a new process, as it were
        steps = Steps(tmp_path, {"seed": 0})
        assert steps.once(step, bits=(4, 2)) == step.answer
        assert steps.once(step, bits=[4, 2]) == step.answer
    assert step.calls == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"bits": 4}, {"bits": 3}),
        ({"settings": TrainSettings(epochs=1)}, {"settings": TrainSettings(epochs=2)}),
        (
            {"config": CompressionConfig.from_bits({"a": 4})},
            {"config": CompressionConfig.from_bits({"a": 2})},
        ),
    ],
)
def test_other_arguments_are_another_step(tmp_path, first, second):
    step, steps = Counted(), Steps(tmp_path, {})
    steps.once(step, **first)
    steps.once(step, **second)
    assert step.calls == 2


def test_another_seed_or_version_is_another_step(tmp_path):
    step = Counted()
    for changes in ({}, {"seed": 1}, {"quick": True}):
        experiment(tmp_path, **changes).once(step)
    assert step.calls == 3


def test_data_of_steps_that_were_taken_earlier_stays_known(tmp_path):
    for _ in range(2):
        made = experiment(tmp_path)

        def looked(made=made):
            return len(made.data("digits").test)

        made.once(looked)
        made.finding("It is one.")
        record = made.finish()
    assert len(record.data) == 1 and record.data[0].startswith("digits")


def test_a_torn_line_is_cut_and_taken_again(tmp_path):
    step = Counted()
    Steps(tmp_path, {}).once(step, a=1)
    Steps(tmp_path, {}).once(step, a=2)
    path = tmp_path / STEPS
    path.write_bytes(path.read_bytes()[:-9])
    assert Steps(tmp_path, {}).once(step, a=1) == 1.0
    assert step.calls == 2
    Steps(tmp_path, {}).once(step, a=2)
    assert step.calls == 3


@pytest.mark.parametrize("change", [lambda line: line.replace("1.0", "2.0"), lambda _line: '{"step": "x"}'])
def test_a_changed_step_is_refused(tmp_path, change):
    Steps(tmp_path, {}).once(Counted(), a=1)
    path = tmp_path / STEPS
    path.write_text(change(path.read_text().strip()) + "\n")
    with pytest.raises(ConfigError, match=rf"{STEPS}:1.*start anew"):
        Steps(tmp_path, {})


def test_the_seconds_of_earlier_runs_count(tmp_path):
    Steps(tmp_path, {}).once(Counted(), a=1)
    line = json.loads((tmp_path / STEPS).read_text())
    steps = Steps(tmp_path, {})
    steps.once(Counted(), a=1)
    assert steps.seconds == line["seconds"]


@pytest.mark.parametrize("answer", [float("nan"), object(), {"a": [float("inf")]}])
def test_what_no_file_holds_is_refused(tmp_path, answer):
    with pytest.raises(ConfigError, match=r"counted\(\): .*but got"):
        Steps(tmp_path, {}).once(Counted(answer))


def test_a_record_is_read_as_it_was_written(tmp_path):
    made = experiment(tmp_path)
    made.table("all", [{"bits": 4, "test": Accuracy(correct=9, total=10)}, {"bits": 2, "published": 0.5}])
    made.figure(plot_lines([{"x": 1, "y": 2}], "x", "y"))
    made.cut("One epoch in the place of ten.")
    made.finding("It is one.")
    record = made.finish()
    assert Record.read(tmp_path / "one.json") == record
    # Wilson for 9 of 10: (0.9 + z2/20 -+ z sqrt(0.09/10 + z2/400)) / (1 + z2/10) = 0.5958 .. 0.9821
    row = {"bits": 4, "test": 0.9, "test_low": 0.5958, "test_high": 0.9821, "test_images": 10}
    assert record.tables["all"][0] == row
    assert shown_rows([row]) == [{"bits": "4", "test": "90.00 % (59.6 to 98.2)"}]
    assert (tmp_path / "one-all.csv").read_text().splitlines()[1] == "4,0.9,0.5958,0.9821,10,"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"figures": ["../x.png"]}, "beside its figures"),
        ({"name": "two"}, "have its name"),
        ({"seconds": -1}, "seconds must be"),
        ({"tables": {"all": 3}}, "lists of rows"),
        ({"cuts": [3]}, "must be texts"),
        ({"more": 1}, "more missing or unknown"),
    ],
)
def test_a_wrong_record_is_refused(tmp_path, change, message):
    made = experiment(tmp_path)
    made.finding("It is one.")
    made.finish()
    path = tmp_path / "one.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        Record.read(path)


class Scored(ToyScorer):
    """A scorer of tiny data; the test accuracy is half of that on validation."""

    def __init__(self, **settings):
        super().__init__()
        self.settings, self.tests = TrainSettings(**settings), 0
        self.data = make_dataset("tiny", ((torch.ones(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])),) * 3, 2, "")

    def qat(self, config, seed):
        count, _ = super().qat(config, seed)
        return Accuracy(correct=count.correct, total=1000), count.correct

    def test(self, model):
        self.tests += 1
        return Accuracy(correct=model // 2, total=1000)


def test_a_configuration_is_finetuned_once_per_seed(tmp_path):
    graph = make_graph()
    config = Space.from_graph(graph).config(Space.from_graph(graph).most_precise)
    scorer = Scored()
    for _ in range(2):
        scores = experiment(tmp_path, seed=3).finetuned(scorer, config, seeds=2)
    assert [seed for _, seed in scorer.qat_calls] == [4, 5]
    assert scorer.tests == 2
    # 980 of 1,000 less the seed modulo 3: 979 and 978; of tests the halves, 489 and 489
    assert scores == {
        "validation": Accuracy(correct=978, total=1000),
        "test": Accuracy(correct=489, total=1000), "seeds": 2,
    }  # fmt: skip
    experiment(tmp_path, seed=3).finetuned(other := Scored(epochs=2), config)
    assert len(other.qat_calls) == 1


def test_a_search_is_run_to_its_end_once(tmp_path):
    graph = make_graph()
    space, scorer = Space.from_graph(graph), Scored()
    for _ in range(2):
        made = experiment(tmp_path)
        found = made.searched(space, scorer, qat=3, graph=graph)
    assert [result.stage for result in found.results()].count("qat") == len(scorer.qat_calls) == 3
    assert made._steps.seconds == sum(result.wall_s for result in found.results()) > 0
    with pytest.raises(ConfigError, match="training"):
        experiment(tmp_path).searched(space, Scored(epochs=3), qat=3, graph=graph)


def test_an_experiment_without_a_finding_is_none(tmp_path):
    with pytest.raises(ConfigError, match="ends with a finding"):
        experiment(tmp_path).finish()


@pytest.mark.parametrize(
    ("quick", "sizes"),
    [(False, "100 train / 300 validation / 5,600 test"), (True, "100 train / 200 validation / 200 test")],
)
def test_a_study_takes_parts_of_its_data(tmp_path, data_folder, quick, sizes):
    study = experiment(tmp_path, data_folder=data_folder, quick=quick)
    data = study.data("mnist", parts={"train": 100, "validation": 300})
    assert data.describe().endswith(f"10 classes, {sizes}")
    share = study.data("mnist", parts={}).train.y.bincount() * 100 / len(study.data("mnist").train)
    assert (data.train.y.bincount() - share).abs().max() <= 1
    with pytest.raises(ConfigError, match=r"unknown split 'tests'\. Did you mean 'test'\?"):
        study.data("mnist", parts={"tests": 3})


def test_rows_come_back_as_they_are_kept(tmp_path):
    study, rows = experiment(tmp_path), [{"epoch": 1, "test": Accuracy(correct=1, total=2)}]
    kept = study.curves("epochs", rows)
    assert kept == study.table("all", rows)
    assert kept[0].keys() == {"epoch", "test", "test_low", "test_high", "test_images"}
    assert (tmp_path / "one-epochs.csv").read_text().splitlines()[0] == ",".join(kept[0])


def test_data_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("HWMODEL_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"resnet20_cifar10\.npz: give --data FOLDER"):
        experiment(tmp_path).weights("resnet20_cifar10.npz")
    with pytest.raises(ConfigError, match=r"holds none of resnet20_cifar10\.npz, weights/resnet20_cifar10\.npz"):
        experiment(tmp_path, data_folder=tmp_path).weights("resnet20_cifar10.npz")


def test_other_files_are_other_steps(tmp_path):
    data, step = tmp_path / "data", Counted()
    (data / "weights").mkdir(parents=True)
    (data / "weights" / "w.npz").write_bytes(b"one")
    (data / "mnist").mkdir()
    (data / "mnist" / "images").write_bytes(b"one")
    needs = {"data_folder": data, "needs": ("w.npz", "mnist")}
    for _ in range(2):
        experiment(tmp_path, **needs).once(step)
    assert step.calls == 1
    for number, file in enumerate(("weights/w.npz", "mnist/images"), start=2):
        (data / file).write_bytes(b"two")
        experiment(tmp_path, **needs).once(step)
        assert step.calls == number
    (data / "weights" / "w.npz").unlink()
    with pytest.raises(ConfigError, match=r"one: .*data holds none of w\.npz, weights/w\.npz"):
        experiment(tmp_path, **needs)


SMALL = """\"\"\"Study 1. Is it?\"\"\"
from reports.experiments import run

NEEDS = ("w.npz",)


def main(study):
    study.finding("It is.")


if __name__ == "__main__":
    run(main)
"""


@pytest.fixture
def small(tmp_path):
    """A script beside a folder of data and a file."""
    (tmp_path / "small.py").write_text(SMALL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.npz").write_bytes(b"")
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "small.py"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--quik"], 2, "No such option: --quik"),
        (["--data", "."], 3, "Error: small: . holds none of w.npz, weights/w.npz"),
        (["--data", "data", "-o", "file"], 3, "Error: "),
        (["--data", "data"], 0, ""),
    ],
)
def test_a_script_ends_as_a_command_does(small, monkeypatch, capsys, arguments, code, said):
    monkeypatch.setattr(sys, "argv", [small.name, *arguments])
    monkeypatch.chdir(small.parent)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(small), run_name="__main__")
    error = capsys.readouterr().err
    assert end.value.code == code, error
    assert said in error
    assert "Traceback" not in error


def test_a_script_is_a_process(small):
    answer = subprocess.run(
        [sys.executable, small.name, "--data", "."], cwd=small.parent, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 3
    assert answer.stderr.startswith("Error: small: . holds none of")


def test_scripts_say_what_they_ask_and_need(tmp_path):
    (tmp_path / "b.py").write_text(SCRIPT.format(number=2, name="b"))
    (tmp_path / "a.py").write_text(SCRIPT.format(number=10, name="a"))
    found = scripts_in(tmp_path)
    assert [(s.number, s.name, s.question, s.needs) for s in found] == [
        (2, "b", "What is b?", ("mnist",)),
        (10, "a", "What is a?", ("mnist",)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"""No study."""', "begins with a docstring"),
        ("", "begins with"),
        ('"""Study 1. Is it?"""\nNEEDS = "mnist"\n', "py:2: NEEDS must be"),
    ],
)
def test_a_script_that_says_nothing_is_refused(tmp_path, text, message):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        script_of(tmp_path / "a.py")


def test_the_gallery_names_what_is_missing(tmp_path):
    scripts, results = tmp_path / "scripts", tmp_path / "results"
    scripts.mkdir()
    for number, name in enumerate(("one", "two"), start=1):
        (scripts / f"{name}.py").write_text(SCRIPT.format(number=number, name=name))
    made = experiment(results)
    made.table("all", [{"a|b": 0.25}])
    made.finding("It is one.")
    made.finish()
    assert write_gallery(scripts_in(scripts), results) == ["two"]
    text = (results / "README.md").read_text()
    assert "## 1. What is one?\n\n**It is one.**" in text
    assert "| a\\|b |\n| --- |\n| 0.25 |" in text


def test_what_a_row_beats_and_where_the_images_do_not_tell():
    def row(name, correct, bits, energy):
        return {"name": name, "test": Accuracy(correct=correct, total=1000), "bits": bits, "energy": energy}

    mine = row("mine", 900, 3.0, 5.0)
    others = [
        row("far", 700, 3.0, 5.0),  # 70 %: far below, and no cheaper in anything
        row("near", 899, 4.0, 5.0),  # 89.9 %: the intervals overlap
        row("cheap", 700, 2.0, 9.0),  # fewer bits
        row("equal", 900, 4.0, 9.0),  # as accurate
    ]
    assert dominated(mine, others, "test", ["bits", "energy"]) == "far, near (a tie)"
    assert dominated(mine, others, "test", ["energy"]) == "far, near (a tie), cheap"


def test_lines_carry_the_intervals_of_their_rows():
    rows = [
        {"n": n, "kind": kind, "test": 0.5, "test_low": 0.4, "test_high": 0.7}
        for kind in ("a", "b")
        for n in (1, 2)
    ]
    ax = plot_lines([*rows, {"n": 3, "kind": "a", "test": None}], "n", "test", "kind", percent=True)
    assert ax.get_legend_handles_labels()[1] == ["a", "b"]
    (_, _, (bars,)), _ = ax.containers
    assert [segment.tolist() for segment in bars.get_segments()] == [[[1, 40], [1, 70]], [[2, 40], [2, 70]]]
    with pytest.raises(ConfigError, match="no row has 'x'"):
        plot_lines(rows, "x", "test")


def test_points_are_drawn_however_many_there_are():
    rows = [{"n": n, "test": n} for n in range(1000)]
    markers = [plot_lines(rows, "n", "test", joined=joined).lines[0].get_marker() for joined in (True, False)]
    assert markers == ["None", "o"]


def test_a_long_legend_leaves_the_axes_their_width():
    rows = [{"n": 1, "y": 1, "kind": f"a network whose name is as long as a sentence, {k}"} for k in range(6)]
    ax = plot_lines(rows, "n", "y", "kind")
    ax.figure.draw_without_rendering()
    assert ax.get_position().width > 0.8
    assert ax.get_legend()._ncols == 1


@pytest.mark.parametrize(
    ("ends", "shown"), [((0.25, 3.4), ["0.3", "0.5", "1", "2", "3"]), ((1, 1e4), ["1", "100", "10000"])]
)
def test_a_logarithmic_axis_has_plain_numbers(ends, shown):
    ax = plot_lines([{"x": x, "y": 1} for x in ends], "x", "y", log="x")
    ax.figure.draw_without_rendering()
    low, high = ax.get_xlim()
    ticks = [
        (place, label.get_text()) for minor in (False, True)
        for place, label in zip(ax.get_xticks(minor=minor), ax.get_xticklabels(minor=minor), strict=True)
        if low <= place <= high
    ]  # fmt: skip
    assert set(shown) <= {text for _, text in ticks}
    assert all(text in ("", f"{place:g}") for place, text in ticks)


def test_bars_stand_beside_each_other():
    rows = [
        {"net": net, "kind": kind, "size": size, "size_low": size - 1, "size_high": size + 2}
        for net, kind, size in (("a", "x", 3.0), ("a", "y", 4.0), ("b", "x", 5.0))
    ]
    ax = plot_bars(rows, "net", "size", "kind", labels=("Network", "Size [MB]"))
    assert [bar.get_height() for bar in ax.patches] == [3.0, 5.0, 4.0]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    assert middles == pytest.approx([-0.2, 0.8, 0.2])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    with pytest.raises(ConfigError, match="no row has 'none'"):
        plot_bars(rows, "none", "size")


def test_a_published_accuracy_stands_in_per_cent_beside_a_measured_one():
    measured = {"test": 0.5, "test_low": 0.4, "test_high": 0.6, "test_images": 100}
    assert shown_rows([{**measured, "published": 0.9127}])[0]["published"] == "91.27 %"
    assert shown_rows([{**measured, "published": None}])[0]["published"] == "-"
    assert shown_rows([{"energy": 1.5, "published": 402_692_880}])[0]["published"] == "402,692,880"
