"""Which candidates to finetune next: those expected to add most to the front of accuracy and exact costs.

1. Before any run the accuracy is what the sensitivities predict (`search.propose.accuracy_model`). The first runs
   are the most precise candidate and the greedy choice of predicted hypervolume, which lies on the front of the
   integer program.
2. After that the expected hypervolume improvement over the front of the *posterior means*
   (`search.propose.acquisition`). In a batch the ones chosen count as run, with the accuracy that is expected.

Everything is a function of the problem, the observations and the seed.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np

from search.front.pareto import non_dominated
from search.propose.accuracy_model import AccuracyModel, Observations, Outlook, nearest_to_front
from search.propose.acquisition import Front
from search.propose.pool import Pool
from search.propose.problem import Floats, Picks, Problem, accuracy_of

#: So many runs are chosen by the prediction alone.
FIRST_RUNS = 10
#: Of more candidates than this only those of largest hope get their deviation computed.
MAX_SCREENED = 4096
OPTIMISM = 1.5
#: Of more results only those nearest to the front are learned from: a Gaussian process of n costs n^3.
MAX_LEARNED = 256


class FrontProposer:
    """Proposes batches of picks.

    Args:
        problem: the search.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.pool = Pool(problem)

    def propose(
        self,
        seen: Observations,
        taken: AbstractSet[bytes],
        count: int,
        seed: int,
        *,
        waiting: Picks | None = None,
    ) -> list[tuple[int, ...]]:
        """At most `count` candidates that are not taken; fewer where the space has no more.

        Args:
            seen: what was scored.
            taken: rows of picks as bytes (int64): scored, failed or under way.
            count: of the batch.
            seed: decides the answer with the rest.
            waiting: (n, num_decisions), candidates under way.
        """
        model = AccuracyModel(self.problem.prior, self._relevant(seen))
        under_way = np.zeros((0, len(self.problem.sizes)), np.int64) if waiting is None else waiting
        reached = np.concatenate((seen.picks, under_way))
        picks, costs = self._candidates(model, reached, seed)
        outlook = Outlook(model, np.concatenate((under_way, picks)))
        for index in range(len(under_way)):
            outlook.believe(index)
        front, blocked = self.front(model, reached), set(taken)
        first = None if len(reached) else self._first(blocked)
        if first is None or not count:
            return self._greedy(outlook, len(under_way), picks, costs, front, len(reached), count, blocked)
        blocked.add(first.tobytes())
        front = front.with_point(self.pool.costs(first[None])[0], float(accuracy_of(model.mean(first[None]))[0]))
        rest = self._greedy(outlook, len(under_way), picks, costs, front, 1, count - 1, blocked)
        return [tuple(first.tolist()), *rest]

    def promote(self, seen: Observations, reached: Picks, waiting: Picks, count: int) -> list[tuple[int, ...]]:
        """At most `count` of the candidates that wait: those expected to add most to the front of those reached.

        Args:
            seen: what was scored, at any fidelity.
            reached: (n, num_decisions), run in full.
            waiting: (m, num_decisions), each once, run at a lower fidelity only.
            count: of the answer.
        """
        if not len(waiting):
            return []
        model = AccuracyModel(self.problem.prior, self._relevant(seen))
        costs, outlook, front = self.pool.costs(waiting), Outlook(model, waiting), self.front(model, reached)
        return self._greedy(outlook, 0, waiting, costs, front, len(reached), count, set())

    def _greedy(
        self,
        outlook: Outlook,
        start: int,
        picks: Picks,
        costs: Floats,
        front: Front,
        number: int,
        count: int,
        blocked: set[bytes],
    ) -> list[tuple[int, ...]]:
        """At most `count` free candidates, each of largest gain while those before count as run.

        Args:
            outlook: on the candidates, from its row `start` on.
            picks, costs: of the candidates.
            front: of what is reached.
            number: of runs before.
            blocked: rows that are not free; grows.
        """
        chosen: list[tuple[int, ...]] = []
        mean = outlook.mean[start:]
        while len(chosen) < count:
            deviation = None if number + len(chosen) < FIRST_RUNS else outlook.deviation[start:]
            best = _free(picks, costs, mean, front.improvement(costs, mean, deviation), blocked)
            if best is None:
                break
            chosen.append(tuple(picks[best].tolist()))
            blocked.add(picks[best].tobytes())
            front = front.with_point(costs[best], float(accuracy_of(mean[best])))
            outlook.believe(start + best)
        return chosen

    def _first(self, blocked: AbstractSet[bytes]) -> Picks | None:
        """The most precise candidate, if it is known, free and within the limits."""
        row = np.array(self.problem.precise, dtype=np.int64)
        return row if self.pool.is_open(row) and row.tobytes() not in blocked else None

    def _candidates(self, model: AccuracyModel, reached: Picks, seed: int) -> tuple[Picks, Floats]:
        """Those of the pool; of many, those of largest hope."""
        front = self.front(model, reached)

        def hope(picks: Picks, costs: Floats) -> Floats:
            return front.improvement(costs, model.mean(picks) - OPTIMISM * model.prior_deviation(picks))

        picks, costs = self.pool.candidates(model, hope, seed)
        if len(picks) > MAX_SCREENED:
            kept = np.argsort(-hope(picks, costs), kind="stable")[:MAX_SCREENED]
            return picks[kept], costs[kept]
        return picks, costs

    def _relevant(self, seen: Observations) -> Observations:
        """The observations to learn from: of very many those nearest to the front."""
        if len(seen) <= MAX_LEARNED:
            return seen
        return seen.at(nearest_to_front(self.pool.costs(seen.picks)[:, 0], seen.y, MAX_LEARNED))

    def front(self, model: AccuracyModel, reached: Picks) -> Front:
        """Of the posterior means at the candidates that were run."""
        costs = self.pool.costs(reached) if len(reached) else np.zeros((0, self.problem.num_costs))
        accuracy = accuracy_of(model.mean(reached)) if len(reached) else np.zeros(0)
        kept = non_dominated(np.column_stack((costs, -accuracy)))
        return Front(
            costs=costs[kept],
            accuracy=accuracy[kept],
            ideal=self.pool.ideal,
            reference=self.pool.reference,
            floor=self.problem.floor,
        )


def _free(picks: Picks, costs: Floats, mean: Floats, gain: Floats, blocked: AbstractSet[bytes]) -> int | None:
    """The free candidate of largest gain; equal ones by accuracy, then by cost. None: there is none."""
    for index in np.lexsort((costs[:, 0], mean, -gain)).tolist():
        if picks[index].tobytes() not in blocked:
            return int(index)
    return None
