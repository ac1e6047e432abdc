"""A worker from the inside: an evaluator, made once, that answers one job at a time. It keeps nothing else."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass, replace
from typing import NoReturn

from hwmodel.errors import ConfigError
from search.executors.base import Job
from search.scoring import Attempt, Evaluator


@dataclass(frozen=True)
class Ready:
    """The evaluator is made."""


class RemoteError(Exception):
    """The traceback in a worker: the cause of what is raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Raised:
    """What ends the search: an error that is no candidate's.

    Attributes:
        error: itself; None where it cannot travel.
        text: its traceback.
    """

    error: Exception | None
    text: str

    @classmethod
    def by(cls, error: Exception) -> Raised:
        """What was raised, as far as it can travel."""
        text = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an exception may refuse in any way
            return cls(error=None, text=text)
        return cls(error=error, text=text)

    def again(self) -> NoReturn:
        """Raise it here, with the traceback there as its cause."""
        raise self.error or RuntimeError("a worker raised what cannot travel") from RemoteError(self.text)


#: What a worker says: once that it is ready, then one answer per job.
Reply = Ready | Attempt | Raised


class Worker:
    """Makes the evaluator, and scores.

    Args:
        factory: pickled: gives the evaluator.
    """

    def __init__(self, factory: bytes) -> None:
        self._factory = factory
        self._evaluator: Evaluator | None = None

    def begin(self) -> Reply:
        """Make the evaluator."""
        try:
            self._evaluator = Evaluator(pickle.loads(self._factory)())
        except Exception as error:  # it travels to the driver, which raises it
            return Raised.by(error)
        return Ready()

    def answer(self, job: Job) -> Reply:
        """Score one job, once."""
        try:
            if self._evaluator is None:
                raise ConfigError("worker: must `begin` before it answers.")
            tried = self._evaluator.attempt(job.stage, job.config, job.seed, job.ways)
            return replace(tried, outcome=replace(tried.outcome, model=_portable(tried.outcome.model)))
        except Exception as error:  # as above
            return Raised.by(error)


def _portable(model: object) -> object:
    """A finetuned model as it travels.

    Raises:
        ConfigError: it cannot.
    """
    if not hasattr(model, "state_dict"):
        return None  # nobody keeps it: only states are written
    from workloads.storage.weights import carried

    found = carried(model)
    try:
        pickle.dumps(found)
    except Exception as error:
        raise ConfigError(
            f"evaluate: the model of .qat must be an nn.Module or picklable for workers, but "
            f"{type(model).__name__} is not: {error}."
        ) from error
    return found
