"""`Experiment`: what a script of a study asks for data, steps, tables and figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hwmodel.csvfile import csv_text
from hwmodel.errors import ConfigError, check_keys
from hwmodel.files import write_atomic
from reports.experiments.record import Record, today, versions
from reports.experiments.steps import Steps
from reports.figures.files import save_figure
from reports.figures.rows import flat
from reports.live.progress import LogObserver, epoch_text
from reports.terminal.console import say
from search import Study
from search.guard.identity import data_hash, place_hash
from workloads.data.arrays import FILES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from torch import nn

    from search import Space
    from workloads.compress.config import CompressionConfig
    from workloads.data.dataset import Dataset
    from workloads.training import Scorer, TrainResult, TrainSettings
    from workloads.training.inputs import SplitSource

T = TypeVar("T")
#: Images per split of the quick version.
QUICK_IMAGES = {"train": 512, "validation": 200, "test": 200}
DATA_VARIABLE = "HWMODEL_DATA"
#: Need of a study -> the names under which it lies in the data folder; a file of weights also in `weights`.
NEEDS = {**FILES, "text": ("tinyshakespeare.txt", "text.txt")}
#: Settings of a CIFAR-10 training on a machine that multiplies bf16: crops and mirrored images.
FAST: Mapping[str, Any] = {"crop": 4, "shift": 0, "flip": True, "amp": "bf16", "memory_format": "channels_last"}


@dataclass(kw_only=True)
class Experiment:
    """One run of a study.

    Attributes:
        name: of the study, and of its files.
        question: that it answers.
        folder: where its steps, models, tables and figures go.
        data_folder: where data sets and published weights are looked for; None is the one that HWMODEL_DATA names.
        quick: the small version, some seconds, whose numbers mean nothing.
        seed: of all that is drawn.
        device: None is CUDA where there is one, else the CPU.
        needs: data sets and files of weights, which must be there; steps taken with others are taken again.

    Raises:
        ConfigError: the folder holds damaged steps, or something that is needed is missing.
    """

    name: str
    question: str
    folder: Path
    data_folder: Path | None = None
    quick: bool = False
    seed: int = 0
    device: str | None = None
    needs: tuple[str, ...] = ()
    _finding: str = ""
    _cuts: list[str] = field(default_factory=list)
    _tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _figures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        from workloads.training.device import select_device

        if self.data_folder is None and os.environ.get(DATA_VARIABLE):
            self.data_folder = Path(os.environ[DATA_VARIABLE])
        kind = select_device(self.device).type
        files = {need: place_hash(self._found(need)) for need in self.needs}
        self._steps = Steps(self.folder, {"quick": self.quick, "seed": self.seed, "device": kind, "files": files})

    def choose(self, full: T, quick: T) -> T:
        """The value of this version."""
        return quick if self.quick else full

    def cut(self, sentence: str) -> None:
        """Say what was made smaller than the study asks."""
        self._cuts.append(sentence)

    def once(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """What the function gives; computed once, see `Steps.once`. Prints a line for the reader."""
        shown = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
        say(f"{self.name}: {getattr(function, '__name__', 'step')}({shown})")
        return self._steps.once(function, **arguments)

    def searched(self, space: Space, scorer: Scorer, *, qat: int, trials: int = 0, **options: Any) -> Study:
        """A search that was run to its end, in the folder `search`; one that was killed goes on.

        Args:
            space: the candidates.
            scorer: of the float model; its settings and data belong to the identity of the search.
            qat, trials: runs, as of `Study.run`.
            options: of `Study.create_or_resume`.

        Raises:
            HwModelError: as both; another space, other settings or data need a new folder.
        """
        context = {"training": scorer.settings.to_dict(), "data": data_hash(scorer.data)}
        study = Study.create_or_resume(
            self.folder / "search", space=space, evaluate=scorer, seed=self.seed, name=self.name, context=context,
            **options,
        )  # fmt: skip
        study.run(trials=trials, qat=qat, progress=LogObserver())
        self._steps.seconds += sum(result.wall_s for result in study.results())
        return study

    def finetuned(self, scorer: Scorer, config: CompressionConfig, seeds: int = 1) -> dict[str, Any]:
        """`validation` and `test` of a configuration, means over `seeds` finetunings; each is a step of its own.

        Nothing may be chosen by what comes out: the test split is measured.

        Raises:
            ConfigError: as `Scorer.qat`.
        """
        from workloads.training import Accuracy

        def finetune_and_test(config: Any, seed: int, settings: Any, data: Any) -> dict[str, Any]:
            del settings, data  # part of what was asked
            score, tuned = scorer.qat(config, seed)
            return {"validation": score, "test": scorer.test(tuned)}

        asked = {"config": config, "settings": scorer.settings, "data": data_hash(scorer.data)}
        runs = [self.once(finetune_and_test, **asked, seed=self.seed + 1 + number) for number in range(seeds)]
        means = {part: Accuracy.mean(measured[part] for measured in runs) for part in ("validation", "test")}
        return {**means, "seeds": seeds}

    def file(self, name: str) -> Path:
        """A file of this experiment, such as the checkpoint of a model."""
        return self.folder / name

    def train(
        self, name: str, model: nn.Module, split: SplitSource, settings: TrainSettings, **options: Any
    ) -> TrainResult:
        """`finetune` a model in place, on the device of the experiment; prints a line per epoch.

        Its weights end in NAME.safetensors; a killed training goes on behind its last epoch.

        Args:
            name: of the file.
            model, split, settings, options: of `finetune`.

        Raises:
            ConfigError: as `finetune`, or NAME.state.safetensors is of another training.
        """
        from workloads.compress import save_weights
        from workloads.training import Checkpoints, finetune

        state = self.file(f"{name}.state.safetensors")
        result = finetune(
            model, split, settings, device=self.device, checkpoints=Checkpoints(path=state, resume=True),
            progress=lambda record: say(f"{self.name}: {name}: {epoch_text(record, settings.epochs)}"), **options,
        )  # fmt: skip
        save_weights(self.file(f"{name}.safetensors"), model)
        state.unlink()
        return result

    def data(self, name: str, *, parts: Mapping[str, int] | None = None, **options: Any) -> Dataset:
        """A data set by name, from the data folder; a balanced part of it in the quick version.

        Args:
            name, options: as of `load_data`. A file or folder of that name is looked for in the data folder.
            parts: split -> images of it that the study takes, of each class its share; the quick version takes its
                own where those are fewer. None takes all.

        Raises:
            ConfigError: no such data, or no such part of it.
        """
        from workloads import load_data

        if name in NEEDS and "path" not in options:
            options["path"] = self._found(name)
        data = load_data(name, **options)
        wanted = dict(parts or {})
        check_keys(wanted, QUICK_IMAGES, "split")
        if self.quick:
            wanted = {
                split: min(count, wanted.get(split, count), len(getattr(data, split)))
                for split, count in QUICK_IMAGES.items()
            }
        if wanted:
            data = data.subset(**wanted, seed=self.seed)
        if data.describe() not in self._steps.data:
            self._steps.data.append(data.describe())
        return data

    def weights(self, name: str) -> Path:
        """A file of published weights in the data folder, or in its folder `weights`.

        Raises:
            ConfigError: there is none.
        """
        return self._found(name)

    def _found(self, need: str) -> Path:
        """Where a data set or a file of weights lies."""
        where, names = self.data_folder, NEEDS.get(need, (need, f"weights/{need}"))
        if where is None:
            raise ConfigError(f"{self.name} needs {names[0]}: give --data FOLDER, or set {DATA_VARIABLE}.")
        for name in names:
            if (where / name).exists():
                return where / name
        raise ConfigError(
            f"{self.name}: {where} holds none of {', '.join(names)}. Put one there, or give --data FOLDER."
        )

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Keep a table, written as NAME.csv and into the record.

        Args:
            name: of the table.
            rows: columns with their units in the name; an accuracy becomes four columns.

        Returns:
            The rows as they are kept, which `plot_lines` draws with their intervals.

        Raises:
            ConfigError: a value that is no number, text or accuracy.
        """
        self._tables[name] = [flat(row) for row in rows]
        return self._tables[name]

    def curves(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Write rows as NAME.csv only: the many points behind a figure. Gives them as `table` does."""
        kept = [flat(row) for row in rows]
        write_atomic(self.folder / f"{self.name}-{name}.csv", csv_text(_frame(kept)))
        return kept

    def figure(self, ax: Axes, suffix: str = "") -> None:
        """Keep the figure of some axes as NAME.png, or NAME-SUFFIX.png."""
        file = f"{self.name}-{suffix}.png" if suffix else f"{self.name}.png"
        save_figure(self.folder / file, ax)
        self._figures.append(file)

    def finding(self, sentence: str) -> None:
        """The answer, in one sentence with its numbers."""
        self._finding = sentence

    def finish(self) -> Record:
        """Write the record and the tables.

        Raises:
            ConfigError: no finding was said.
        """
        from workloads.training.device import device_text, select_device

        if not self._finding:
            raise ConfigError(f"{self.name}: an experiment ends with a finding. Call `finding(...)`.")
        for name, rows in self._tables.items():
            write_atomic(self.folder / f"{self.name}-{name}.csv", csv_text(_frame(rows)))
        record = Record(
            name=self.name, question=self.question, finding=self._finding, cuts=tuple(self._cuts), quick=self.quick,
            date=today(), seconds=round(self._steps.seconds, 1), device=device_text(select_device(self.device)),
            seed=self.seed, data=tuple(self._steps.data), versions=versions(), tables=self._tables,
            figures=tuple(self._figures),
        )  # fmt: skip
        record.write(self.folder)
        return record


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Values as they are, missing ones empty: a whole number stays one beside them."""
    import pandas as pd

    return pd.DataFrame(rows, dtype=object).fillna("")


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."
