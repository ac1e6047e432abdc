"""Study 14. How narrow may the sums of LeNet-5 be in integers only, and what does that save?

LeNet-5 with ReLU and max pools on MNIST, calibrated to 8 bits: sums of 10 to 32 bits are clamped at the end or at
every step; the narrowest are those that lose no hit of validation images.
"""

from __future__ import annotations

from typing import Any

from hwmodel import evaluate, load_accelerator
from reports import plot_lines
from reports.experiments import Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model, trace
from workloads.compress import CompressionConfig, apply, calibrate, load_weights
from workloads.integer import integerize, psum_table, smallest_widths, sweep_widths, with_accumulators
from workloads.training import Accuracy, TrainSettings, measure_accuracy, pretrain

NEEDS = ("mnist",)
LAYERS, TABLES = ("conv1", "conv2", "conv3", "fc1", "fc2"), ("network", "accuracy", "sums", "sweep", "energy")
BITS = CompressionConfig.from_bits(dict.fromkeys(LAYERS, 8), a_bits=8, quantizer="symmetric", granularity="channel")
WAYS = [(multiplier, rounding) for multiplier in ("fixed", "reciprocal") for rounding in ("round", "floor")]
CLAMPED = {"at every step": 1, "at the end": 10**6}  # products between two clamps; no layer has so many
#: Columns of `psum_table`; the last three are widths that are safe for so much.
SUMS = {"layer": "layer", "low": "min", "high": "max", "std": "deviation", "worst_bits": "any weights",
        "guaranteed_bits": "these weights", "prefix_bits": "these images"}  # fmt: skip
#: Bit operations of four images with 8-bit products and sums of these widths, from a course's loop nest.
PUBLISHED = {(18, 18, 18, 18, 18): 402_692_880, (18, 16, 16, 18, 16): 395_774_080}


def main(study: Experiment) -> None:
    data, weights = study.data("mnist", size=32), study.file("lenet5.safetensors")
    tested, fitted = data.test.take(study.choose(5000, 30)), data.validation.take(study.choose(1000, 30))
    model = load_model("lenet5", activation="relu", pool="max", seed=study.seed)

    def trained(settings: TrainSettings) -> Accuracy:
        pretrain(model, data, settings, weights, device=study.device)
        return measure_accuracy(model, data.test)

    settings = TrainSettings.from_scratch(epochs=study.choose(8, 1), lr=0.05, seed=study.seed)
    scores = {"float": study.once(trained, settings=settings)}
    load_weights(weights, model)
    qmodel, sample = apply(model, BITS), data.train.x[: study.choose(1024, 64)]
    calibrate(qmodel, sample)
    network = integerize(qmodel, sample)

    def in_integers(multiplier: str, rounding: str) -> Accuracy:
        return measure_accuracy(integerize(qmodel, sample, multiplier=multiplier, rounding=rounding), data.test)

    def swept(clamped: str, bits: list[int]) -> list[Accuracy]:
        rows = sweep_widths(network, tested, bits, chunk=CLAMPED[clamped])
        return [Accuracy(correct=hits, total=len(tested)) for hits in rows["correct"].tolist()]

    def narrowest(clamped: str) -> dict[str, Any]:
        found = smallest_widths(network, fitted, chunk=CLAMPED[clamped])
        test = measure_accuracy(network.with_registers(found.registers), data.test)
        sums = psum_table(found.sums).to_dict("records")
        return {"bits": found.layers, "one": found.network, "test": test, "sums": sums}

    scores |= {f"{m}, {r}": study.once(in_integers, multiplier=m, rounding=r) for m, r in WAYS}
    bits = study.choose([*range(10, 23), 24, 28, 32], [10, 16, 32])
    sweep = {c: study.once(swept, clamped=c, bits=bits) for c in CLAMPED}
    found = {c: study.once(narrowest, clamped=c) for c in CLAMPED}
    sums = [{new: row[old] for old, new in SUMS.items()} for row in found["at every step"]["sums"]]
    sums = [row | {f"no hit lost, {c}": found[c]["bits"][row["layer"]] for c in CLAMPED} for row in sums]
    one = trace(model, data.test.x[:1]).layers
    layers = [
        {"layer": n.name, "outputs": n.elements("O"), "weights": n.elements("W"), "macs": n.macs} for n in one
    ]
    layers.append({"layer": "all"} | {key: sum(row[key] for row in layers) for key in list(layers[0])[1:]})
    scores |= {f"narrowest sums, clamped {c}": found[c]["test"] for c in CLAMPED}
    accuracy = [{"arithmetic": way, "test": test} for way, test in scores.items()]
    rows = [{"clamped": c, "bits": bits[n], "test": test} for c in CLAMPED for n, test in enumerate(sweep[c])]
    energy = energies(trace(model, data.test.x[:4]), [tuple(found[c]["bits"][n] for n in LAYERS) for c in CLAMPED])
    for name, table in zip(TABLES, (layers, accuracy, sums, rows, energy), strict=True):
        study.table(name, table)
    left, right = new_panels(2, 10.5, 4.2)
    plot_lines(rows, "bits", "test", "clamped", left, percent=True, legend="inside")
    safe = [{"layer": row["layer"], "bits": row[of], "safe for": of} for of in list(sums[0])[4:] for row in sums]
    plot_lines(safe, "layer", "bits", "safe for", right, legend="inside", labels=("", "Bits of the sums"))
    left.set(xlabel="Bits of every sum", ylabel="Test accuracy [%]")
    right.set(ylim=(12, 32))
    study.figure(left)
    study.cut(f"Sweep on {len(tested):,} test images, ranges and narrowest sums on {len(fitted):,} of validation.")
    off = {way: f"{100 * (test.value - scores['float'].value):+.2f}" for way, test in scores.items()}
    saved = energy[-1]["eyeriss_uj"] / energy[0]["eyeriss_uj"] - 1
    end, step = (found[clamped]["one"] for clamped in ("at the end", "at every step"))
    study.finding(
        f"8-bit integers are {off['fixed, round']} points off the {scores['float'].value:.2%} of float (floored "
        f"{off['fixed, floor']}, by a reciprocal {off['reciprocal, round']}); no hit of validation images is lost "
        f"by sums of {end} bits clamped at the end, {step} at every step; the narrowest per layer change Eyeriss's "
        f"energy by {saved:+.1%} from that with 32 bits."
    )


def energies(graph: Any, widths: list[tuple[int, ...]]) -> list[dict[str, Any]]:
    """Of 32 bits, the published widths and those given, layer by layer; W and I have 8."""
    rows, chips = [], [load_accelerator("loop_nest"), load_accelerator("eyeriss")]
    for own in [(32,) * 5, *PUBLISHED, *widths]:
        config = with_accumulators(BITS, dict(zip(LAYERS, own, strict=True)))
        loops, pj = (evaluate(graph, chip, config).energy_pj for chip in chips)
        costs = {"bit operations": int(loops), "published": PUBLISHED.get(own), "eyeriss_uj": round(pj / 1e6, 3)}
        rows.append({"sums": "/".join(map(str, own)), **costs})
    return rows


if __name__ == "__main__":
    run(main)
