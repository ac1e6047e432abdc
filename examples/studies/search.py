"""Study 3. Does a search find widths of ResNet-20 that beat mixtures made by hand, in accuracy and in every cost?

Published weights (91.73 %), CIFAR-10; LSQ per channel, activations, first and last layer at 8 bits. The mixtures are
a course's: bits of the three stages, accuracy after 10 epochs and average bits, its first and last layer float and
its shortcuts projections. Here all are finetuned alike: the search's runs, the mixtures, and uniform widths.
Validation (half of the test files) chooses: for each mixture, and for all three at once, the configuration of the
highest believed accuracy that costs no more in anything; these alone are tested, on the other half.
"""

from __future__ import annotations

from typing import Any

from reports import plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from search import Space
from workloads import load_model, trace
from workloads.compress import CompressionConfig, average_precision, load_weights
from workloads.training import Accuracy, Scorer, TrainSettings

NEEDS = ("cifar10", "resnet20_cifar10.npz")
#: Bits of the three stages -> accuracy and average bits as published.
MIXTURES = {(4, 4, 2): (0.8919, 2.5988), (4, 2, 4): (0.8863, 3.7328), (2, 4, 4): (0.9042, 4.0087)}
#: Column -> cost of a result, factor to it, and its axis.
COSTS = {
    "bits": ("avg_w_bits", 1.0, "Average weight bits"),
    "bitfusion_uj": ("energy_pj", 1e-6, "Energy per image, Bit Fusion [µJ]"),
    "edge_npu_uj": ("energy_pj@edge_npu", 1e-6, "Energy per image, edge NPU [µJ]"),
}
Rows = list[dict[str, Any]]


def main(study: Experiment) -> None:
    data = study.data("cifar10", normalize="imagenet", validation="test")
    data = data.subset(train=study.choose(12_800, 128), seed=study.seed)
    model = load_model("resnet20", shortcut="pad")
    load_weights(study.weights("resnet20_cifar10.npz"), model)
    settings = TrainSettings(
        epochs=1, lr=0.01, warmup_epochs=0.1, crop=4, flip=True, amp="bf16", memory_format="channels_last"
    )
    scorer, graph = Scorer(model, data, settings, study.device), trace(model, data.example())
    stages = {f"layer{stage}": [f"layer{stage}.*"] for stage in (1, 2, 3)}
    space = Space.from_graph(graph, w_bits=[2, 3, 4, 8], groups=study.choose(None, stages), granularity="channel")
    by_hand = {
        ", ".join(map(str, bits)): {p.name: bits[int(p.group[5]) - 1] for p in space.parameters}
        for bits in (*MIXTURES, *((width,) * 3 for width in (2, 3, 4)))
    }
    most = max(average_precision(graph, space.config(by_hand[name])) for name in list(by_hand)[:3])
    search = study.searched(
        space, scorer, qat=study.choose(24, 3), graph=graph, accelerator=("bitfusion", "edge_npu"),
        objectives=("accuracy", "avg_w_bits", "energy", "energy@edge_npu"), limits={"avg_w_bits": f"<= {most:.6f}"},
    )  # fmt: skip
    pricer, beliefs = search.pricer(), search.beliefs()

    def row(name: str, kind: str, point: Any, **more: Any) -> dict[str, Any]:
        costs = pricer.costs(space.config(point))
        shown = {column: round(costs[key] * factor, 4) for column, (key, factor, _) in COSTS.items()}
        return {"name": name, "kind": kind, "widths": "".join(map(str, point.values())), **shown, **more}

    def finetuned(point: dict[str, int], seed: int, settings: TrainSettings) -> dict[str, Any]:
        score, tuned = scorer.qat(space.config(point), seed)
        return {"validation": score, "test": scorer.test(tuned)}

    def tested(one: dict[str, Any], point: Any) -> dict[str, Any]:
        seeds = range(1, study.choose(3, 2))
        runs = [study.once(finetuned, point=point, seed=seed, settings=settings) for seed in seeds]
        means = {part: Accuracy.mean(measured[part] for measured in runs) for part in ("validation", "test")}
        return {**one, **means, "seeds": len(seeds)}

    runs = {f"#{run.number}": run for run in search.results() if run.stage == "qat" and run.is_done}
    found = study.table("searched", [
        row(name, "searched", run.point, validation=Accuracy(correct=run.correct, total=run.total),
            believed=round(beliefs[run.number].mean, 4))
        for name, run in runs.items()
    ])  # fmt: skip
    hands = [row(name, "uniform" if len(set(name)) == 3 else "by hand", point) for name, point in by_hand.items()]
    mixed = hands[:3]
    picks = {
        pick["name"]: pick for rows in (mixed, *([one] for one in mixed)) for pick in most_believed(found, rows)
    }
    rows = [tested(one, by_hand[one["name"]]) for one in hands]
    rows += [tested({**row(name, "searched", runs[name].point)}, runs[name].point) for name in picks]
    for one in rows:
        one["dominates"] = "; ".join(other["name"] for other in rows[:3] if dominates(one, other))
    for one, (accuracy, bits) in zip(rows, MIXTURES.values(), strict=False):
        one |= {"published": accuracy, "published_bits": bits}
    study.cut(
        f"Finetuned on {len(data.train):,} images once, in the place of 10 epochs; {len(found)} runs searched."
    )
    draw(study, found, study.table("tested", rows))
    tell(study, rows)


def most_believed(found: Rows, within: Rows) -> Rows:
    """Of the runs that cost no more than any of these, the one of the highest believed accuracy; none where none do."""
    cheap = [one for one in found if all(one[cost] <= other[cost] for cost in COSTS for other in within)]
    return sorted(cheap, key=lambda one: float(one["believed"]))[-1:]


def dominates(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["test"].value > other["test"].value and all(one[cost] <= other[cost] for cost in COSTS)


def draw(study: Experiment, found: Rows, rows: Rows) -> None:
    """Above the validation accuracy of all that was run, below the test accuracy of what was chosen before."""
    panels = new_panels(6, 12, 7.6)
    marked = [{**one, "kind": "searched, dominates all three"} for one in rows if one["dominates"].count(";") == 2]
    known = [{**one, "kind": "published", "bits": one["published_bits"], "test": one["published"], "test_low": None}
             for one in rows[:3]]  # fmt: skip
    for number, (cost, (_, _, axis)) in enumerate(COSTS.items()):
        above = [{**one, "validation_low": None} for one in (*rows[:6], *found)]
        below = [*rows, *marked, *(known if cost == "bits" else [])]
        for ax, part, y in ((panels[number], above, "validation"), (panels[number + 3], below, "test")):
            plot_lines(
                part, cost, y, "kind", ax, percent=True, joined=False, names="name" if y == "test" else None,
                legend="inside" if cost == "bits" else "none", labels=(axis, f"Accuracy, {y} [%]"),
            )  # fmt: skip
    study.figure(panels[0])


def tell(study: Experiment, rows: Rows) -> None:
    def shown(one: dict[str, Any]) -> str:
        return f"{100 * one['test'].value:.2f} % at {one['bits']:.2f} bits"

    searched = [one for one in rows if one["kind"] == "searched"]
    all_three = [one for one in searched if one["dominates"].count(";") == 2]
    best = max(all_three or searched or rows, key=lambda one: float(one["test"].value))
    told = f"{best['name']} has {shown(best)}, the mixtures {', '.join(map(shown, rows[:3]))}"
    tie = any(best["test"].interval.overlaps(one["test"].interval) for one in rows[:3])
    study.finding(
        f"{len(all_three)} of the {len(searched)} configurations chosen from the search are more accurate on test than "
        f"all three mixtures and cost no more in bits and in energy on both chips: {told}"
        f"{', not all beyond its interval' if tie else ''}; uniform 3 bits: {shown(rows[4])}."
    )


if __name__ == "__main__":
    run(main)
