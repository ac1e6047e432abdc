"""The scorer of a job in another process: the same scores, and weights that are the same file."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from search.checkpoints import Checkpoints
from search.executors import Executor, InProcess, Job, Processes, factory_of
from search.materials import Materials
from search.observer import Observer
from search.scoring import Evaluator
from search.spec import parse_spec
from tests.search.executors.toys import Toy
from tests.search.test_materials import DATA, MODEL, SPEC


@pytest.fixture
def materials(tmp_path: Path) -> Materials:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "data.py").write_text(DATA)
    spec = parse_spec(SPEC.format(data="data.py:pairs"), folder=tmp_path)
    return Materials(spec=spec, folder=tmp_path / "run", observer=Observer(), device="cpu")


def test_a_worker_scores_what_the_driver_does(materials: Materials, tmp_path: Path) -> None:
    space = materials.space
    configs = [space.config(point) for point in space.uniform_points()]
    jobs = [Job(number=n, stage="ptq", config=config) for n, config in enumerate(configs)]
    jobs += [Job(number=9, stage="qat", config=configs[0], seed=3)]
    factory = factory_of(materials)
    before = {path: path.read_bytes() for path in materials.folder.rglob("*") if path.is_file()}

    def scored(pool: Executor, folder: Path) -> list[object]:
        found: list[object] = []
        with pool:
            for job, outcome in pool.run(jobs, Observer()):
                written = Checkpoints(folder=folder).write(job.number, job.config.key, outcome)
                found.append((job.number, outcome.accuracy, outcome.error, written))
        return found

    here = scored(InProcess(Evaluator(materials)), tmp_path / "here")
    there = scored(Processes(factory, 1, threads=1), tmp_path / "there")
    assert here == there
    assert {path: path.read_bytes() for path in materials.folder.rglob("*") if path.is_file()} == before
    (mine,), (theirs,) = ([*(tmp_path / side).rglob("*.safetensors")] for side in ("here", "there"))
    assert mine.read_bytes() == theirs.read_bytes()


def test_an_evaluator_travels_itself_unless_it_has_a_factory(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    assert pickle.loads(pickle.dumps(factory_of(toy)))() == toy
