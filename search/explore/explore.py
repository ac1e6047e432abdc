"""Chips explored: the front of energy, latency and area over designs, exactly where they can be listed.

    found = explore_chips("resnet18", "npu.yaml", set={"array.X.size": [8, 16, 32]}, budget="area<=4 mm2")
    found.to_dataframe()

Spaces of up to `MAX_DESIGNS` designs are explored whole: the front is that of evaluating every design by itself. Of
larger ones, and where `trials` is given, so many designs are priced that a sampler proposes.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hwmodel.chip.area import areas_not_known, chip_area
from hwmodel.chip.sweep.designs import MAX_DESIGNS
from hwmodel.chip.sweep.space import Design, DesignSpace, Ranges
from hwmodel.errors import AcceleratorError, ConfigError, check_one_of
from hwmodel.mapper.free import OBJECTIVES, Objective
from hwmodel.network.graph import LayerGraph
from search.explore.asking import SAMPLERS, Sampler, most_of
from search.explore.axes import AXES, Axes, parse_axes, parse_budget
from search.explore.crew import Recipe, make_crew, text_hash
from search.explore.field import FAILED, NO_AREA, NO_CHIP, OPEN, Field
from search.explore.found import ChipExploration, found_of
from search.explore.ledger import PriceLedger
from search.explore.pricing import Widths
from search.explore.walk import Progress, Walker
from search.front.objective import has_energies
from search.ledger import RunLock
from search.seeds import derive_seed
from workloads.names import short_name

#: Combinations that are tried for a first chip: so many in their order, and so many drawn from all.
FIRST = 1_000


def explore_chips(
    models: LayerGraph | str | Sequence[LayerGraph | str] | Mapping[str, LayerGraph],
    hw: str | Path | DesignSpace,
    *,
    set: Ranges | None = None,
    budget: str | Sequence[str] | None = None,
    objectives: str | Sequence[str] | None = None,
    per_model: bool = False,
    optimize: Objective = "energy",
    w_bits: int | None = None,
    a_bits: int | None = None,
    density: float | None = None,
    fuse: bool = True,
    trials: int | None = None,
    sampler: str = "nsga2",
    seed: int = 0,
    out: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> ChipExploration:
    """The front of energy, latency and area over all designs of a chip, for one network or several.

    Args:
        models: graphs, or names of models that are traced at their own input; a mapping names graphs otherwise.
        hw: a chip file, with ranges or without, the name of a preset, or a space of designs.
        set: ranges beside those of the file, in the form of its `sweep`.
        budget: `area<=4 mm2, latency<=5 ms`; energy and latency hold for every network.
        objectives: axes of the front, of energy, latency and area; None: energy where the chip has energies,
            latency, and area where it is known.
        per_model: a front for each network, not one of geometric means.
        optimize: what mappings minimise.
        w_bits, a_bits, density: of every layer; None: native, dense.
        fuse: as for `hwmodel.evaluate`.
        trials: designs to price; None: all that bounds do not rule out.
        sampler: who proposes them, of `search.explore.asking.SAMPLERS`.
        seed: of all draws.
        out: folder that keeps every price; the same call with it goes on where it was ended. None keeps nothing.
        jobs: processes.
        progress: told (what is going on, how many are done, of how many, designs on the front).

    Raises:
        ConfigError: an argument is invalid; the folder was made with something else; the area is asked for and not
            known.
        AcceleratorError: a range is none, or no combination is a chip.
        RunLockedError: another process writes the folder.
        WorkerLostError: a process ended.
    """
    check_one_of("optimize", optimize, OBJECTIVES)
    check_one_of("sampler", sampler, SAMPLERS)
    space = hw if isinstance(hw, DesignSpace) else DesignSpace(hw, set)
    if trials is None and space.size > MAX_DESIGNS:
        raise ConfigError(
            f"{space.path}: `designs <= {MAX_DESIGNS:,}` must hold for all of them, but there are {space.size:,}. "
            "Say how many are to be priced (--trials)."
        )
    if trials is not None and trials < 1:
        raise ConfigError(f"trials: must be an integer >= 1, but got {trials!r}.")
    graphs = _named_graphs(models)
    limits = parse_budget(budget)
    wanted = None if objectives is None else parse_axes(objectives)
    names = _axes_of(space, wanted, [limit.objective.name for limit in limits.costs])
    axes = Axes(names=names, models=tuple(graphs), per_model=per_model, limits=limits)
    widths = Widths(w_bits=w_bits, a_bits=a_bits, density=density)
    recipe = Recipe(
        path=space.path, ranges=space.ranges, place=space.place, graphs=tuple(g.to_json() for g in graphs.values()),
        optimize=optimize, widths=widths, fuse=fuse, text=text_hash(space),
    )  # fmt: skip
    made_with = {
        "models": [[name, graph.fingerprint] for name, graph in graphs.items()],
        "chip": recipe.text, "ranges": [{path: list(v) for path, v in group.items()} for group in space.groups],
        "optimize": optimize, "widths": [w_bits, a_bits, density], "fuse": fuse,
    }  # fmt: skip
    folder = None if out is None else Path(out)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(RunLock(folder))
        ledger = PriceLedger(folder, made_with, len(graphs))
        crew = make_crew(recipe, jobs)
        stack.callback(crew.close)
        walker = Walker(crew, ledger, axes, optimize, space.size, progress or _silent)
        if trials is None:
            field = walker.all()
        else:
            field = Sampler(space, walker, axes, name=sampler, seed=seed, most=most_of(space)).run(trials)
    return found_of(space, field, _notes(space, field))


def _silent(what: str, done: int, total: int, front: int) -> None:
    """Nobody watches."""


def _named_graphs(
    models: LayerGraph | str | Sequence[LayerGraph | str] | Mapping[str, LayerGraph],
) -> dict[str, LayerGraph]:
    """Graphs by name.

    Raises:
        ConfigError: there is none, or two have one name.
    """
    if isinstance(models, Mapping):
        pairs = list(models.items())
    else:
        listed = [models] if isinstance(models, LayerGraph | str) else list(models)
        graphs = [_traced(model) if isinstance(model, str) else model for model in listed]
        pairs = [(graph.name, graph) for graph in graphs]
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice or not pairs:
        raise ConfigError(
            f"models: each name may be given once, and one at least, but got {', '.join(names) or 'none'}."
        )
    return dict(pairs)


def _traced(model: str) -> LayerGraph:
    from workloads import load_model_with_input
    from workloads.tracing import trace_model

    module, args = load_model_with_input(model)
    return trace_model(module, args, name=short_name(model))


def _first_chip(space: DesignSpace) -> Design:
    """The first combination that is a chip.

    Raises:
        AcceleratorError: there is none among the first ones.
    """
    reason: AcceleratorError | None = None
    for number in _tried(space.size):
        try:
            return space.design(number)
        except AcceleratorError as error:
            reason = reason or error
    raise reason or AcceleratorError(f"{space.path}: has no design.")


def _tried(size: int) -> Iterator[int]:
    """The first numbers below a size, then some of all: a stride would meet the same values of the last ranges."""
    yield from range(min(size, FIRST))
    if size > FIRST:
        draws = random.Random(derive_seed(size, "first chip"))
        yield from (draws.randrange(FIRST, size) for _ in range(FIRST))


def _axes_of(space: DesignSpace, wanted: Sequence[str] | None, bounded: Sequence[str]) -> tuple[str, ...]:
    """The axes of the front.

    Raises:
        ConfigError: energy or area is asked for, and is not known.
    """
    design = _first_chip(space)
    usual = tuple(wanted or AXES)
    needed = {*(wanted or ()), *bounded}
    if "energy" in usual and not has_energies(design.accelerator):
        if "energy" in needed:
            raise ConfigError(f"energy: {design.accelerator.name!r} has no energies. Use latency.")
        usual = tuple(name for name in usual if name != "energy")
    if design.area_mm2 is None and "area" in {*usual, *needed}:
        unknown = ", ".join(chip_area(design.accelerator).unknown)
        if "area" in needed:
            raise ConfigError(
                f"area: needs the area of every part of {design.accelerator.name!r}, but there is none of "
                f"{unknown}. Write `area:` there, or leave area out."
            )
        usual = tuple(name for name in usual if name != "area")
    return usual


def _notes(space: DesignSpace, field: Field) -> list[str]:
    """What a reader must know first."""
    notes = list(space.notes)
    left_out = (
        (NO_CHIP, "can be no chip"), (NO_AREA, "have no known area"), (FAILED, "cannot run every network"),
    )  # fmt: skip
    for state, text in left_out:
        rows = field.rows(state)
        if len(rows):
            first = field.errors[min(field.looks[row].number for row in rows.tolist())]
            notes.append(f"{len(rows):,} of {len(field):,} designs {text} and are left out; the first: {first}")
    if "area" not in field.axes.names:
        unknown = dict.fromkeys(part for look in field.looks for part in look.unknown)
        if unknown:
            notes.append(areas_not_known(unknown))
    left = len(field.rows(OPEN))
    if left or len(field) < space.size:
        share = len(field) / space.size
        undecided = f", {left:,} of these neither priced nor ruled out" if left else ""
        notes.append(
            f"{len(field):,} of {space.size:,} designs ({share:.2g} of them) were looked at{undecided}: what the "
            "others cost is not known."
        )
    return notes
