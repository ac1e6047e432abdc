"""`hwmodel diff`: in which layers two configurations differ."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from reports.jobs.configs import config_path
from reports.terminal.console import emit_json, make_console
from reports.terminal.tables import print_lines
from workloads.compress import diff as differences
from workloads.compress import read_config


def diff(*, first: Path, second: Path, json: bool) -> None:
    """Show what differs, one line per layer and field."""
    one, two = (read_config(config_path(path)).config for path in (first, second))
    found = differences(one, two)
    if json:
        emit_json([asdict(item) for item in found])
        return
    modules = len({item.module for item in found})
    total = f"{len(found)} differences in {modules} of {len(one.layers)} layers"
    print_lines(make_console(), [("", text) for text in (*map(str, found), total)])
