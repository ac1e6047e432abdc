"""`Study`: a search in a folder, which can be interrupted at any moment and goes on where it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hwmodel import CostTable
from hwmodel.chip.sweep.designs import Designs
from hwmodel.errors import ConfigError, check_one_of
from hwmodel.network.graph import LayerGraph
from hwmodel.shown import Shown
from search.checkpoints import Save
from search.codesign.front import OnDesign, design_front, front_of_study
from search.designs.chips import as_accelerators, check_priced, examples_of
from search.designs.table import DesignTable
from search.evaluating import Evaluate
from search.executors.base import Executor
from search.executors.inprocess import InProcess
from search.front.limits import parse_limits
from search.front.objective import Objective, default_objectives, resolve_objectives
from search.front.picking import NoCandidateError, Rule, pick
from search.front.results import Result, Stage, final_stage, results_frame
from search.ledger import Ledger, writing
from search.mirror.local import OptunaMirror
from search.mirror.server import MirrorTarget, ServerMirror
from search.observer import Observer, as_observer
from search.propose import SAMPLERS
from search.propose.posterior import Belief, beliefs_of, means_of, read_sensitivity
from search.propose.pricing import Pricer, Table
from search.propose.reach import check_reachable
from search.rebuild import lost_note
from search.rungs.fidelities import Fidelities, RungReport, read_rungs
from search.rungs.setup import StudySetup, check_setup, record_of, settle_manifest, settle_width
from search.runner import Runner
from search.scoring import Evaluator
from search.show.plots import StudyPlots
from search.space import Point, Space
from workloads.compress.config import CompressionConfig

#: Key of the first accelerator's table, whose costs have plain names.
MAIN = ""

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel.chip.accelerator import Accelerator


class Study(Shown, StudyPlots):
    """Candidates of a space, scored at two fidelities and kept in a run folder. Use `create_or_resume`.

    The folder holds `ledger.jsonl` (every result; the truth), `study.json` (what the run was made with),
    `study.db` (the same results as two plain Optuna studies, `NAME-ptq` and `NAME-qat`),
    `sensitivity.json` and `checkpoints/` (the finetuned weights of the QAT front and of the uniform ones).
    """

    def __init__(
        self,
        setup: StudySetup,
        graph: LayerGraph,
        accelerators: Sequence[Accelerator] | Designs,
        table: Table | None,
    ) -> None:
        self._setup = setup
        self._tables: dict[str, Table] = {} if table is None else {MAIN: table}
        self.graph = graph
        #: Of a chip file with ranges; then there are no `accelerators`.
        self.designs = accelerators if isinstance(accelerators, Designs) else None
        self.accelerators = () if isinstance(accelerators, Designs) else tuple(accelerators)

    @classmethod
    def create_or_resume(
        cls,
        folder: str | Path,
        *,
        graph: LayerGraph,
        space: Space,
        evaluate: Evaluate,
        accelerator: Accelerator | Designs | str | Sequence[Accelerator | str] | None = None,
        objectives: Sequence[str] | None = None,
        table: Table | None = None,
        seed: int = 0,
        extend: bool = False,
        name: str = "",
        context: Mapping[str, Any] | None = None,
        sensitivity: bool | None = None,
        save: Save | None = None,
        timeout_s: float | None = None,
        fuse: bool = True,
        sampler: str = "front",
        limits: Mapping[str, str | float] | None = None,
        subsets: bool = True,
        rungs: Sequence[float] = (),
        warm: bool = False,
        stop_at: Sequence[float] = (),
    ) -> Self:
        """A new study, or the one in the folder.

        Args:
            folder: of the run; made as needed.
            graph: of the model.
            space: the candidates.
            evaluate: an object with `.ptq(config)` and `.qat(config, seed)`, such as
                `workloads.training.Scorer`, or a function from a configuration to an accuracy; with
                `.qat_many(configs, seeds)` and `.batch_size` so many are finetuned as one.
            accelerator: prices the costs that need one, such as energy; a name, a path or an `Accelerator`. Of
                several the first is meant by plain names; the costs of each further one are `energy@NAME`. A file
                with ranges, or its `Designs`, stands alone: the front is over configurations and designs
                (`design_front`), and a candidate's costs in the ledger are those on its reference design
                (`search.designs.table`).
            objectives: of `OBJECTIVES`: accuracy (maximised) and any costs (minimised). The first cost orders
                the front. None is accuracy and energy with an accelerator (latency where it has no energies),
                accuracy and average bits without.
            table: a `CostTable` that exists; None builds it from the accelerator when it is needed.
            seed: of every proposal and every finetuning.
            extend: accept a space that contains the one that the folder was made with.
            name: of the study; None is the name of the folder.
            context: what else the accuracies depend on (training settings, data), as plain values: a
                run is not continued with others.
            sensitivity: measure single changes first, for the sampler `front` to start from; None does so
                where `evaluate` has a cheap first fidelity (`.ptq`).
            save: writes a finetuned model, given (path, model, notes); None writes `.safetensors`. Workers send no
                module but its `CarriedState` (`workloads.storage.weights`): `model.state_dict()` is the same.
            timeout_s: a candidate that takes longer at one fidelity is recorded as failed [s]; None waits.
            fuse: layers, pools, concatenations and attentions may be fused, as in `hwmodel.evaluate`; a given
                `table` decides for itself.
            sampler: who proposes: `front` (`search.propose.front`), or one of Optuna's: `tpe`, `nsga2`, `random`,
                `gp`.
            limits: bounds by the names of objectives, `{"latency": "<= 2 ms", "accuracy": ">= 0.9"}`: no candidate
                outside a bounded cost is scored; accuracy below its bound is worth nothing to the search.
            subsets: single changes are scored on as many validation images as they need, where `evaluate` tells
                images apart (`.ptq_hits`) and there are more than `search.propose.subsets.WHOLE_UP_TO`.
            rungs: shares of the epochs, rising: candidates are finetuned for so long first, and the most promising
                in full (`search.rungs`); needs the sampler `front` and `.qat_short(config, seed, share, start)`.
            warm: short runs start from the weights of the nearest candidate of the front; what is reported is
                always trained from the float model.
            stop_at: shares of a full run after which one that cannot reach the front any more is ended; needs
                `.qat_watched(config, seed, shares, stop)`.

        Raises:
            ConfigError: an objective is unknown or needs an accelerator, the folder holds a study of another
                space, model, accelerator, seed, fusion or context, or a record in it is damaged or missing.
            RunLockedError: another process is creating or running this study.
        """
        folder = Path(folder)
        chips = as_accelerators(accelerator)
        axes = resolve_objectives(default_objectives(examples_of(chips)) if objectives is None else objectives)
        bounds = parse_limits(limits)
        check_priced([*axes, *(limit.objective for limit in bounds.costs)], chips, has_table=table is not None)
        check_one_of("sampler", sampler, SAMPLERS)
        evaluator = Evaluator(evaluate, timeout_s)
        setup = StudySetup(
            folder=folder,
            name=name or folder.resolve().name,
            space=space,
            objectives=axes,
            seed=seed,
            evaluator=evaluator,
            use_sensitivity=evaluator.has_fidelities if sensitivity is None else sensitivity,
            save=save,
            fuse=fuse,
            sampler=sampler,
            limits=bounds,
            subsets=subsets,
            fidelities=Fidelities(rungs=tuple(rungs), warm=warm, stop_at=tuple(stop_at)),
        )
        check_setup(setup)
        settle_manifest(setup, record_of(setup, graph, chips, table, context or {}), extend)
        return cls(setup, graph, chips, table)

    # ---- what it is ----------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        return self._setup.folder

    @property
    def name(self) -> str:
        return self._setup.name

    @property
    def space(self) -> Space:
        return self._setup.space

    @property
    def accelerator(self) -> Accelerator | None:
        """The first, or only one; None where the chip has several designs."""
        return self.accelerators[0] if self.accelerators else None

    @property
    def fuse(self) -> bool:
        """Costs are of fused layers."""
        return self._setup.fuse

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self._setup.objectives

    # ---- run -----------------------------------------------------------------------------------

    def run(
        self,
        trials: int = 0,
        qat: int = 0,
        progress: Observer | Callable[[Result], object] | None = None,
        *,
        candidates: Sequence[Point] = (),
        uniform: Sequence[Point] = (),
        executor: Executor | None = None,
        server: MirrorTarget | None = None,
    ) -> tuple[Result, ...]:
        """Score until the folder holds `trials` PTQ and `qat` QAT results; what is there already counts.

        Interrupt it at any time: the next call goes on, and ends with what an uninterrupted run finds.

        Args:
            trials: PTQ candidates in total: `candidates`, the uniform ones, and the sampler's.
            qat: QAT runs in total: `candidates`, `uniform`, and the sampler's.
            progress: an `Observer`, or a function of each new `Result`.
            candidates: points of the space to score first, at either fidelity.
            uniform: points to finetune next, to compare with (`Space.uniform_point`): their weights are kept.
            executor: scores the candidates, `width` at once (`search.executors`); None scores here, one after
                another. It is not closed. The front is the same for the same width.
            server: is sent a copy of the Optuna studies.

        Returns:
            The results that are new.

        Raises:
            ConfigError: `evaluate` has no second fidelity, or a point is not in the space.
            RunLockedError: another process is running this study.
        """
        for name, value in (("trials", trials), ("qat", qat)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"run: `{name} >= 0` must hold (an integer), but got {name}={value!r}.")
        if qat and not self._setup.evaluator.has_qat:
            raise ConfigError("run: evaluate has no .qat(config, seed). Use qat=0, or a Scorer.")
        for point in (*candidates, *uniform):
            self.space.indices(point)
        observer = as_observer(progress)
        pricer = self.pricer(observer)
        self.check_limits(observer)
        with contextlib.ExitStack() as held:
            ledger = held.enter_context(writing(self.folder))
            for note in filter(None, (ledger.note, lost_note(self.folder, len(ledger)))):
                observer.message(note)
            copies = None
            if server is not None:
                copies = ServerMirror(server, self.folder, self.name, self.space, self.objectives, observer)
            mirror = held.enter_context(OptunaMirror(self.folder, self.name, self.space, self.objectives, copies))
            before = len(ledger)
            hands = executor or held.enter_context(InProcess(self._setup.evaluator))
            note = settle_width(self.folder, hands.width, before)
            if note:
                observer.message(note)
            runner = Runner(self._setup, pricer, ledger, mirror, observer, hands)
            if trials:
                runner.run_ptq(trials, candidates)
            if qat:
                runner.run_qat(qat, candidates, uniform)
            return ledger.results[before:]

    def check_limits(self, observer: Observer | None = None) -> None:
        """Say at once, before any training, that no candidate is within the limits.

        Raises:
            ConfigError: so it is; with the least that can be had.
        """
        if self._setup.limits.costs:
            check_reachable(self.space, self._setup.limits, self.pricer(observer))

    def pricer(self, observer: Observer | None = None) -> Pricer:
        """Costs of configurations; builds the tables of the accelerators the first time."""
        watch = observer or Observer()
        if self.designs is not None and MAIN not in self._tables:
            watch.stage_started("table", 0, len(self.designs))
            self._tables[MAIN] = DesignTable.build(
                self.graph,
                self.designs,
                self.space.choices(),
                objectives=[objective.key for objective in self.objectives if objective.key],
                limits=self._setup.limits,
                fuse=self.fuse,
                progress=lambda done, total: watch.step("table", done, total),
            )
        for position, chip in enumerate(self.accelerators):
            name = chip.name if position else MAIN
            if name not in self._tables:
                watch.stage_started("table", 0, len({layer.module for layer in self.graph.layers}))
                self._tables[name] = CostTable.build(
                    self.graph,
                    chip,
                    self.space.choices(),
                    progress=lambda done, total: watch.step("table", done, total),
                    fuse=self.fuse,
                )
        return Pricer(self.graph, self._tables or None)

    # ---- what it found -------------------------------------------------------------------------

    def results(self) -> tuple[Result, ...]:
        """Every result so far, by number."""
        return Ledger(self.folder).results

    def front(self, stage: Stage | None = None) -> tuple[Result, ...]:
        """The results that no other of their stage dominates, cheapest first.

        With the sampler `front` the accuracies are what is believed of them (`beliefs`), not single measurements: a
        front of maxima of noise is optimistic. With Optuna's they are as measured. Of results equal in every
        objective the first stays. On a chip of several designs: those that are on `design_front`.

        Args:
            stage: `ptq` or `qat`; None is `qat` where it has results.

        Raises:
            ConfigError: an unknown stage.
        """
        results, chosen = self._of_stage(stage)
        pricer = self.pricer() if self.designs else None
        return front_of_study(pricer, chosen, self.objectives, self.beliefs(results))

    def design_front(self, stage: Stage | None = None) -> tuple[OnDesign, ...]:
        """The pairs of a result and a design that no other pair dominates, cheapest first.

        Args:
            stage: as for `front`.

        Raises:
            ConfigError: an unknown stage, or the chip has no ranges.
        """
        results, chosen = self._of_stage(stage)
        return design_front(self.design_table(), chosen, self.objectives, self.beliefs(results))

    def design_table(self) -> DesignTable:
        """Costs on every design.

        Raises:
            ConfigError: the chip has no ranges.
        """
        table = self.pricer().designs if self.designs else None
        if table is None:
            raise ConfigError(f"{self.folder}: the accelerator has no ranges, so there is one design. Use front().")
        return table

    def _of_stage(self, stage: Stage | None) -> tuple[tuple[Result, ...], list[Result]]:
        """All results, and those of a stage."""
        results = self.results()
        if stage is None:
            stage = final_stage(results)
        check_one_of("stage", stage, ("ptq", "qat"))
        return results, [result for result in results if result.stage == stage]

    def beliefs(self, results: Sequence[Result] | None = None) -> dict[int, Belief]:
        """Number of a result -> posterior mean and 95 % interval of its accuracy; none with Optuna's samplers.

        Args:
            results: of this study; None reads them.
        """
        if self._setup.sampler != "front":
            return {}
        known = self.results() if results is None else results
        sensitivity = read_sensitivity(self.folder, self.space) if self._setup.use_sensitivity else None
        return beliefs_of(self.space, sensitivity, known, self.objectives)

    def rungs(self) -> tuple[RungReport, ...]:
        """What short runs said of full ones, rung by rung; none without rungs, or before the first finetunings.

        Raises:
            ConfigError: `rungs.json` is damaged.
        """
        return read_rungs(self.folder)

    def pick(self, rule: Rule = "knee", stage: Stage | None = None) -> Result:
        """One candidate of the front: `knee`, `accurate`, `cheapest`, `{"accuracy": ">=0.95"}` or a number.

        Rules read the accuracies of the front: where they are believed (`beliefs`), not the measured ones. The
        costs are those on the design that was picked with it, where there are several.

        Raises:
            ConfigError: an unknown rule, an empty front, or no candidate within the bounds.
        """
        results, chosen = self._of_stage(stage)
        beliefs = self.beliefs(results)
        if self.designs is None:
            front = front_of_study(None, chosen, self.objectives, beliefs)
        else:
            pairs = design_front(self.design_table(), chosen, self.objectives, beliefs)
            front = tuple(pair.result for pair in pairs)
        return pick(front, self.objectives, rule, means_of(beliefs))

    def rival(self, *configs: CompressionConfig, costs: Sequence[str] | None = None) -> Result | None:
        """The most accurate candidate of the front that costs no more than each of these, or None.

        Args:
            configs: of the network, within the space.
            costs: keys of the costs compared; None is every objective.

        Raises:
            ConfigError: the chip has several designs, each with costs of its own, or a key is no objective.
        """
        if self.designs is not None:
            raise ConfigError(
                f"rival: a configuration must have one cost, but the chip has {len(self.designs)} designs. "
                "Study one of them."
            )
        known = [axis.key for axis in self.objectives if axis.key]
        keys = list(known if costs is None else costs)
        if unknown := [key for key in keys if key not in known]:
            raise ConfigError(
                f"rival: costs must be objectives ({', '.join(known)}), but got {', '.join(unknown)}."
            )
        found = [self.pricer().costs(config) for config in configs]
        try:
            return self.pick({key: f"<= {min(one[key] for one in found)!r}" for key in keys})
        except NoCandidateError:
            return None

    def to_dataframe(self) -> pd.DataFrame:
        """One row per result (`search.front.results.results_frame`)."""
        return results_frame(self.results())

    def __repr__(self) -> str:
        results = self.results()
        done = sum(result.is_done for result in results)
        found = f"{len(self.designs)} designs" if self.designs else f"front {len(self.front())}"
        return f"Study({self.name!r}, {done} results, {len(results) - done} failed, {found})"
