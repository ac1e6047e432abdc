"""The studies of a run on a PostgreSQL server that comes and goes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from hwmodel.errors import ConfigError
from search.front.results import Result
from search.mirror import MirrorTarget
from search.mirror import server as room
from search.space import Space
from search.study import Study
from tests.search.executors.toys import Heard
from tests.search.helpers import ToyScorer, make_graph

pytest.importorskip("psycopg")


def programs() -> Path | None:
    """The folder of the server's programs; Debian keeps them out of the path."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


BIN = programs()
pytestmark = pytest.mark.skipif(BIN is None, reason="no PostgreSQL server on this machine")


class Server:
    """A PostgreSQL server of its own, on this machine's loopback only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder.chmod(0o777)
        self._do("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "postgres", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        )
        self._do("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self) -> None:
        self._do("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", "immediate", "stop")

    def _do(self, program: str, *arguments: str) -> None:
        """Run it as somebody whom PostgreSQL does not refuse: root is."""
        assert BIN is not None
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_postgres, str(BIN / program), *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            timeout=300,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Not under pytest's folder, which nobody else may enter."""
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        found = Server(folder)
        found.start()
        yield found
        found.stop()
    finally:
        shutil.rmtree(folder)


def study_in(folder: Path, name: str = "run") -> Study:
    graph = make_graph()
    return Study.create_or_resume(
        folder, graph=graph, space=Space.from_graph(graph), evaluate=ToyScorer(), name=name
    )


def stored(server: Server, name: str) -> list[int]:
    """Numbers of the results there."""
    storage = optuna.storages.RDBStorage(str(MirrorTarget.parse(server.url).url.render_as_string(False)))
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        return [trial.user_attrs["number"] for trial in study.get_trials(deepcopy=False)]
    finally:
        storage.remove_session()
        storage.engine.dispose()


def numbers(study: Study, stage: str) -> list[int]:
    return [result.number for result in study.results() if result.stage == stage]


def test_every_result_is_on_the_server(server: Server, tmp_path: Path) -> None:
    study, heard = study_in(tmp_path, "whole"), Heard()
    study.run(trials=6, qat=2, progress=heard, server=MirrorTarget.parse(server.url))
    for stage in ("ptq", "qat"):
        assert stored(server, f"whole-{stage}") == numbers(study, stage)
    assert not [text for text in heard.said if "mirror" in text]


class Interfering(Heard):
    """Stops and starts the server at certain results."""

    def __init__(self, server: Server, stop_at: int, start_at: int) -> None:
        super().__init__()
        self.server, self.at = server, {stop_at: server.stop, start_at: server.start}

    def candidate_done(self, result: Result, done: int, total: int, front: tuple[Result, ...]) -> None:
        self.at.get(result.number, lambda: None)()


def test_a_server_that_goes_away_misses_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "RETRY_S", 0.0)
    study, heard = study_in(tmp_path, "away"), Interfering(server, stop_at=3, start_at=7)
    study.run(trials=12, progress=heard, server=MirrorTarget.parse(server.url))
    assert numbers(study, "ptq") == list(range(12))
    assert stored(server, "away-ptq") == list(range(12))
    said = [text for text in heard.said if text.startswith("mirror postgresql+psycopg://postgres:***@")]
    assert len(said) == 2, heard.said
    assert ": is away (" in said[0] and said[1].endswith("is back, and holds all 9 results.")
    assert "secret" not in "".join(heard.said)


def test_a_server_that_stays_away_is_told_once_and_stops_nothing(server: Server, tmp_path: Path) -> None:
    server.stop()
    try:
        study, heard = study_in(tmp_path, "late"), Heard()
        study.run(trials=5, progress=heard, server=MirrorTarget.parse(server.url))
        assert len([text for text in heard.said if "is away" in text]) == 1
        assert numbers(study, "ptq") == list(range(5))
    finally:
        server.start()
    study.run(trials=6, progress=heard, server=MirrorTarget.parse(server.url))
    assert stored(server, "late-ptq") == list(range(6)), "the next run catches up"


def test_a_study_of_another_run_is_left_alone(server: Server, tmp_path: Path) -> None:
    target = MirrorTarget.parse(server.url)
    study_in(tmp_path / "mine", "same").run(trials=4, server=target)
    theirs, heard = study_in(tmp_path / "theirs", "same"), Heard()
    theirs.run(trials=6, progress=heard, server=target)
    assert len(numbers(theirs, "ptq")) == 6
    assert stored(server, "same-ptq") == list(range(4))
    (said,) = [text for text in heard.said if "mirror" in text]
    assert "study 'same-ptq' there is of" in said and "mine, not of" in said


def test_a_target_is_a_server_with_a_driver() -> None:
    for text in ("nowhere", "postgres:", ""):
        with pytest.raises(ConfigError, match="mirror: must be the URL"):
            MirrorTarget.parse(text)
    with pytest.raises(ConfigError, match="no database is called 'oracel'"):
        MirrorTarget.parse("oracel://host/db")
    with pytest.raises(
        ConfigError, match=r"mirror: postgresql needs a driver .* pip install 'hwmodel\[postgresql\]'"
    ):
        MirrorTarget.parse("postgresql+psycopg2://host/db")
