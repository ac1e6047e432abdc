"""The finetuned weights of the QAT front in a run folder: written, checked, and removed once dominated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwmodel.errors import ConfigError
from search.front.results import CHECKPOINTS, Result
from search.guard.seal import inside
from search.scoring import Outcome, accuracy_fields
from workloads import compress
from workloads.storage.weights import read_hash, read_tensors

#: Writes a finetuned model: (path, model, metadata). That of a worker is a `CarriedState`, with the `state_dict()`.
Save = Callable[[Path, Any, dict[str, str]], object]


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Those of one run.

    Attributes:
        folder: of the run.
        save: writes a finetuned model, a module or the state of one; None writes `.safetensors`.
        keeps_all: another run with the same seed may give other weights (`Executor.is_exact`).
    """

    folder: Path
    save: Save | None = None
    keeps_all: bool = False

    def write(self, number: int, key: str, outcome: Outcome) -> dict[str, str]:
        """The weights of result `number`: its fields `checkpoint` and `checkpoint_hash`; none without a model."""
        if outcome.accuracy is None or not hasattr(outcome.model, "state_dict"):
            return {}
        name = f"{CHECKPOINTS}/{number:04d}-{key[:8]}.safetensors"
        path = inside(self.folder, name)
        fields = accuracy_fields(outcome.accuracy)
        notes = {"key": key, "correct": str(fields["correct"]), "total": str(fields["total"])}
        path.parent.mkdir(parents=True, exist_ok=True)  # a user's own `save` need not know the folder
        (self.save or compress.save_weights)(path, outcome.model, notes)
        found = ""
        with contextlib.suppress(ConfigError):  # a user's own `save` may write another kind of file
            found = read_hash(path)
        return {"checkpoint": name, "checkpoint_hash": found}

    def wrong(self, result: Result) -> str:
        """What is the matter with the weights of a result; "" where they are those of the ledger."""
        path = inside(self.folder, result.checkpoint)
        if not path.exists():
            return f"{result.checkpoint} is missing"
        if not result.checkpoint_hash:  # not ours, or of an earlier version
            return ""
        try:
            read_tensors(path)
        except ConfigError:
            return f"{result.checkpoint} is damaged"
        return "" if read_hash(path) == result.checkpoint_hash else f"{result.checkpoint} holds other weights"

    def keep(self, finetuned: Sequence[Result], front: Sequence[Result]) -> None:
        """Keep the weights of the front; remove those of the others.

        A candidate whose weights are gone may come back to the front as results shift what is believed of it: it is
        finetuned again with its seed. Where that would give others, all are kept.
        """
        if self.keeps_all:
            return
        kept = {result.checkpoint for result in front}
        for result in finetuned:
            if result.checkpoint and result.checkpoint not in kept:
                inside(self.folder, result.checkpoint).unlink(missing_ok=True)
