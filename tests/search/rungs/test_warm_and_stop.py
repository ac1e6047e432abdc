"""Short runs that start from the nearest candidate of the front, and full runs that are ended early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search.front.limits import Limits
from search.front.objective import resolve_objectives
from search.front.results import Result
from search.propose.assembling import StudyProblem
from search.propose.fidelity import LEAST_PAIRS, Link
from search.propose.problem import accuracy_of, logit_error
from search.rungs.starts import nearest
from search.rungs.stops import LUCK, watch_of
from search.seeds import derive_seed
from search.space import Space
from search.study import Study
from tests.search.helpers import INNER, make_graph
from tests.search.rungs.toys import IMAGES, Stages, essence, search
from workloads.compress.config import CompressionConfig

WARM = {"rungs": [0.25], "warm": True}
STOP = {"stop_at": [0.5]}


def finetunings(study: Study) -> list[Result]:
    return [result for result in study.results() if result.stage != "ptq"]


# ---- warm starts ---------------------------------------------------------------------------------


def test_short_runs_start_warm_and_full_ones_never(tmp_path: Path) -> None:
    scorer = Stages(has_models=True)
    study, _ = search(tmp_path, scorer, qat=4, **WARM)
    results = finetunings(study)
    assert [r.stage for r in results] == [*4 * ["short"], "qat", *3 * [*4 * ["warm"], "qat"]]
    assert scorer.started[:4] == 4 * [None], "nothing was trained yet"
    full = {r.correct: r for r in results if r.stage == "qat"}
    for result, hits in zip([r for r in results if r.stage == "warm"], scorer.started[4:], strict=True):
        assert hits is not None
        assert full[hits].number < result.number, "weights of a candidate that was finetuned in full before"
        config = CompressionConfig.from_dict(result.config)
        lost = scorer.qat_short(config, 0, 0.25, None).correct
        assert result.correct == lost + 20, "the score is that of the warm run, and kept as one"
    for result in full.values():
        assert result.seed == derive_seed(0, "qat", result.key)
        assert result.correct == scorer.full(CompressionConfig.from_dict(result.config)), "from the float model"
    assert {r.stage for r in study.front()} == {"qat"}
    assert [(r.stage, r.runs) for r in study.rungs()] == [("short", 4), ("warm", 12)]


def test_the_nearest_has_the_most_alike_rises() -> None:
    graph = make_graph()
    space = Space.from_graph(graph, w_bits=[2, 4, 8])
    problem = StudyProblem(space, resolve_objectives(["accuracy", "avg_w_bits"]), Limits(), None, None)

    def result(number: int, bits: dict[str, int]) -> Result:
        point = space.most_precise | {f"{name}.w_bits": value for name, value in bits.items()}
        config = space.config(point)
        return Result(number=number, stage="qat", point=point, config=config.to_dict(), key=config.key, score=0.9)

    names = [group.name for group in space.groups]
    assert len(names) == len(INNER)
    trained = [
        result(0, {names[0]: 2, names[1]: 2}),
        result(1, {names[0]: 4, names[1]: 4, names[2]: 4}),
        result(2, {}),
    ]
    wanted = space.most_precise | {f"{names[0]}.w_bits": 4}
    assert problem.rises[0][:, 0].tolist() == sorted(problem.rises[0][:, 0].tolist(), reverse=True)
    assert nearest(problem, wanted, trained) == trained[2], "one group at 4 bits is nearer to none than to three"
    assert nearest(problem, wanted, trained[:2]) == trained[1], "4 bits are far nearer to 8 than to 2"
    assert nearest(problem, wanted, []) is None


class Stopping(Stages):
    """Ctrl-C at one finetuning."""

    def __init__(self, call: int) -> None:
        super().__init__(has_models=True)
        self.left = call

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Any, Any]:
        self._count()
        return super().qat(config, seed)

    def qat_short(self, config: CompressionConfig, seed: int, share: float, start: Any) -> Any:
        self._count()
        return super().qat_short(config, seed, share, start)


@pytest.mark.parametrize("options", [WARM, {**WARM, **STOP}])
def test_killed_anywhere_it_ends_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    whole, _ = search(tmp_path / "whole", Stages(has_models=True), qat=4, **options)
    for call in range(0, len(finetunings(whole)), 2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "broken", Stopping(2 if call else 0), qat=4, **options)
    again, _ = search(tmp_path / "broken", Stages(has_models=True), qat=4, **options)
    assert essence(again) == essence(whole)


def test_lost_weights_are_trained_again_before_anyone_starts_from_them(tmp_path: Path) -> None:
    whole, _ = search(tmp_path / "whole", Stages(has_models=True), qat=4, **WARM)
    study, _ = search(tmp_path / "lost", Stages(has_models=True), qat=2, **WARM)
    for path in (study.folder / "checkpoints").glob("*.safetensors"):
        path.unlink()
    again, said = search(tmp_path / "lost", Stages(has_models=True), qat=4, **WARM)
    assert any("is missing" in text for text in said)
    assert essence(again) == essence(whole)


def test_weights_of_another_kind_cannot_start_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"warm: needs weights as \.safetensors"):
        search(tmp_path, Stages(), **WARM, save=lambda path, model, notes: None)


# ---- early stopping ------------------------------------------------------------------------------


def full_run(number: int, correct: int, half: float, bits: float) -> Result:
    return Result(
        number=number, stage="qat", key=f"{number:016x}", correct=correct, total=IMAGES,
        costs={"avg_w_bits": bits}, curve={"0.5": half},
    )  # fmt: skip


def test_a_run_is_ended_below_what_luck_can_reach() -> None:
    """The least accuracy is where the line, less two deviations, meets the best that costs no more."""
    objectives = resolve_objectives(["accuracy", "avg_w_bits"])
    accuracies = np.linspace(0.8, 0.95, LEAST_PAIRS)
    full = [full_run(n, round(IMAGES * a), a - 0.05, 2.0 + n) for n, a in enumerate(accuracies.tolist())]
    watch = watch_of(full, {}, objectives, {"avg_w_bits": 4.5}, [0.5])
    rival = full[2]
    link = Link.fitted(
        [float(logit_error(r.curve["0.5"], IMAGES)) for r in full],
        [float(logit_error(r.accuracy, IMAGES)) for r in full],
    )
    best = link.expected(float(logit_error(watch.least[0.5]))) - LUCK * link.residual
    assert float(accuracy_of(best)) == pytest.approx(rival.accuracy, abs=1e-3)
    assert watch.least[0.5] < rival.accuracy - 0.05 + 1e-3
    believed = watch_of(full, {rival.number: 0.7, 0: 0.6, 1: 0.6}, objectives, {"avg_w_bits": 4.5}, [0.5])
    assert believed.least[0.5] < watch.least[0.5], "what is believed counts, not the luck of a measurement"
    assert watch_of(full[1:], {}, objectives, {"avg_w_bits": 9.0}, [0.5]).least == {0.5: 0.0}, "five are too few"
    assert watch_of(full, {}, objectives, {"avg_w_bits": 1.5}, [0.5]).least == {0.5: 0.0}, "nothing costs as little"


def test_hopeless_runs_end_early_and_are_no_full_results(tmp_path: Path) -> None:
    """Candidates at random: once six have taught the line, those that are dominated by far are ended."""
    graph, scorer = make_graph(), Stages(has_models=True)
    space = Space.from_graph(graph, w_bits=[2, 3, 4, 8])
    names = [group.name for group in space.groups]
    study = Study.create_or_resume(
        tmp_path, graph=graph, space=space, evaluate=scorer, name="run", sampler="random", **STOP
    )
    study.run(qat=40)
    results = finetunings(study)
    stopped = [r for r in results if r.is_stopped]
    assert stopped, f"{len(names)} groups, 256 candidates at random: some are dominated by far"
    assert len(results) == 40, "a run that was ended counts as one"
    for result in stopped:
        assert (result.stage, result.share, result.checkpoint) == ("short", 0.5, "")
        assert set(result.curve) == {"0.5"}
        assert result.curve["0.5"] == result.accuracy
        known = [r for r in results[: results.index(result)] if r.stage == "qat"]
        rivals = [r for r in known if r.costs["avg_w_bits"] <= result.costs["avg_w_bits"]]
        truth = scorer.full(CompressionConfig.from_dict(result.config))
        assert truth < max(r.correct for r in rivals), "it would not have reached the front"
    assert [(key, 0.5) for key in (r.key for r in stopped)] == scorer.stopped
    assert not {r.key for r in stopped} & {r.key for r in study.front()}
    assert {r.stage for r in study.front()} == {"qat"}
    full = [r for r in results if r.stage == "qat"]
    assert all(r.curve["0.5"] == pytest.approx(0.9 * r.accuracy, abs=1e-4) for r in full)


def test_watched_and_killed_it_ends_the_same(tmp_path: Path) -> None:
    whole, _ = search(tmp_path / "whole", Stages(has_models=True), qat=14, **STOP)
    for call in (3, 4, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "broken", Stopping(call), qat=14, **STOP)
    again, _ = search(tmp_path / "broken", Stages(has_models=True), qat=14, **STOP)
    assert essence(again) == essence(whole)
