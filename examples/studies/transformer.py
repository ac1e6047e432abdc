"""Study 10. Where does a language model multiply, and what do 8 and 4 bits cost it in loss and save in energy?

A small causal transformer on the bytes of a text: its matrix products by place (h heads multiply h times), the loss
on held-out text at W8A8, W4A8 and W4A4 before and after finetuning, and the price of a prefill on two accelerators.
"""

from __future__ import annotations

import math
from typing import Any

from hwmodel import attention_summary, evaluate, load_accelerator
from reports import plot_bars, plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model, trace
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.training import TrainSettings, cross_entropy, finetune, measure, measure_accuracy, pretrain

NEEDS = ("text",)
CHIPS = ("edge_npu", "bitfusion")
WIDTHS = {"float": (32, 32), "W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4)}


def main(study: Experiment) -> None:
    data = study.data("text", context=64)
    size = study.choose({}, {"dim": 16, "heads": 2, "depth": 1})
    scratch = TrainSettings(
        epochs=study.choose(4, 1), lr=2e-3, optimizer="adam", weight_decay=0.05, warmup_epochs=0.5, seed=study.seed
    )
    tuning = TrainSettings(epochs=1, lr=3e-4, optimizer="adam", weight_decay=0.05, seed=study.seed)
    graph = trace(load_model("transformer", **size), data.validation.x[:1])

    def measured(trained: Any) -> dict[str, Any]:
        loss = measure(trained, data.test, study.device, cross_entropy)
        return {"loss": loss.value, "test": measure_accuracy(trained, data.test, study.device)}

    def quantized(w_bits: int, a_bits: int, settings: TrainSettings) -> dict[str, Any]:
        model = load_model("transformer", seed=study.seed, **size)
        pretrain(model, data, scratch, study.file("float.safetensors"), device=study.device)
        qmodel = apply(model, config_of(w_bits, a_bits), seed=study.seed)
        calibrate(qmodel, data.train.x[:256])
        before = measured(qmodel)
        finetune(qmodel, data.train, settings, device=study.device)
        after = measured(qmodel)
        return {"loss_before": before["loss"], **after}

    def config_of(w_bits: int, a_bits: int) -> CompressionConfig:
        return CompressionConfig.from_bits(
            dict.fromkeys(graph.modules, w_bits), a_bits=a_bits, granularity="channel"
        )

    rows = []
    for name, (w_bits, a_bits) in WIDTHS.items():
        row = {"bits": name, **study.once(quantized, w_bits=w_bits, a_bits=a_bits, settings=tuning)}
        for chip in CHIPS if name != "float" else ():
            cost = evaluate(graph, load_accelerator(chip), config_of(w_bits, a_bits))
            row |= {f"{chip}_energy_uj": cost.energy_pj / 1e6, f"{chip}_latency_us": cost.latency_s * 1e6}
        rows.append(row)
    for row in rows:
        row["bits_per_byte"] = row["loss"] / math.log(2)
    places = [
        {"place": c.role, "layers": c.layers, "products": c.products, "macs": c.macs}
        for c in attention_summary(graph).counts
    ]
    study.table("loss", rows)
    study.table("products", places)
    study.cut("The text is 1.1 MB and the model 0.5 million weights: one block of context is 64 bytes.")
    study.cut(
        "Products of two activations (Q K^T and P V) compute in float while training; their price is at 8 bits."
    )
    draw(study, rows, places)
    base, eight, four = rows[0], rows[1], rows[3]
    heads = sum(place["products"] for place in places if place["place"] in ("scores", "mix"))
    shares = [f"{four[f'{chip}_energy_uj'] / eight[f'{chip}_energy_uj']:.2f} on {chip}" for chip in CHIPS]
    study.finding(
        f"{heads} of {sum(place['products'] for place in places)} matrix products are of two activations, one per "
        f"head and block; finetuned alike, the test loss is {base['loss']:.3f} nat in float, "
        f"{eight['loss'] - base['loss']:+.3f} at W8A8 and {four['loss'] - base['loss']:+.3f} at W4A4, for "
        f"{' and '.join(shares)} of the energy of W8A8."
    )


def draw(study: Experiment, rows: list[dict[str, Any]], places: list[dict[str, Any]]) -> None:
    """Loss over energy on both chips, and where the products and their MACs are."""
    panels = new_panels(2, 10, 4)
    points = [
        {"energy": row[f"{chip}_energy_uj"], "loss": row["loss"], "chip": chip, "bits": row["bits"]}
        for chip in CHIPS
        for row in rows[1:]
    ]
    plot_lines(points, "energy", "loss", "chip", panels[0], legend="inside", names="bits",
               labels=("Energy of a prefill [µJ]", "Test loss, finetuned [nat]"))  # fmt: skip
    panels[0].axhline(rows[0]["loss"], color="grey", linestyle=":")
    bars = [{"mmacs": p["macs"] / 1e6, "name": f"{p['place']}\n{p['products']}"} for p in places]
    plot_bars(
        bars, "name", "mmacs", None, panels[1], labels=("Place, and its products", "MACs of a prefill [million]")
    )
    study.figure(panels[0])


if __name__ == "__main__":
    run(main)
