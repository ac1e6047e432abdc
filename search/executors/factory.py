"""What a worker makes its evaluator from: values that travel, no files of the run."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hwmodel.errors import ConfigError
from search.evaluating import Evaluate
from workloads import load_data, load_model, training
from workloads.training.settings import TrainSettings

if TYPE_CHECKING:
    from workloads.storage.weights import CarriedState
    from workloads.training import Scorer

#: Gives an evaluator, in the worker.
MakeEvaluator = Callable[[], Evaluate]


@dataclass(frozen=True, kw_only=True)
class ScorerFactory:
    """The scorer of a job, made again elsewhere: it trains nothing and writes nothing.

    Attributes:
        model, model_options: as for `workloads.load_model`; a file must be at its path there too.
        data, data_options: as for `workloads.load_data`; so must the data.
        weights: of the trained float model.
        settings: of every finetuning.
        device: `cpu`, `cuda`, or None for CUDA where there is one; a worker sees the devices of its place only.
    """

    model: str
    data: str
    weights: CarriedState
    settings: TrainSettings
    model_options: Mapping[str, Any] = field(default_factory=dict)
    data_options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None

    def __call__(self) -> Scorer:
        """Load the data, build the model, score.

        Raises:
            ConfigError: model or data cannot be loaded here, or the weights are of another model.
        """
        model = load_model(self.model, **self.model_options)
        self.weights.load_into(model)
        data = load_data(self.data, **self.data_options)
        return training.Scorer(model.eval(), data, self.settings, self.device)


@dataclass(frozen=True)
class _Given:
    """An evaluator that is there already: every worker has a copy of it."""

    evaluate: Evaluate

    def __call__(self) -> Evaluate:
        return self.evaluate


def factory_of(evaluate: Evaluate) -> MakeEvaluator:
    """A factory from what `Study` was given as `evaluate`: its own `factory()`, if it has one, else copies."""
    make = getattr(evaluate, "factory", None)
    found: MakeEvaluator = make() if callable(make) else _Given(evaluate)
    return found


def pickled(factory: MakeEvaluator) -> bytes:
    """A factory as it travels. Plain pickle: tensors by value, code by its name.

    Raises:
        ConfigError: it cannot.
    """
    try:
        return pickle.dumps(factory)
    except Exception as error:  # a class may refuse in any way
        what = type(factory.evaluate if isinstance(factory, _Given) else factory).__name__
        raise ConfigError(
            f"evaluate: must be picklable for workers, but {what} is not: {error}. Define it at the top of a "
            "module, or give it a method `factory()`, which returns a picklable function that makes it."
        ) from error
