"""PostgreSQL for MLflow, both real: a server on it that is killed in the middle, and a search that writes to it itself."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.invariants import check
from tests.mlflow_server import served
from tests.test_cli import call
from tests.test_resume import LONG, start, wait_for

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL: apt-get install postgresql")]


class Postgres:
    """A database server in a folder of its own, on loopback; root may not run one, so that another user does."""

    def __init__(self, place: Path):
        self.port, self._data, self._user = free_port(), place / "data", None
        if os.geteuid() == 0:
            self._user = pwd.getpwnam("postgres")
            os.chown(place, self._user.pw_uid, self._user.pw_gid)
        self._call("initdb", "--auth=trust", "--username=mlflow", "--no-sync")
        with open(self._data / "postgresql.conf", "a") as settings:
            settings.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{place}'\n")
        self.uri = f"postgresql://mlflow@127.0.0.1:{self.port}/postgres"
        self.mlflow = self.uri.replace("postgresql", "postgresql+psycopg2", 1)

    def start(self) -> None:
        self._call("pg_ctl", "-w", "-l", str(self._data / "log"), "start")

    def crash(self) -> None:
        """Stop without shutting anything down: it recovers from its log when it starts again."""
        self._call("pg_ctl", "-m", "immediate", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {}
        subprocess.run([PROGRAMS / program, "-D", self._data, *arguments], check=True, cwd="/", stdout=subprocess.DEVNULL, **user)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg2", reason="no driver: pip install psycopg2-binary")
    place = Path(tempfile.mkdtemp())  # not pytest's folder, which another user may not enter
    server = Postgres(place)
    server.start()
    try:
        yield server
    finally:
        server.crash()
        shutil.rmtree(place)


def test_two_searches_at_once_while_the_server_and_its_database_are_killed(postgres, space_file, tmp_path):
    results = tmp_path / "results"
    with served(tmp_path, postgres.mlflow) as server:
        words = ["run", str(space_file), "--results", str(results), "--tracking-uri", server.uri, "--trials", "24", *LONG]
        searches = {name: start(*words, "--name", name, mark=str(results)) for name in ("one", "two")}
        for name, process in searches.items():
            wait_for(process, results / name, 1)
        server.kill()
        postgres.crash()
        for name, process in searches.items():
            wait_for(process, results / name, 60)
        postgres.start()
        server.start()
        said = {name: process.communicate(timeout=300)[1] for name, process in searches.items()}
        for name, process in searches.items():
            assert process.returncode == 0, said[name]
            check(results / name, 24, errors=said[name], store=postgres.uri)


def test_a_search_that_writes_to_the_database_itself(postgres, space_file, images, tmp_path, monkeypatch, capsys):
    """Its artifacts are in the results folder, where MLflow by itself would put them into the current one."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    assert call("run", str(space_file), "--results", str(results), "--tracking-uri", postgres.mlflow, capsys=capsys)[0] == 0
    check(results / "tiny", 3, store=postgres.uri)
    assert not (tmp_path / "mlruns").exists() and list((results / "artifacts").rglob("model.safetensors"))
    words = ("predict", "models:/tiny@champion", str(images / "left" / "00.png"), "--tracking-uri", postgres.mlflow)
    status, out, _ = call(*words, "--results", str(results), capsys=capsys)
    assert status == 0 and "00.png: left " in out
