"""An evaluator of three fidelities whose order at the lower ones is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search.observer import Observer
from search.space import Space
from search.study import Study
from tests.search.helpers import Count, ToyScorer, make_graph, total_drop
from workloads.compress.config import CompressionConfig
from workloads.storage.weights import CarriedState

IMAGES = 10_000


class Stages(ToyScorer):
    """Full runs lose `total_drop`; short ones 1.5 times that and 3 % more; `is_wrong` turns their order round.

    A warm run tells in its accuracy whose weights it had. Every finetuned model holds the hits of its full run.
    """

    def __init__(self, *, is_wrong: bool = False, has_models: bool = False) -> None:
        super().__init__()
        self.is_wrong, self.has_models = is_wrong, has_models
        self.short_calls: list[tuple[str, int, float]] = []
        self.started: list[int | None] = []
        self.stopped: list[tuple[str, float]] = []

    def full(self, config: CompressionConfig) -> int:
        return round(IMAGES * 0.98 * math.exp(-total_drop(config)))

    def ptq(self, config: CompressionConfig) -> Count:
        self.ptq_calls.append(config.key)
        return Count(round(IMAGES * 0.98 * math.exp(-8 * total_drop(config))), IMAGES)

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, Any]:
        self.qat_calls.append((config.key, seed))
        return Count(self.full(config), IMAGES), self.model(self.full(config))

    def model(self, hits: int) -> nn.Module | None:
        if not self.has_models:
            return None
        model = nn.Linear(1, 1)
        model.load_state_dict({"weight": torch.tensor([[float(hits)]]), "bias": torch.zeros(1)})
        return model

    def qat_short(self, config: CompressionConfig, seed: int, share: float, start: Any) -> Count:
        self.short_calls.append((config.key, seed, share))
        drop = total_drop(config)
        lost = 1.5 * (1.2 - drop if self.is_wrong else drop) + 0.03 / share / 4
        hits = round(IMAGES * 0.98 * math.exp(-lost))
        self.started.append(None)
        if isinstance(start, CarriedState):
            self.started[-1] = int(start.state_dict()["weight"].item())
            hits += 20
        return Count(hits, IMAGES)

    def qat_watched(
        self, config: CompressionConfig, seed: int, shares: Sequence[float], stop: Callable[[float, Any], bool]
    ) -> tuple[Count, Any]:
        for share in shares:
            so_far = Count(round(self.full(config) * (1 - 0.2 * (1 - share))), IMAGES)
            if stop(share, so_far):
                self.stopped.append((config.key, share))
                return so_far, self.model(0)
        return self.qat(config, seed)


class Listening(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def search(folder: str | Path, scorer: ToyScorer, *, qat: int = 6, **options: Any) -> tuple[Study, list[str]]:
    graph, heard = make_graph(), Listening()
    space = Space.from_graph(graph, w_bits=[2, 3, 4, 8])
    study = Study.create_or_resume(folder, graph=graph, space=space, evaluate=scorer, name="run", **options)
    study.run(trials=4, qat=qat, progress=heard)
    return study, heard.said


def essence(study: Study) -> list[tuple[object, ...]]:
    return [
        (r.number, r.stage, r.key, r.correct, r.seed, r.origin, r.share, tuple(r.curve.items()))
        for r in study.results()
    ]
