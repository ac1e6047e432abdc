"""Study 2. Which stage of ResNet-20 matters least: two bits in one of its three stages, four in the others?

Published weights (91.73 %), first convolution, last layer and activations float. The accuracies published after 10
epochs are a course's. Average precision is over conv and linear weights, float ones as 32 bits: of this network, of
that with projection shortcuts (published: 2.5988, 3.7328, 4.0087), and over what rounding leaves non-zero.
"""

from __future__ import annotations

from typing import Any

from reports import plot_bars, plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model, trace
from workloads.compress import CompressionConfig, apply, average_precision, load_weights
from workloads.training import Scorer, TrainSettings, measure_accuracy

NEEDS = ("cifar10", "resnet20_cifar10.npz")
#: Bits of the three stages -> published accuracy.
STAGES = {(4, 4, 2): 0.8919, (4, 2, 4): 0.8863, (2, 4, 4): 0.9042}
TUNED = "LSQ per channel"
GRIDS = {"min-max": ("minmax", "tensor"), "affine": ("affine", "tensor"), TUNED: ("lsq", "channel")}


def config_of(bits: tuple[int, ...], grid: str) -> CompressionConfig:
    quantizer, granularity = GRIDS[grid]
    stages = {f"layer{stage}.*": width for stage, width in enumerate(bits, start=1)}
    return CompressionConfig.from_bits(stages, quantizer=quantizer, granularity=granularity)


def main(study: Experiment) -> None:
    data = study.data("cifar10", normalize="imagenet")
    model = load_model("resnet20", shortcut="pad")
    load_weights(study.weights("resnet20_cifar10.npz"), model)
    graphs = {kind: trace(load_model("resnet20", shortcut=kind), data.example()) for kind in ("pad", "projection")}

    def measured(model: Any, config: CompressionConfig) -> dict[str, Any]:
        test = measure_accuracy(model, data.test, study.device, memory_format="channels_last")
        left = average_precision(graphs["pad"], config, "measured", model=model)
        return {"test": test, "bits_nonzero": round(left, 4)}

    def before(bits: tuple[int, ...], grid: str) -> dict[str, Any]:
        config = config_of(bits, grid)
        return measured(apply(model, config, seed=0), config)

    def after(bits: tuple[int, ...], grid: str, settings: TrainSettings) -> dict[str, Any]:
        config = config_of(bits, grid)
        _, tuned = Scorer(model, data, settings, study.device).qat(config, study.seed)
        return measured(tuned, config)

    settings = TrainSettings(
        epochs=1, lr=0.01, batch_size=128, warmup_epochs=0.1, **FAST,
    )  # fmt: skip
    untrained, tuned = [], []
    for bits, published in STAGES.items():
        name = ", ".join(map(str, bits))
        for grid in GRIDS:
            untrained.append({"stages": name, "grid": grid, **study.once(before, bits=bits, grid=grid)})
        config = config_of(bits, TUNED)
        mean = {f"bits_{kind}": round(average_precision(graph, config), 4) for kind, graph in graphs.items()}
        found = study.once(after, bits=bits, grid=TUNED, settings=settings)
        tuned.append({"stages": name, "epochs": settings.epochs, **found, "published": published, **mean})
    study.cut(f"Epochs: {settings.epochs} of 45,000 images, in the place of 10. Only {TUNED} is finetuned.")
    draw(study, study.table("untrained", untrained), study.table("finetuned", tuned))
    tell(study, untrained, tuned)


def draw(study: Experiment, untrained: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> None:
    """Left untrained by grid, right finetuned over the average precision."""
    left, right = new_panels(2, 11, 4.6)
    plot_bars(
        untrained, "stages", "test", "grid", left, percent=True, legend="inside",
        labels=("Bits of the stages", "Test accuracy, untrained [%]"),
    )  # fmt: skip
    known = [{"bits_pad": row["bits_pad"], "test": row["published"], "by": "published, 10 epochs"} for row in tuned]
    plot_lines(
        [*({**row, "by": TUNED} for row in tuned), *known], "bits_pad", "test", "by", right, percent=True,
        legend="inside", names="stages", joined=False,
        labels=("Average weight bits, float layers as 32", "Test accuracy, finetuned [%]"),
    )  # fmt: skip
    study.figure(left)


def tell(study: Experiment, untrained: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> None:
    def shown(rows: list[dict[str, Any]]) -> str:
        return ", ".join(f"{100 * row['test'].value:.2f} (stage {stage(row)})" for row in rows)

    def stage(row: dict[str, Any]) -> int:
        return int(row["stages"].split(", ").index("2")) + 1

    best, second, _ = ranked = sorted(tuned, key=lambda row: float(row["test"].value), reverse=True)
    tie = ", a tie with the next" if best["test"].interval.overlaps(second["test"].interval) else ""
    same = [round(row["published"], 4) for row in ranked] == sorted(STAGES.values(), reverse=True)
    study.finding(
        f"Two bits cost least in stage {stage(best)}{tie}: finetuned {shown(ranked)} %, the published order "
        f"{'too' if same else 'is another'}; untrained min-max has "
        f"{shown([row for row in untrained if row['grid'] == 'min-max'])} %; fewest bits on average has "
        f"stage {stage(min(tuned, key=lambda row: float(row['bits_pad'])))}."
    )


if __name__ == "__main__":
    run(main)
