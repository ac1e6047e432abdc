"""Study 15. Is a mixture of widths that is cheap on one chip cheap on another?

ResNet-20 on CIFAR-10 (published weights), LSQ per channel, first and last layer at 8 bits, all finetuned alike:
442/888 has weights of 4, 4 and 2 bits in the three stages, activations of 8. Energy depends on the chip: products
of 8 bits (edge NPU), such that fuse from 2 bits (Bit Fusion), bit-serial compute in memory (Colonnade), a GPU with
products of 4 and 8 bits (A100, 1,024 images at once). Validation chooses the cheapest of each chip.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from scipy.stats import spearmanr

from hwmodel import CostTable, load_accelerator
from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from search import Space
from workloads import load_model, trace
from workloads.compress import load_weights
from workloads.training import Scorer, TrainSettings

NEEDS = ("cifar10", "resnet20_cifar10.npz")
#: Chip -> how it is called, and images at once.
CHIPS = {
    "edge_npu": ("edge NPU, fixed 8 bits", 1),
    "bitfusion": ("Bit Fusion, 2 to 8 bits", 1),
    "colonnade": ("Colonnade, bit-serial", 1),
    "a100": ("A100, 4 and 8 bits", 1024),
}
NAMES = (
    "888/888", "444/888", "888/444", "444/444",
    "333/888", "222/888", "442/888", "244/888", "842/888", "432/888", "888/333", "888/844", "888/448", "444/333",
    "333/444", "222/444", "442/444", "844/844", "448/448", "842/844",
)  # fmt: skip
#: What a chip's choice may lose against 8 bits everywhere.
MARGIN = 0.02
Row = dict[str, Any]


def main(study: Experiment) -> None:
    train, images = study.choose((6400, 2500), (64, 64))
    parts = {"train": train, "validation": images, "test": images}
    data = study.data("cifar10", parts=parts, normalize="imagenet", validation="test")
    model = load_model("resnet20", shortcut="pad")
    load_weights(study.weights("resnet20_cifar10.npz"), model)
    settings = TrainSettings(epochs=1, lr=0.01, warmup_epochs=0.1, **FAST)
    scorer = Scorer(model, data, settings, study.device)
    graphs = {count: trace(model, data.example().expand(count, -1, -1, -1)) for count in (1, 1024)}
    space = Space.from_graph(
        graphs[1], w_bits=study.choose([2, 3, 4, 8], [4, 8]), a_bits=study.choose([3, 4, 8], [4, 8]),
        groups={f"layer{stage}": f"layer{stage}.*" for stage in (1, 2, 3)}, granularity="channel",
    )  # fmt: skip
    points = {
        name: {f"layer{n}.{axis}": int(bits[n - 1]) for n in (1, 2, 3)
               for axis, bits in zip(("w_bits", "a_bits"), name.split("/"), strict=True)}
        for name in NAMES[: study.choose(len(NAMES), 4)]
    }  # fmt: skip
    rows = [{"name": name, **study.finetuned(scorer, space.config(point))} for name, point in points.items()]
    for chip, (_, count) in CHIPS.items():
        table = CostTable.build(graphs[count], load_accelerator(chip), space.choices())
        energy = table.totals(space.encode(list(points.values())))["energy_pj"]
        for row, value in zip(rows, energy, strict=True):
            row |= {f"{chip}_uj": round(value / count * 1e-6, 3), chip: round(value / energy[0], 4)}
    good = [row for row in rows if row["validation"].value >= rows[0]["validation"].value - MARGIN]
    best = {chip: min(good, key=itemgetter(chip)) for chip in CHIPS}
    for row in rows:
        row["chosen"] = ", ".join(chip for chip in CHIPS if best[chip] is row)
    order = spearmanr([[row[chip] for chip in CHIPS] for row in rows]).statistic
    study.table("configurations", rows)
    study.table("rank correlation", [
        {"chip": chip, **dict(zip(CHIPS, map(float, line), strict=True))}
        for chip, line in zip(CHIPS, order, strict=True)
    ])  # fmt: skip
    study.cut(f"Finetuned on {len(data.train):,} images once; accuracies on {len(data.test):,} images.")
    draw(study, rows)
    tell(study, good, best, order)


def draw(study: Experiment, rows: list[Row]) -> None:
    """Accuracy over energy on each chip; what one of them chooses is marked on all."""
    shown = [{**row, "kind": f"{row['name']}, chosen on {row['chosen']}"} for row in rows if row["chosen"]]
    shown = [*({**row, "kind": "others"} for row in rows if not row["chosen"]), *shown]
    panels = new_panels(4, 11, 8)
    for (chip, (name, _)), ax in zip(CHIPS.items(), panels, strict=True):
        plot_lines(
            shown, chip, "test", "kind", ax, percent=True, joined=False, legend=("none", "inside")[ax is panels[0]],
            labels=(f"Energy against 8 bits everywhere: {name}", "Test accuracy [%]"),
        )  # fmt: skip
    study.figure(panels[0])


def tell(study: Experiment, good: list[Row], best: dict[str, Row], order: Any) -> None:
    chosen = ", ".join(f"{row['name']} on {chip} ({100 * row[chip]:.0f} %)" for chip, row in best.items())
    loss, home, away = max((best[a][b] / best[b][b] - 1, a, b) for a in CHIPS for b in CHIPS)
    place = sorted(row[away] for row in good).index(best[home][away]) + 1
    off = [value for a, line in enumerate(order) for value in line[:a]]
    study.finding(
        f"Within {100 * MARGIN:g} points of 8 bits everywhere the cheapest is {chosen} of its energy. What {home} "
        f"chooses is number {place} of {len(good)} on {away}, {100 * loss:.0f} % above that chip's own; the chips' "
        f"orders correlate by {min(off):.2f} to {max(off):.2f} (Spearman)."
    )


if __name__ == "__main__":
    run(main)
