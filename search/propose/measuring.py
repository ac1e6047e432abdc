"""Sensitivities of a study: measured by its executor, told to its observer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.evaluating import IsEnough, Ways
from search.executors.base import Executor, Job
from search.observer import Observer
from search.propose.scores import ScoreCache
from search.propose.sensitivity import Sensitivity, measure_sensitivity
from search.propose.subsets import WHOLE_UP_TO, subsets_note
from search.scoring import Outcome
from search.space import Space
from workloads.compress.config import CompressionConfig


def measured(
    space: Space, executor: Executor, cache: ScoreCache, observer: Observer, num_images: int, *, number: int
) -> Sensitivity:
    """Rises of single changes; what the cache holds is not scored again.

    Args:
        space: the candidates.
        executor: scores them.
        cache: in the run folder.
        observer: is told of each, and on how many images.
        num_images: that can be scored in part; 0 where only all can, or shall.
        number: of the next result, for messages.
    """

    def score(configs: Sequence[CompressionConfig], is_enough: IsEnough | None) -> Iterator[Outcome]:
        ways = Ways(is_enough=is_enough)
        jobs = [Job(number=number, stage="ptq", config=config, ways=ways) for config in configs]
        for _, outcome in executor.run(jobs, observer):
            yield outcome

    def progress(done: int, total: int) -> None:
        if not is_started:
            observer.stage_started("sensitivity", done, total)
            is_started.append(True)
        else:
            observer.step("sensitivity", done, total)

    is_started: list[bool] = []
    before = len(cache.images())
    found = measure_sensitivity(space, score, cache, progress, subsets=num_images > WHOLE_UP_TO)
    images = cache.images()
    if len(images) > before:
        observer.message(subsets_note(images, num_images))
    return found
