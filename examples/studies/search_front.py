"""Study 3. Does a search find widths of ResNet-20 that beat mixtures made by hand, in accuracy and in every cost?

Published weights (91.73 %), CIFAR-10; LSQ per channel; activations, first and last layer at 8 bits. The mixtures
are a course's: bits of the three stages, accuracy after 10 epochs, average bits with float ends and projections.
Here all is finetuned alike. Validation (half of the test files) chooses the highest believed accuracy that costs no
more than a mixture in anything, or than all three in one cost; the other half tests these, finetuned anew.
"""

from __future__ import annotations

from typing import Any

from reports import plot_lines
from reports.experiments import FAST, Experiment, dominated, run
from reports.figures.theme import new_panels
from search import Space
from workloads import load_model, trace
from workloads.compress import CompressionConfig, average_precision, load_weights
from workloads.training import Accuracy, Scorer, TrainSettings

NEEDS = ("cifar10", "resnet20_cifar10.npz")
#: Bits of the three stages -> accuracy and average bits, as published.
MIXTURES = {"442": (0.8919, 2.5988), "424": (0.8863, 3.7328), "244": (0.9042, 4.0087)}
#: Column -> cost, factor to it, and its axis.
COSTS = {
    "bits": ("avg_w_bits", 1, "Average weight bits"),
    "bitfusion_uj": ("energy_pj", 1e-6, "Energy per image, Bit Fusion [µJ]"),
    "edge_npu_uj": ("energy_pj@edge_npu", 1e-6, "Energy per image, edge NPU [µJ]"),
}
ALL = ", dominates all three"


def main(study: Experiment) -> None:
    parts = study.choose({"train": 30_000}, dict.fromkeys(("train", "validation", "test"), 64))
    data = study.data("cifar10", parts=parts, normalize="imagenet", validation="test")
    most = study.data("cifar10", parts=study.choose(None, parts), normalize="imagenet", validation="test")
    model = load_model("resnet20", shortcut="pad")
    load_weights(study.weights("resnet20_cifar10.npz"), model)
    settings = TrainSettings(epochs=1, lr=0.01, warmup_epochs=0.1, batch_size=128, **FAST)
    scorer, graph = Scorer(model, data, settings, study.device), trace(model, data.example())
    final = Scorer(model, most, settings, study.device)
    stages = study.choose(None, {name: f"{name}.*" for name in ("layer1", "layer2", "layer3")})
    space = Space.from_graph(graph, w_bits=study.choose([2, 3, 4, 8], [2, 4]), groups=stages, granularity="channel")
    hands = {
        name: space.config({p.name: int(name[int(p.group[5]) - 1]) for p in space.parameters})
        for name in (*MIXTURES, *study.choose(("222", "333", "444"), ("444",)))
    }
    mixed = list(hands.values())[:3]
    limit = max(average_precision(graph, config) for config in mixed)
    search = study.searched(
        space, scorer, qat=study.choose(24, 2), graph=graph, accelerator=("bitfusion", "edge_npu"),
        objectives=("accuracy", *(cost for cost, _, _ in COSTS.values())),
        limits={"avg_w_bits": f"<= {limit:.6f}", "accuracy": study.choose(">= 88 %", ">= 0 %")},
    )  # fmt: skip
    pricer, beliefs = search.pricer(), search.beliefs()

    def row(name: str, kind: str, config: CompressionConfig) -> dict[str, Any]:
        costs, widths = pricer.costs(config), [choice.w_bits for choice in config.layers.values()]
        shown = {column: round(costs[cost] * factor, 4) for column, (cost, factor, _) in COSTS.items()}
        return {"name": name, "kind": kind, "widths": "".join(map(str, widths)), **shown}

    found = [
        {**row(f"#{run.number}", "searched", CompressionConfig.from_dict(run.config)),
         "validation": Accuracy(correct=run.correct, total=run.total), "believed": beliefs[run.number].mean}
        for run in search.results() if run.stage == "qat" and run.is_done
    ]  # fmt: skip
    rivals = [search.rival(config) for config in mixed]
    rivals += [search.rival(*mixed, costs=[cost]) for cost, _, _ in COSTS.values()]
    picked = {f"#{best.number}": CompressionConfig.from_dict(best.config) for best in rivals if best}
    rows = []
    for name, config in (hands | picked).items():
        kind = "by hand" if name in MIXTURES else "uniform" if name in hands else "searched"
        scores = study.finetuned(final, config)
        known = dict(zip(("published", "published_bits"), MIXTURES.get(name, ()), strict=False))
        rows.append({**row(name, kind, config), **scores, **known})
    for one in rows:
        for column, costs in {**{cost: [cost] for cost in COSTS}, "all": list(COSTS)}.items():
            one[f"dominates_{column}"] = dominated(one, rows[:3], "test", costs)
    study.table("searched", found)
    study.table("tested", rows)
    study.cut(
        f"{len(found)} finetunings on {len(data.train):,} images once, what is tested once on {len(most.train):,}; "
        "published after 10 epochs."
    )
    above = [{**one, "validation": one["validation"].value} for one in (*rows[: len(hands)], *found)]
    below = [*rows, *({"kind": "published", "bits": bits, "test": score} for score, bits in MIXTURES.values())]
    sides = (above, below)  # all that was run, and what was tested
    panels = new_panels(6, 12, 7.6)
    for place, ax in enumerate(panels):
        column, y = list(COSTS)[place % 3], ("validation", "test")[place // 3]
        beaten = f"dominates_{column}"
        drawn = [
            {**one, "kind": one["kind"] + ALL * (one.get(beaten, "").count(",") == 2)} for one in sides[place // 3]
        ]
        plot_lines(
            drawn, column, y, "kind", ax, percent=True, joined=False,
            names=(None, "name")[place // 3], legend="none" if place % 3 else "inside",
            labels=(COSTS[column][2], f"Accuracy, {y} [%]"),
        )  # fmt: skip
    study.figure(panels[0])
    tell(study, rows[: len(hands)], rows[len(hands) :])


def tell(study: Experiment, hands: list[Any], searched: list[Any]) -> None:
    told = {row["name"]: f"{100 * row['test'].value:.2f} % at {row['bits']:.2f} bits" for row in hands + searched}
    counts = [f"{sum(one[f'dominates_{cost}'].count(',') == 2 for one in searched)} in {cost}" for cost in COSTS]
    beaten = [f"{one['name']}, {told[one['name']]}: {one['dominates_all'] or 'none'}" for one in searched]
    study.finding(
        f"By hand, on test: {', '.join(f'{one} {told[one]}' for one in told if one[0] != '#')}. Of {len(searched)} "
        f"chosen by validation, more accurate than all three mixtures and no dearer: {', '.join(counts)}. What "
        f"each beats without costing more in anything: {'; '.join(beaten)}."
    )


if __name__ == "__main__":
    run(main)
