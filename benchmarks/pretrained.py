"""Published weights of the CIFAR ResNets on CIFAR-10's test images, beside their published accuracy.

    python -m benchmarks.pretrained DATA WEIGHTS

DATA is what `load_data("cifar10", path=...)` reads; WEIGHTS a folder of resnet{20,32,44,56}_cifar10.npz. Writes
results/pretrained.json beside this file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.provenance import provenance, store
from workloads import load_data, load_model
from workloads.compress import load_weights
from workloads.training import measure_accuracy

#: Test accuracy; Idelbayev, github.com/akamaster/pytorch_resnet_cifar10, table of the pretrained models.
PUBLISHED = {"resnet20": 0.9173, "resnet32": 0.9263, "resnet44": 0.9310, "resnet56": 0.9339}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    options = parser.parse_args()
    data = load_data("cifar10", path=options.data, normalize="imagenet")
    rows = []
    for name, published in PUBLISHED.items():
        model = load_model(name, shortcut="pad")
        load_weights(options.weights / f"{name}_cifar10.npz", model)
        start = time.perf_counter()
        accuracy = measure_accuracy(model, data.test)
        rows.append({
            "model": name, "correct": accuracy.correct, "total": accuracy.total, "published": published,
            "equal_to_four_digits": round(accuracy.value, 4) == published,
            "seconds": round(time.perf_counter() - start, 1),
        })  # fmt: skip
        print(f"{name}: {accuracy}, published {published:.2%}")
    store("pretrained", {"benchmark": "pretrained", **provenance(("torch", "numpy")), "rows": rows})


if __name__ == "__main__":
    main()
