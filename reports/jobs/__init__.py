"""What the commands do. Each loads its module when it is first called, so that `hwmodel --help` loads none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from reports.compare.job import compare
    from reports.explore.job import Shown, explore
    from reports.jobs.calibrating import calibrate
    from reports.jobs.checking import doctor
    from reports.jobs.chips import check_chip, diff_chips, list_chips, new_chip, show_chip
    from reports.jobs.configs import diff
    from reports.jobs.exporting import export
    from reports.jobs.finetuning import finetune
    from reports.jobs.laddering import ladder
    from reports.jobs.mapping import map_layer
    from reports.jobs.picking import pick, report
    from reports.jobs.pricing import cost
    from reports.jobs.searching import resume, search
    from reports.jobs.studying import studies
    from reports.jobs.tracing import trace

__all__ = [
    "Shown", "calibrate", "check_chip", "compare", "cost", "diff", "diff_chips", "doctor", "explore", "export",
    "finetune", "ladder", "list_chips", "map_layer", "new_chip", "pick", "report", "resume", "search", "show_chip",
    "studies",
    "trace",
]  # fmt: skip

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "calibrating": ("calibrate",),
        "checking": ("doctor",),
        "chips": ("check_chip", "diff_chips", "list_chips", "new_chip", "show_chip"),
        "configs": ("diff",),
        ".compare.job": ("compare",),
        ".explore.job": ("Shown", "explore"),
        "exporting": ("export",),
        "finetuning": ("finetune",),
        "laddering": ("ladder",),
        "mapping": ("map_layer",),
        "picking": ("pick", "report"),
        "pricing": ("cost",),
        "searching": ("resume", "search"),
        "studying": ("studies",),
        "tracing": ("trace",),
    },
)
