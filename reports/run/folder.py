"""A run folder, read: results, graph, accelerator, the picked configuration and what it costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel import __version__, evaluate, load_accelerator, load_designs
from hwmodel.chip.sweep.designs import Designs, has_ranges
from hwmodel.chip.yamlfile import read_yaml
from hwmodel.csvfile import read_csv
from hwmodel.errors import ConfigError
from hwmodel.network.graph import LayerGraph
from reports.run.baselines import most_precise, nearest_uniform
from reports.run.candidates import candidate_frame, completed, front_of
from reports.run.designs import designs_data, on_designs
from reports.run.method import method_items
from reports.run.warnings import accuracy_warnings, run_warnings
from search.codesign.outputs import CHIP
from search.finaltest import FinalRecord, FinalSummary, read_tests, summarize
from search.front.limits import Limits, parse_limits
from search.front.objective import resolve_objectives
from search.front.picking import Rule, pick
from search.front.results import LESS, Result
from search.guard.manifest import read_manifest
from search.ledger import read_results
from search.materials import read_float_accuracy
from search.outputs import LAYERS
from search.propose.posterior import Belief, means_of, read_beliefs
from search.propose.scores import MeasuredChange, read_changes
from search.spec import SearchSpec
from workloads.compress import CompressionConfig, ConfigFile, average_precision, precision_definition, read_config

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator
    from workloads.training import Accuracy


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that reports show of one run.

    Attributes:
        folder: as it was named, for commands to copy.
        graph: of the model.
        accelerator: None where no cost of one was an objective.
        objectives: names.
        candidates: as `reports.run.candidates.candidate_frame`, and the test accuracies that were measured.
        float_accuracy: of the float model on the validation split.
        float_test: of the float model on the test split.
        picked_row, baseline_row, rival_row: rows of `candidates`; None where there is none. The rival is the
            finetuned uniform candidate of nearest cost.
        baseline_name, rival_name: of these.
        layers: one row per layer of the picked configuration, priced if there is an accelerator.
        cost: of the picked configuration.
        average_precision: of the picked configuration [bit].
        precision_definition: the sentence that goes with it.
        method: (term, text) on how it was measured.
        warnings: what a reader must know first.
        subtitle: one line under the title.
        version: of hwmodel, now.
        has_config: the picked configuration is in `best.yaml`.
        results: the ledger.
        rule: that the run picks by.
        limits: of the search.
        fuse: costs are of fused layers.
        provenance: of `best.yaml`, as its file holds it; empty before there is one.
        changes: what every single change of a group cost without training, as far as it was measured.
        designs: of a chip file with ranges: how many, their paths, and the values of the picked one.
    """

    folder: Path
    graph: LayerGraph
    accelerator: Accelerator | None
    objectives: Sequence[str]
    candidates: pd.DataFrame
    float_accuracy: Accuracy | None = None
    float_test: FinalSummary | None = None
    picked_row: Any = None
    baseline_row: Any = None
    baseline_name: str = ""
    rival_row: Any = None
    rival_name: str = ""
    layers: pd.DataFrame | None = None
    cost: NetworkCost | None = None
    average_precision: float = math.nan
    precision_definition: str = ""
    method: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    subtitle: str = ""
    version: str = ""
    has_config: bool = False
    results: Sequence[Result] = ()
    rule: Rule = "knee"
    limits: Limits = field(default_factory=Limits)
    fuse: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)
    changes: Sequence[MeasuredChange] = ()
    designs: Mapping[str, Any] | None = None


def read_run(source: Any) -> Run:
    """Read a run.

    Args:
        source: its folder, or a `Study`, which also knows the graph and the accelerator of a folder that
            no `hwmodel search` has written.

    Raises:
        ConfigError: the folder is not that of a run, or it holds no graph.
    """
    study = None if isinstance(source, (str, Path)) else source
    folder = Path(source if study is None else study.folder)
    results = read_results(folder)
    manifest = read_manifest(folder) or {}
    spec = read_yaml(folder / "config.yaml", SearchSpec) if (folder / "config.yaml").exists() else None
    best = read_config(folder / "best.yaml") if (folder / "best.yaml").exists() else None
    graph = _graph(folder, study)
    source_chip = _accelerator(spec, study)
    pairs = on_designs(folder, results) if isinstance(source_chip, Designs) else ()
    chip = _picked_chip(folder) if isinstance(source_chip, Designs) else source_chip
    objectives = tuple(manifest.get("objectives", ("accuracy", "avg_w_bits")))
    beliefs = read_beliefs(folder, results, resolve_objectives(objectives))
    picked = _picked(results, objectives, best, beliefs)
    tests = read_tests(folder)
    float_accuracy, float_test = read_float_accuracy(folder), summarize(tests, "float", "float")
    candidates = _with_tests(
        candidate_frame(results, objectives, -1 if picked is None else picked.number, beliefs, pairs),
        results,
        tests,
    )
    candidates.attrs["float_accuracy"] = None if float_accuracy is None else float_accuracy.value
    baseline, baseline_name = most_precise(results, picked)
    rival, rival_name = nearest_uniform(results, picked, resolve_objectives(objectives))
    config = None if picked is None else CompressionConfig.from_dict(picked.config)
    fuse = getattr(study, "fuse", True) if spec is None else spec.fuse
    cost = None if config is None or chip is None else evaluate(graph, chip, config, fuse=fuse)
    notes = () if cost is None else cost.notes
    return Run(
        folder=folder,
        graph=graph,
        accelerator=chip,
        objectives=objectives,
        candidates=candidates,
        float_accuracy=float_accuracy,
        float_test=float_test,
        picked_row=_row(candidates, picked),
        baseline_row=_row(candidates, baseline),
        baseline_name=baseline_name,
        rival_row=_row(candidates, rival),
        rival_name=rival_name,
        layers=None if config is None else _with_code_lengths(_layers(graph, config, cost), folder, best),
        cost=cost,
        average_precision=math.nan if config is None else average_precision(graph, config),
        precision_definition=_sentence(precision_definition()),
        method=method_items(spec, best, tests, float_accuracy),
        warnings=[
            *run_warnings(spec, results, tests, manifest, source_chip, notes, folder=folder),
            *(source_chip.notes if isinstance(source_chip, Designs) else ()),
            *accuracy_warnings(
                spec, best, results, tests, float_accuracy, objectives, beliefs, [pair.result for pair in pairs]
            ),
        ],
        subtitle=_subtitle(spec, results, manifest),
        version=__version__,
        has_config=best is not None,
        results=results,
        rule="knee" if spec is None else spec.pick_rule,
        limits=parse_limits(None if spec is None else spec.limits),
        fuse=fuse,
        provenance={} if best is None else best.provenance.to_dict(),
        changes=read_changes(folder),
        designs=designs_data(source_chip, best) if isinstance(source_chip, Designs) else None,
    )


def read_candidates(source: Any) -> pd.DataFrame:
    """The candidates of whatever holds them, as `Run.candidates`.

    Args:
        source: a run folder, an object with a `.folder` (a `Study`), a sequence of `Result`, or a frame
            (returned with the missing columns added). `attrs["float_accuracy"]` of the answer is the float
            model's validation accuracy where it is known.

    Raises:
        ConfigError: the folder is not that of a run.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return completed(source)
    if isinstance(source, (str, Path)) or hasattr(source, "folder"):
        return read_run(source).candidates
    return candidate_frame(list(source), ("accuracy", "avg_w_bits"))


def _graph(folder: Path, study: Any) -> LayerGraph:
    path = folder / "graph.json"
    if path.exists():
        return LayerGraph.from_json(path.read_text(encoding="utf-8"))
    if study is None:
        raise ConfigError(f"{folder}: holds no graph.json. Give the Study itself: write_report(study).")
    graph: LayerGraph = study.graph
    return graph


def _accelerator(spec: SearchSpec | None, study: Any) -> Accelerator | Designs | None:
    if spec is None:
        found: Accelerator | Designs | None = getattr(study, "designs", None) or getattr(study, "accelerator", None)
        return found
    if spec.accelerator is None:
        return None
    swept = not spec.accelerators and has_ranges(spec.accelerator)
    return load_designs(spec.accelerator) if swept else load_accelerator(spec.accelerator)


def _picked_chip(folder: Path) -> Accelerator | None:
    """The picked design of a chip file with ranges; None before there is one."""
    path = folder / CHIP
    return load_accelerator(path) if path.exists() else None


def _picked(
    results: Sequence[Result],
    objectives: Sequence[str],
    best: ConfigFile | None,
    beliefs: Mapping[int, Belief],
) -> Result | None:
    """The candidate in `best.yaml`; before there is one, the knee of the front so far."""
    if best is not None:
        number = best.metrics.get("candidate")
        found = [result for result in results if result.number == number and result.key == best.config.key]
        if found:
            return found[0]
    front = front_of(results, objectives, beliefs)
    return pick(front, resolve_objectives(objectives), accuracies=means_of(beliefs)) if front else None


def _with_tests(frame: pd.DataFrame, results: Sequence[Result], tests: Sequence[FinalRecord]) -> pd.DataFrame:
    """The frame with the test accuracies of the candidates that were measured."""
    found: Mapping[int, FinalSummary] = {
        result.number: summary
        for result in results
        if (summary := summarize(tests, result.key, result.stage)) is not None
    }
    known = [(number, summary) for number, summary in found.items() if number in set(frame["number"])]
    for number, summary in known:
        at = frame["number"] == number
        frame.loc[at, "test_accuracy"] = summary.mean
        frame.loc[at, ["test_low", "test_high"]] = [summary.interval.low, summary.interval.high]
        frame.loc[at, "test_sd"] = summary.sd
        frame.loc[at, "test_runs"] = summary.num_seeds
    return frame


def _row(frame: pd.DataFrame, result: Result | None) -> Any:
    """The row of a result, on the picked design where it stands on several."""
    if result is None:
        return None
    rows = frame[frame["number"] == result.number]
    return (rows[rows["picked"]] if rows["picked"].any() else rows).iloc[0]


def _layers(graph: LayerGraph, config: CompressionConfig, cost: NetworkCost | None) -> pd.DataFrame:
    """One row per layer; without a cost only bits, density, weights and MACs."""
    return config.annotate(graph).to_dataframe() if cost is None else cost.to_dataframe()


def _with_code_lengths(layers: pd.DataFrame, folder: Path, best: ConfigFile | None) -> pd.DataFrame:
    """The layers with the Huffman lengths that the run measured on the weights of its pick."""
    path = folder / LAYERS
    if best is None or not path.exists():
        return layers
    stored = read_csv(path)
    if "huffman_bits" not in stored or stored["huffman_bits"].isna().all():
        return layers
    lengths = dict(zip(stored["layer"], stored["huffman_bits"], strict=True))
    return layers.assign(huffman_bits=[lengths.get(name, math.nan) for name in layers["layer"]])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _subtitle(spec: SearchSpec | None, results: Sequence[Result], manifest: Mapping[str, Any]) -> str:
    counts = Counter(result.stage for result in results)
    parts = [
        manifest.get("name", ""),
        f"data {spec.data}" if spec else "",
        f"{counts['ptq']} candidates quantized, {counts['qat']} finetuned",
        f"{sum(counts[stage] for stage in LESS)} finetuned in part" if any(counts[s] for s in LESS) else "",
        f"seed {manifest['seed']}" if "seed" in manifest else "",
    ]
    return " · ".join(part for part in parts if part)
