"""What the final front of a study offers for a pick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.errors import ConfigError
from search.front.picking import NoCandidateError
from search.front.results import Result

if TYPE_CHECKING:
    from search.study import Study


def final_front(study: Study) -> tuple[Result, ...]:
    """The front of the last stage, cheapest first.

    Raises:
        ConfigError: no candidate could be scored.
    """
    front = study.front()
    if not front:
        failed = [result for result in study.results() if not result.is_done]
        reason = f" The last of {len(failed)} failures: {failed[-1].error}" if failed else ""
        raise ConfigError(f"{study.folder}: no candidate could be scored.{reason}")
    return front


def choices(study: Study, design: int | None = None) -> tuple[Result, ...]:
    """What may be picked: the final front; on several designs with the costs on each of the front.

    Args:
        study: finished.
        design: number of the one to pick on; None is any.

    Raises:
        NoCandidateError: the front has none on that design.
    """
    front = final_front(study)
    if study.designs is None:
        if design is not None:
            raise NoCandidateError("pick: there is one design. Leave the design out.")
        return front
    pairs = study.design_front()
    chosen = tuple(pair.result for pair in pairs if design in (None, pair.design.number))
    if not chosen:
        numbers = ", ".join(str(number) for number in sorted({pair.design.number for pair in pairs}))
        raise NoCandidateError(f"pick: no candidate of the front is on design {design}, only on {numbers}.")
    return chosen


def choices_or_all(study: Study, design: int | None) -> tuple[tuple[Result, ...], str]:
    """As `choices`, on any design and with a note where there is none on that one: a search has ended."""
    try:
        return choices(study, design), ""
    except NoCandidateError as error:
        return choices(study), f"{error} It is picked on any."
