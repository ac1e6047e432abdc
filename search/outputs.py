"""The files that a run leaves for people: tables of candidates, front and layers, and `best.yaml`.

All are made from the ledger, `test.jsonl` and `float.json` alone, so they can be written again for another pick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel import evaluate
from hwmodel.csvfile import csv_text
from hwmodel.files import write_atomic
from hwmodel.network.choice import FLOAT, surviving_weights
from hwmodel.network.frames import layer_row
from hwmodel.network.graph import LayerGraph
from hwmodel.network.tensors import written_bits
from search.codesign.outputs import Sweep
from search.finaltest import FinalRecord, summarize
from search.front.objective import Objective
from search.front.results import Result, interval_columns, results_frame, ties_of
from search.propose.posterior import Belief, believed_columns
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.config_file import Provenance, read_config, write_config
from workloads.compress.precision import precision_definition
from workloads.training.accuracy import Accuracy, Interval

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator

BEST, BEST_WEIGHTS = "best.yaml", "checkpoints/best.safetensors"
PARETO, CANDIDATES, LAYERS = "pareto.csv", "candidates.csv", "layers.csv"


@dataclass(frozen=True, kw_only=True)
class RunOutputs:
    """A finished run and its pick.

    Attributes:
        folder: where the files go.
        graph: of the model.
        accelerator: None where costs of one were no objective; the picked design where the chip has several.
        fuse: costs are of fused layers.
        objectives: of the study.
        results: the whole ledger.
        front: of the last stage, cheapest first; with several designs a candidate stands there with the costs on
            each design of the front.
        sweep: the designs of `front` and of the pick, where there are several.
        picked: one of the front.
        rule: that picked it, as text.
        float_accuracy: of the float model on the validation split.
        tests: records of the test split.
        provenance: for `best.yaml`.
        beliefs: number of a result -> what is believed of its accuracy.
        huffman_bits: of the pick, module -> average length of a Huffman code of its weights [bit/weight].
    """

    folder: Path
    graph: LayerGraph
    accelerator: Accelerator | None
    objectives: tuple[Objective, ...]
    results: tuple[Result, ...]
    front: tuple[Result, ...]
    picked: Result
    rule: str = "knee"
    float_accuracy: Accuracy
    tests: tuple[FinalRecord, ...]
    provenance: Provenance = field(default_factory=Provenance)
    huffman_bits: Mapping[str, float] = field(default_factory=dict)
    fuse: bool = True
    beliefs: Mapping[int, Belief] = field(default_factory=dict)
    sweep: Sweep | None = None

    def write(self) -> None:
        """`pareto.csv`, `candidates.csv`, `layers.csv` and `best.yaml`, each whole or not at all; with designs
        `designs.csv` and `best_chip.yaml`.
        """
        if self.sweep is not None:
            self.sweep.write(self.folder)
        _write_csv(self.folder / PARETO, self.front_frame())
        _write_csv(self.folder / CANDIDATES, results_frame(self.results))
        _write_csv(self.folder / LAYERS, self.layers_frame())
        config = CompressionConfig.from_dict(self.picked.config)
        write_config(self.folder / BEST, config, self.graph, metrics=self.metrics(), provenance=self.provenance)

    def accuracy_of(self, key: str, stage: str) -> float:
        """Validation accuracy of a configuration at a stage; nan where it was not scored."""
        scored = [r.accuracy for r in self.results if r.is_done and r.key == key and r.stage == stage]
        return scored[-1] if scored else math.nan

    def front_frame(self) -> pd.DataFrame:
        """One row per candidate of the front: costs, the accuracies at every fidelity, test mean and deviation.

        Intervals are at 95 %. `tie`: its validation accuracy and the pick's are not told apart.
        """
        import pandas as pd

        ties = ties_of(self.picked, self.front)
        rows = []
        for position, result in enumerate(self.front):
            test = summarize(self.tests, result.key, result.stage)
            rows.append(
                {
                    "number": result.number, "stage": result.stage,
                    **({} if self.sweep is None else self.sweep.columns(position)), **result.costs,
                    "float_accuracy": self.float_accuracy.value,
                    "ptq_accuracy": self.accuracy_of(result.key, "ptq"),
                    "qat_accuracy": self.accuracy_of(result.key, "qat"),
                    "val_correct": result.correct, "val_total": result.total,
                    **interval_columns("val", result.interval),
                    **{name: column[0] for name, column in believed_columns(self.beliefs, [result.number]).items()},
                    "tie": result.number in ties,
                    "test_mean": test.mean if test else math.nan,
                    **interval_columns("test", test.interval if test else None),
                    "test_sd": test.sd if test else math.nan,
                    "test_seeds": test.num_seeds if test else 0,
                    "origin": result.origin, "key": result.key, "checkpoint": result.checkpoint,
                    "picked": result == self.picked,
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def layers_frame(self) -> pd.DataFrame:
        """One row per layer of the pick: bits, density, weights, MACs, and with an accelerator what it costs.

        `o_bits` is the width at which its output is written [bit], `resident` the operands that stay on chip.
        """
        import pandas as pd

        config = CompressionConfig.from_dict(self.picked.config)
        annotated = config.annotate(self.graph)
        cost = None if self.accelerator is None else evaluate(self.graph, self.accelerator, config, fuse=self.fuse)
        priced = {} if cost is None else {item.name: item for item in cost.layers}
        native = FLOAT if self.accelerator is None else self.accelerator.native_bits
        written = written_bits(annotated, native) if cost is None else _written(cost)
        rows = []
        for layer in annotated.layers:
            choice = config.layers.get(layer.module, LayerChoice())
            shared = layer_row(layer if layer.bits else layer.with_bits(native))
            row: dict[str, Any] = {
                **{name: shared[name] for name in ("layer", "module", "w_bits", "a_bits")},
                "o_bits": written[layer.name],
                "density": choice.density, "pattern": choice.pattern, "quantizer": choice.quantizer,
                "weights": shared["weights"], "nonzero_weights": surviving_weights(layer), "macs": shared["macs"],
                "huffman_bits": self.huffman_bits.get(layer.module, math.nan) if layer.weights else math.nan,
            }  # fmt: skip
            if cost is not None:
                item = priced[layer.name]
                row["resident"] = " ".join(item.resident)
                row["energy_pj"] = item.energy_pj
                row["energy_share"] = item.energy_pj / cost.energy_pj if cost.energy_pj else math.nan
                row["cycles"], row["bound"] = item.cycles, item.bound
            rows.append(row)
        return pd.DataFrame(rows)

    def metrics(self) -> dict[str, Any]:
        """What was measured and is believed of the pick; undefined numbers are null, intervals are at 95 %."""
        test = summarize(self.tests, self.picked.key, self.picked.stage)
        own, belief = self.picked.interval, self.beliefs.get(self.picked.number)
        validation: dict[str, Any] = {"correct": self.picked.correct, "total": self.picked.total}
        found: dict[str, Any] = {
            "stage": self.picked.stage,
            "candidate": self.picked.number,
            "picked_by": self.rule,
            "validation": validation | _ends(own),
            "believed": None if belief is None else {"mean": belief.mean, **_ends(belief.interval)},
            "ties": list(ties_of(self.picked, self.front)),
            "float_accuracy": self.float_accuracy.value,
            "float": _ends(self.float_accuracy.interval)
            | {"tie": own is not None and own.overlaps(self.float_accuracy.interval)},
            "ptq_accuracy": _finite(self.accuracy_of(self.picked.key, "ptq")),
            "qat_accuracy": _finite(self.accuracy_of(self.picked.key, "qat")),
            "costs": dict(self.picked.costs),
            "average_precision": precision_definition(),
        }
        if self.sweep is not None:
            found["design"] = self.sweep.record()
        if test is not None:
            found["test"] = {
                "mean": test.mean, **_ends(test.interval), "sd": _finite(test.sd), "seeds": test.num_seeds,
            }  # fmt: skip
        return found


def _written(cost: NetworkCost) -> dict[str, int]:
    """Layer -> width at which its outputs are written [bit]."""
    return {item.name: item.layer.bits.out for item in cost.layers if item.layer.bits is not None}


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}


def picked_number(folder: str | Path) -> int | None:
    """Number of the candidate in the `best.yaml` of a run; None where there is none."""
    path = Path(folder) / BEST
    number = read_config(path).metrics.get("candidate") if path.exists() else None
    return number if isinstance(number, int) else None


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_atomic(path, csv_text(frame))
