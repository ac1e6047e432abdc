"""Single changes scored on as many images as their rise needs, beside the reference on the same images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search.evaluating import Hits
from search.executors.processes import Processes
from search.observer import Observer
from search.propose.posterior import read_sensitivity
from search.propose.problem import logit_error
from search.propose.scores import FILE
from search.propose.subsets import ENOUGH, ENOUGH_SHARE, Everything, Pairs, SettledAgainst
from search.space import Space
from search.study import Study
from tests.search.helpers import Count, ToyScorer, make_graph, total_drop
from workloads.compress.config import CompressionConfig
from workloads.training.growing import part_ends

IMAGES = 4000


def test_pairs_count_what_became_of_each_image() -> None:
    before = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    now = np.array([1, 0, 0, 1, 0], dtype=bool)
    pairs = Pairs.of(now, before)
    assert (pairs.total, pairs.correct, pairs.lost, pairs.won) == (5, 2, 2, 1)
    assert pairs.reference_correct == 3
    assert pairs.rise == pytest.approx(float(logit_error(2 / 5, 5)) - float(logit_error(3 / 5, 5)))
    with pytest.raises(ConfigError, match="the reference must have all 6 images, but has 5"):
        Pairs.of(before, now)
    with pytest.raises(ConfigError, match="won=3"):
        Pairs(total=5, correct=2, lost=0, won=3)


def test_deviation_is_that_of_samples() -> None:
    """Draws of pairs with known shares: the spread of the rise is what `deviation` says of one draw."""
    rng = np.random.default_rng(0)
    shares, total = (0.8, 0.06, 0.02, 0.12), 2000  # both, lost, won, neither
    drawn = rng.multinomial(total, shares, size=4000)
    pairs = [Pairs(total=total, correct=int(b + w), lost=int(k), won=int(w)) for b, k, w, _ in drawn]
    spread = float(np.std([one.rise for one in pairs]))
    assert np.mean([one.deviation for one in pairs]) == pytest.approx(spread, rel=0.04)
    alone = math.hypot(*(math.sqrt(1 / (p * (1 - p)) / total) for p in (0.82, 0.86)))
    assert spread < 0.6 * alone, "pairs tell more than two samples of other images would"


def test_settled_by_small_errors_or_by_large_rises() -> None:
    same = Pairs(total=500, correct=490, lost=0, won=0)
    assert same.rise == 0
    assert not same.is_settled, "no pair that differs is not certainty, where an image is worth much"
    assert Pairs(total=2000, correct=1960, lost=0, won=0).is_settled
    assert Pairs(total=500, correct=400, lost=0, won=0).is_settled
    assert not Pairs(total=500, correct=400, lost=20, won=20).is_settled
    large = Pairs(total=500, correct=60, lost=405, won=5)
    assert large.deviation > ENOUGH
    assert large.deviation < ENOUGH_SHARE * large.rise
    assert large.is_settled


def test_the_rule_travels_with_the_hits_of_the_reference() -> None:
    reference = np.random.default_rng(1).random(1003) < 0.9
    rule = SettledAgainst.of(reference)
    assert np.array_equal(rule.reference, reference)
    assert len(rule.packed) == 126
    unlike = reference[:500].copy()
    unlike[::25] ^= True
    assert rule(reference[:500])
    assert not rule(unlike)
    assert not Everything()(reference)


class Pictures(ToyScorer):
    """Images in order of difficulty, shuffled: a configuration has right those that are easy enough for it."""

    def __init__(self, images: int = IMAGES) -> None:
        super().__init__()
        self.ease = np.random.default_rng(0).permutation(images) / images
        self.seen: list[int] = []

    def num_images(self) -> int:
        return len(self.ease)

    def hits(self, config: CompressionConfig) -> Hits:
        noise = np.random.default_rng(int(config.key[:8], 16)).normal(0, 0.01, len(self.ease))
        return np.asarray(self.ease + noise < 0.95 * math.exp(-8 * total_drop(config)))

    def ptq(self, config: CompressionConfig) -> Count:
        super().ptq(config)
        return Count(int(self.hits(config).sum()), len(self.ease))

    def ptq_hits(self, config: CompressionConfig, is_enough: Callable[[Hits], bool]) -> Hits:
        hits = self.hits(config)
        stop = next(end for end in part_ends(len(hits)) if end == len(hits) or is_enough(hits[:end]))
        self.seen.append(stop)
        return hits[:stop]


class Listening(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def run(folder: Path, scorer: ToyScorer, subsets: bool = True) -> tuple[Study, list[str]]:
    graph, heard = make_graph(), Listening()
    study = Study.create_or_resume(
        folder, graph=graph, space=Space.from_graph(graph), evaluate=scorer, name="run", subsets=subsets
    )
    study.run(trials=6, qat=2, progress=heard)
    return study, heard.said


def test_changes_see_as_many_images_as_they_need(tmp_path: Path) -> None:
    pictures = Pictures()
    study, said = run(tmp_path / "parts", pictures)
    whole, _ = run(tmp_path / "whole", Pictures(), subsets=False)
    assert pictures.seen[0] == IMAGES, "the reference sees all"
    assert max(pictures.seen[1:]) > min(pictures.seen[1:]) == 500
    assert sum(pictures.seen[1:]) < 0.6 * IMAGES * len(pictures.seen[1:])
    (note,) = (text for text in said if text.startswith("Sensitivities"))
    share = sum(pictures.seen[1:]) / (IMAGES * len(pictures.seen[1:]))
    assert note == (
        f"Sensitivities: {len(pictures.seen) - 1} single changes on {min(pictures.seen[1:]):,} to "
        f"{max(pictures.seen[1:]):,} of 4,000 images, as many as each needed: {share:.0%} of all."
    )
    parts, all_of_them = (read_sensitivity(one.folder, one.space) for one in (study, whole))
    assert parts is not None
    assert all_of_them is not None
    assert parts.reference == all_of_them.reference
    for name, rises in parts.rises.items():
        wanted = all_of_them.rises[name].sum(axis=1)
        assert np.all(np.abs(rises.sum(axis=1) - wanted) < 4 * np.maximum(ENOUGH, ENOUGH_SHARE * wanted))
    scores = json.loads((study.folder / FILE).read_text())["scores"]
    assert [score["total"] for score in scores] == pictures.seen
    assert len(bytes.fromhex(scores[0]["hits"])) == IMAGES // 8
    assert all(("lost" in score) == (number > 0) for number, score in enumerate(scores))
    assert all(result.total in (IMAGES, 1000) for result in study.results()), "candidates are scored whole"


def test_few_images_are_scored_whole_and_the_file_is_as_ever(tmp_path: Path) -> None:
    few = Pictures(1000)
    study, said = run(tmp_path / "few", few)
    assert not few.seen
    assert not any(text.startswith("Sensitivities") for text in said)
    scores = json.loads((study.folder / FILE).read_text())["scores"]
    assert set(scores[0]) == {"key", "parameter", "value", "correct", "total", "score", "error", "wall_s"}


class Stopping(Pictures):
    """Ctrl-C at one call."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def ptq_hits(self, config: CompressionConfig, is_enough: Callable[[Hits], bool]) -> Hits:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().ptq_hits(config, is_enough)


def essence(study: Study) -> tuple[list[object], list[object]]:
    scores = json.loads((study.folder / FILE).read_text())["scores"]
    return (
        [(r.number, r.stage, r.key, r.correct, r.total, r.seed, r.origin) for r in study.results()],
        [{key: value for key, value in score.items() if key != "wall_s"} for score in scores],
    )


@pytest.mark.parametrize("call", [0, 1, 6])
def test_interrupted_it_ends_the_same(tmp_path: Path, call: int) -> None:
    whole, _ = run(tmp_path / "whole", Pictures())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", Stopping(call))
    resumed = Pictures()
    again, _ = run(tmp_path / "broken", resumed)
    assert len(resumed.seen) == len(json.loads((whole.folder / FILE).read_text())["scores"]) - call
    assert essence(again) == essence(whole)


def test_workers_see_the_same(tmp_path: Path) -> None:
    graph = make_graph()
    found = []
    for name in ("here", "there"):
        study = Study.create_or_resume(
            tmp_path / name, graph=graph, space=Space.from_graph(graph), evaluate=Pictures(), name="run"
        )
        if name == "here":
            study.run(trials=1)
        else:
            with Processes(Pictures, 2) as hands:
                study.run(trials=1, executor=hands)
        found.append(essence(study)[1])
    assert found[0] == found[1]


def test_subsets_belong_to_the_study(tmp_path: Path) -> None:
    run(tmp_path, Pictures())
    with pytest.raises(ConfigError, match="used subsets true, now false"):
        run(tmp_path, Pictures(), subsets=False)
