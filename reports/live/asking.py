"""Questions on a terminal, for the options that nobody gave."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import typer

from hwmodel.chip.draft.answers import QUESTIONS, chip_answers
from hwmodel.errors import AcceleratorError
from reports.terminal.console import say


def asked(name: str, given: Mapping[str, str | None], *, silent: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """The answers about a new chip, as written.

    Args:
        name: of the chip.
        given: by a key of `QUESTIONS`; None where no option was given.
        silent: ask nothing. So it is, too, where stdin is no terminal.

    Returns:
        An answer to every question, and the keys of those that are defaults which nobody saw.

    Raises:
        AcceleratorError: a given answer breaks its rule.
    """
    answers = {key: value for key, value in given.items() if value is not None}
    chip_answers(name, **answers)
    lacking = [key for key in QUESTIONS if key not in answers]
    if silent or not sys.stdin.isatty():
        return {key: answers.get(key, default) for key, (_, default) in QUESTIONS.items()}, tuple(lacking)
    for key in lacking:
        answers[key] = _ask(name, key)
    return answers, ()


def _ask(name: str, key: str) -> str:
    """One question, until its answer is one; Return takes the default."""
    text, default = QUESTIONS[key]
    while True:
        answer = str(typer.prompt(text, default=default, err=True))
        try:
            chip_answers(name, **{key: answer})
        except AcceleratorError as error:
            say(str(error))
            continue
        return answer
