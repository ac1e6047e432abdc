"""`hwmodel doctor`: what a bug report needs to know about the machine."""

from __future__ import annotations

from reports import jobs
from reports.commands.options import JsonOption


def doctor(json: JsonOption = False) -> None:
    """Show versions, devices and threads, and what is missing."""
    jobs.doctor(json=json)
