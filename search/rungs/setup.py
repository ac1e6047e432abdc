"""What a study is made with: as its runner needs it, and as `study.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodel.chip.sweep.designs import Designs
from hwmodel.errors import ConfigError
from hwmodel.network.graph import LayerGraph
from search.checkpoints import Save
from search.front.limits import Limits
from search.front.objective import Objective
from search.guard.manifest import check_same, read_manifest, write_manifest
from search.ledger import Ledger, RunLock
from search.propose.pricing import Table
from search.rebuild import check_not_lost
from search.rungs.fidelities import Fidelities
from search.scoring import Evaluator
from search.space import Space

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator


@dataclass(frozen=True, kw_only=True)
class StudySetup:
    """What a study was made with: everything that its results depend on, and where they go.

    Attributes:
        folder: of the run.
        name: of the study.
        space: the candidates.
        objectives: accuracy among them.
        seed: of every proposal and every finetuning.
        evaluator: gives the accuracies.
        use_sensitivity: measure single changes first.
        save: writes a finetuned model, or the state of one that a worker trained; None writes `.safetensors`.
        fuse: costs are of fused layers, as in `hwmodel.evaluate`.
        sampler: who proposes, of `search.propose.SAMPLERS`.
        limits: no candidate outside is scored.
        subsets: single changes may be scored on a part of the images (`search.propose.subsets`).
        fidelities: of finetuning.
    """

    folder: Path
    name: str
    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    evaluator: Evaluator
    use_sensitivity: bool
    save: Save | None
    fuse: bool = True
    sampler: str = "front"
    limits: Limits = field(default_factory=Limits)
    subsets: bool = True
    fidelities: Fidelities = field(default_factory=Fidelities)


def settle_width(folder: Path, width: int, num_results: int) -> str:
    """Note in `study.json` how many candidates a batch has; a sentence where those so far had others, else "".

    Args:
        folder: of the run, locked.
        width: of the executor.
        num_results: in the ledger.
    """
    record = read_manifest(folder)
    if record is None or record.get("width") == width:
        return ""
    before = record.get("width")
    write_manifest(folder, {**record, "width": width})
    if before is None or not num_results:
        return ""
    return (
        f"Batches were of {before} candidates so far, and are of {width} now: the front may differ from that of a "
        "run that was never interrupted."
    )


def check_setup(setup: StudySetup) -> None:
    """Refuse fidelities that sampler, evaluator or weights do not go with.

    Raises:
        ConfigError: so it is.
    """
    wanted = setup.fidelities
    if setup.limits.floor and setup.sampler != "front":
        raise ConfigError(
            f"limits: accuracy needs the sampler 'front', which it steers, but got {setup.sampler!r}. Leave it out."
        )
    if wanted.rungs and setup.sampler != "front":
        raise ConfigError(f"rungs: need the sampler 'front', but got {setup.sampler!r}. Use it, or no rungs.")
    if wanted.rungs and not setup.evaluator.has_short:
        raise ConfigError(
            "rungs: evaluate has no .qat_short(config, seed, share, start). Use no rungs, or a Scorer."
        )
    if wanted.warm and setup.save is not None:
        raise ConfigError("warm: needs weights as .safetensors, but save writes others. Use save=None, or no warm.")
    if wanted.stop_at and not setup.evaluator.has_watched:
        raise ConfigError(
            "stop_at: evaluate has no .qat_watched(config, seed, shares, stop). Use no stop_at, or a Scorer."
        )


def record_of(
    setup: StudySetup,
    graph: LayerGraph,
    accelerators: Sequence[Accelerator] | Designs,
    table: Table | None,
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """What `study.json` holds."""
    chip = "none" if table is None else "a given table"
    if isinstance(accelerators, Designs):
        chip = f"{accelerators.name}, {len(accelerators)} designs ({accelerators.fingerprint})"
    elif accelerators:
        chip = ", ".join(f"{item.name} ({item.fingerprint})" for item in accelerators)
    return {
        "name": setup.name,
        "seed": setup.seed,
        "objectives": [objective.name for objective in setup.objectives],
        "graph": f"{graph.name} ({graph.fingerprint})",
        "accelerator": chip,
        "fuse": setup.fuse,
        "sampler": setup.sampler,
        "sensitivity": setup.use_sensitivity,
        "limits": setup.limits.to_dict(),
        "subsets": setup.subsets,
        "fidelities": setup.fidelities.to_dict(),
        "context": dict(context),
        "space": setup.space.to_dict(),
    }


def settle_manifest(setup: StudySetup, record: Mapping[str, Any], extend: bool) -> None:
    """Write the manifest of a new or extended study, or check that of an old one.

    Raises:
        ConfigError: it is of another study, or lost.
    """
    old = read_manifest(setup.folder)
    check_not_lost(setup.folder)
    is_written = old is None
    if old is not None:
        is_written = check_same(old, record, num_results=len(Ledger(setup.folder)), extend=extend)
    elif len(Ledger(setup.folder)):
        raise ConfigError(f"{setup.folder}: holds a ledger but no study.json. Restore it, or choose a new name.")
    if is_written:
        with RunLock(setup.folder):
            write_manifest(setup.folder, record)
