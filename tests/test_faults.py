"""The script that repeats faults still runs: searches that are hit, resumed and held against the invariants. And full disks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from search import folder, sqlite
from search.errors import EnvironmentProblem, Interrupted, disk_is_full
from search.folder import read_summary, summarised
from search.record import FILE, read_record
from search.resume import resume_search
from search.run import run_search
from search.space import load_space
from search.study import create_study
from search.trials import Trial, Trials
from tests.conftest import Told
from tests.faults.searches import Search
from tests.invariants import check, query
from trainables.files import of_trials

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "statuses"), [("F1", {-9}), ("F12", {5})], ids=["driver killed", "Ray killed"])
def test_a_fault_costs_no_trial_and_no_row(fault, statuses):
    done = subprocess.run([sys.executable, "-m", "tests.faults", fault, "--repetitions", "1"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [toll] = json.loads(done.stdout.splitlines()[-1])[fault]
    assert (toll["lost"], toll["duplicates"], toll["orphans"], toll["broken"]) == (0, 0, 0, "")
    assert toll["statuses"][-1] == 0 and set(toll["statuses"][:-1]) == statuses


@pytest.mark.slow
def test_what_is_left_of_a_trial_that_the_record_has_lost_is_no_other_trials(tmp_path):
    """The next one of its number has the same parameters, and would go on from the lost one's checkpoint; F15."""
    search = Search(tmp_path)
    search.wait(8)
    search.kill()
    assert [number for number, path in of_trials(search.folder) if path.parent.name == "checkpoints"] == [0, 1]
    lines = (search.folder / FILE).read_bytes().splitlines(keepends=True)
    kept = next(place for place, line in enumerate(lines) if b'"event": "begin"' in line)
    (search.folder / FILE).write_bytes(b"".join(lines[:kept]))
    search.resume()
    search.end(0)
    assert search.toll().broken == ""


def fill() -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"one byte too many")


def fill_a_database() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("pragma max_page_count = 1")
        connection.execute("create table one (too many)")


@pytest.mark.parametrize("act", [fill, fill_a_database])
def test_a_full_disk_is_one_line_whoever_meets_it(act: Callable[[], None], tmp_path):
    with pytest.raises(EnvironmentProblem, match="the disk is full; make room and go on with `resume "):
        with summarised(tmp_path, Trials("accuracy", "max")):
            try:
                act()
            except Exception as problem:
                raise RuntimeError("a library's own words") from problem
    summary = read_summary(tmp_path)
    assert summary["state"] == "failed" and "the disk is full" in summary["reason"]


class Fills(Told):
    """Lets the disk pass for nearly full once trials run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        super().__init__([])
        self._monkeypatch = monkeypatch

    def epoch(self, trial: Trial, row: dict) -> None:
        nearly_full(self._monkeypatch)


def nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LEAST_FREE", 2**62)
    monkeypatch.setattr(folder, "LEAST_SHARE", 1.0)


def test_a_search_stops_before_the_disk_is_full(space_file, tmp_path, monkeypatch):
    """It begins nothing more, and goes on once there is room; a new one creates nothing."""
    one_at_a_time = f"resources.cpus_per_trial={len(os.sched_getaffinity(0))}"
    space, results = load_space(space_file, ["budget.trials=8", one_at_a_time]), tmp_path / "results"
    said = "MiB of its disk are free, and below [0-9,]+ nothing is begun; make room and go on with `resume tiny`"
    with monkeypatch.context() as patched, pytest.raises(EnvironmentProblem, match=said):
        run_search(space, results=results, progress=Fills(patched))
    assert len(before := read_record(results / "tiny").trials) < 8
    with monkeypatch.context() as patched:
        nearly_full(patched)
        with pytest.raises(EnvironmentProblem, match="nothing is begun; make room, or give another --results"):
            run_search(space, name="other", results=results)
        with pytest.raises(EnvironmentProblem, match=said):
            resume_search(results / "tiny")
    assert not (results / "other").exists() and len(read_record(results / "tiny").trials) == len(before)
    resume_search(results / "tiny")
    check(results / "tiny", 8)


@pytest.mark.parametrize(("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete"), ("fuse.sshfs", "delete")])
def test_a_database_on_a_disk_that_machines_share_has_no_log(kind, mode, tmp_path, monkeypatch):
    mounts, place = tmp_path / "mounts", tmp_path / "a disk"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nhost:/disk {str(place).replace(' ', chr(92) + '040')} {kind} rw 0 0\n")
    monkeypatch.setattr(sqlite, "MOUNTS", mounts)
    (place / "results").mkdir(parents=True)
    sqlite.create_write_ahead(place / "results" / "one.db")
    assert query(place / "results" / "one.db", "pragma journal_mode") == [(mode,)]


def test_other_problems_stay_what_they_are(tmp_path):
    assert not disk_is_full(FileNotFoundError(2, "No such file or directory"))
    with pytest.raises(Interrupted), summarised(tmp_path, Trials("accuracy", "max")):
        raise Interrupted(15)
    assert read_summary(tmp_path)["state"] == "interrupted"


def test_a_study_that_cannot_be_written_stops_the_search_and_raises_nothing_into_rays_loop(space_file, tmp_path):
    told: list[EnvironmentProblem] = []
    study = create_study(load_space(space_file), tmp_path, stop=told.append)
    asked = study.ask()
    study._writes[-1].result()
    event.listen(study._storage.engine, "connect", lambda connection, _: connection.execute("pragma query_only = 1"))
    study._storage.engine.dispose()  # whoever connects now may write no more
    study.report(asked, {"epoch": 1, "accuracy": 0.5})
    study.close()
    assert "optuna.db cannot be written ((sqlite3.OperationalError) attempt to write a readonly database)" in str(told[0])
