"""The search: which configurations to try, how they are scored, and what is kept of them.

Everything is imported when first used, so that `import search` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports
from hwmodel.shown import shown_by

if TYPE_CHECKING:
    from search.codesign.explore import Exploration, explore_run
    from search.explore.explore import explore_chips
    from search.explore.found import ChipExploration
    from search.finetuning import FinetuneResult, finetune_job, load_best
    from search.front.objective import OBJECTIVES, Objective
    from search.front.pareto import hypervolume, knee, non_dominated, pareto_front
    from search.front.picking import pick
    from search.front.results import Result, results_frame
    from search.groups import Group, Parameter
    from search.job import JobResult, pick_job, resume_job, run_job
    from search.ledger import RunLockedError, read_results
    from search.observer import Observer
    from search.scoring import ScoreError
    from search.space import Space
    from search.spec import SearchSpec, parse_spec, read_spec
    from search.study import Study

__all__ = [
    "OBJECTIVES",
    "ChipExploration",
    "Exploration",
    "FinetuneResult",
    "Group",
    "JobResult",
    "Objective",
    "Observer",
    "Parameter",
    "Result",
    "RunLockedError",
    "ScoreError",
    "SearchSpec",
    "Space",
    "Study",
    "explore_chips",
    "explore_run",
    "finetune_job",
    "hypervolume",
    "knee",
    "load_best",
    "non_dominated",
    "pareto_front",
    "parse_spec",
    "pick",
    "pick_job",
    "read_results",
    "read_spec",
    "results_frame",
    "resume_job",
    "run_job",
]

shown_by({"Study": ("search.show.notebook", "study_html")})
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "codesign.explore": ("Exploration", "explore_run"),
        "explore.explore": ("explore_chips",),
        "explore.found": ("ChipExploration",),
        "finetuning": ("FinetuneResult", "finetune_job", "load_best"),
        "groups": ("Group", "Parameter"),
        "job": ("JobResult", "pick_job", "resume_job", "run_job"),
        "ledger": ("RunLockedError", "read_results"),
        "front.objective": ("OBJECTIVES", "Objective"),
        "observer": ("Observer",),
        "front.pareto": ("hypervolume", "knee", "non_dominated", "pareto_front"),
        "front.picking": ("pick",),
        "front.results": ("Result", "results_frame"),
        "scoring": ("ScoreError",),
        "space": ("Space",),
        "spec": ("SearchSpec", "parse_spec", "read_spec"),
        "study": ("Study",),
    },
)
