"""Rules read what the front was built with: believed accuracies where there are any, and not the lucky ones."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search.front.objective import objective_named, resolve_objectives
from search.front.picking import NoCandidateError, Rule, parse_rule, pick
from search.front.results import Result
from search.propose.posterior import means_of
from search.space import Space
from search.study import Study
from tests.search.helpers import Count, ToyScorer, ToyTable, make_graph, make_result
from workloads.compress.config import CompressionConfig

AXES = resolve_objectives(["accuracy", "avg_w_bits"])
#: Bits -> measured and believed accuracy [of 1000]. Number 1 was lucky, 3 was not.
FRONT = ((1.0, 500, 500), (2.0, 960, 880), (4.0, 965, 940), (5.0, 955, 960), (8.0, 990, 985))
RESULTS = [
    make_result(n, correct=correct, stage="qat", avg_w_bits=bits) for n, (bits, correct, _) in enumerate(FRONT)
]
BELIEVED = {n: believed / 1000 for n, (_, _, believed) in enumerate(FRONT)}


@pytest.mark.parametrize(
    ("rule", "measured", "believed"),
    [
        ("accuracy>=0.95", 1, 3),
        ("accuracy>=95 %", 1, 3),
        ({"accuracy": 0.95}, 1, 3),
        ("accuracy>0.96", 2, 4),
        ("avg_w_bits<=5", 2, 3),
        ("avg_w_bits <= 5 bit, accuracy >= 0.9", 1, 2),
        ("accurate", 4, 4),
        ("cheapest", 0, 0),
        # sums of scaled losses: measured 1/7 + 30/490 for number 1; believed 1/7 + 105/485 there, 3/7 + 45/485 then
        ("knee", 1, 1),
        ("3", 3, 3),
    ],
)
def test_every_rule_reads_the_same_accuracies(rule: Rule, measured: int, believed: int) -> None:
    assert pick(RESULTS, AXES, rule).number == measured
    assert pick(RESULTS, AXES, rule, BELIEVED).number == believed


def test_the_knee_and_ties_are_believed() -> None:
    believed = BELIEVED | {1: 0.6}  # 1/7 + 385/485 there, 3/7 + 45/485 at number 2
    assert pick(RESULTS, AXES, "knee", believed).number == 2
    level = dict.fromkeys(BELIEVED, 0.9)
    assert pick(RESULTS, AXES, "accurate", level).number == 0, "of equal ones the cheapest"
    assert (
        pick([*RESULTS, make_result(9, correct=1, stage="qat", avg_w_bits=1.0)], AXES, "cheapest", {9: 0.51}).number
        == 9
    )


def test_what_none_meets_is_said_as_believed_and_as_measured() -> None:
    text = r"none of 5 candidates has accuracy >= 0.989; the best has 0.985 \(believed; measured 0.99\)\."
    with pytest.raises(NoCandidateError, match=text):
        pick(RESULTS, AXES, "accuracy>=0.989", BELIEVED)
    assert pick(RESULTS, AXES, "accuracy>=0.989").number == 4
    with pytest.raises(NoCandidateError, match=r"has accuracy > 0.99; the best has 0.99\.$"):
        pick(RESULTS, AXES, "accuracy>0.99")
    with pytest.raises(NoCandidateError, match=r"has avg_w_bits < 1 bit; the best has 1 bit\.$"):
        pick(RESULTS, AXES, "avg_w_bits<1", BELIEVED)


def test_bounds_have_the_units_of_the_tables() -> None:
    costly = [make_result(n, stage="qat", energy_pj=energy, latency_s=1e-3) for n, energy in enumerate((2e6, 5e9))]
    axes = resolve_objectives(["accuracy", "energy"])
    for rule in (
        "energy<=3 uJ",
        "energy <= 3e6",
        {"energy": 3e6},
        {"energy": "<= 0.003 mJ"},
        "latency<=1 ms, energy<3 µJ",
    ):
        assert pick(costly, axes, rule).number == 0
    with pytest.raises(NoCandidateError, match=r"none of 2 candidates has energy <= 1\.5 µJ; the best has 2 µJ\."):
        pick(costly, axes, "energy<=1.5 uJ")
    assert [str(bound) for bound in parse_rule("energy<=4.1 mJ, latency<2e-3")] == [
        "energy <= 4.1 mJ",
        "latency < 2 ms",
    ]  # type: ignore[union-attr]
    for rule, message in (
        ("energy<=3 ms", "pick: energy: "),
        ("energy<=much", "pick: energy: "),
        ("accuracy>=good", "pick: accuracy: must be a number or a percentage, but got 'good'"),
        ("accuracy>=95", "Accuracy is a share: write 0.95 for 95 %"),
        ("energy=<3", "pick: energy=: objectives|must be bounded|must be among"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_rule(rule)
    assert objective_named("memory").written(64 * 1024 * 8) == "65.536 kB"


class Noisy(ToyScorer):
    """Finetuning succeeds more or less, by the candidate."""

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, None]:
        found, _ = super().qat(config, seed)
        return Count(found.correct + int(np.random.default_rng(seed).normal(0, 15))), None


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Study:
    graph = make_graph()
    study = Study.create_or_resume(
        tmp_path_factory.mktemp("noisy"), graph=graph, space=Space.from_graph(graph), evaluate=Noisy(),
        table=ToyTable(), objectives=["accuracy", "avg_w_bits"],
    )  # fmt: skip
    study.run(trials=6, qat=24)
    return study


def test_a_pick_is_that_of_the_front_that_is_shown(noisy: Study) -> None:
    front, believed = noisy.front(), means_of(noisy.beliefs())

    def first(floor: float, accuracy: dict[int, float]) -> Result | None:
        return next((r for r in front if accuracy[r.number] >= floor), None)  # the front is in order of its bits

    measured = {result.number: result.accuracy for result in front}
    floors = sorted({*measured.values(), *(believed[number] for number in measured)})
    disagree = 0
    for floor in floors:
        wanted = first(floor, believed)
        disagree += wanted != first(floor, measured)
        if wanted is None:
            with pytest.raises(NoCandidateError, match="believed; measured"):
                noisy.pick({"accuracy": floor})
        else:
            assert noisy.pick({"accuracy": floor}) == wanted
    assert disagree > 3, "a run whose measurements say otherwise"
    assert noisy.pick("accurate") == front[-1], "believed accuracies rise along the front"
