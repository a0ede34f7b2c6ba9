"""The search's own record: what was noted is read back, a torn last line is forgotten, other damage is named."""

from __future__ import annotations

import errno
import math
import os
import sqlite3
import stat
import time
from contextlib import closing

import pytest

from search.clock import Clock
from search.endings import Ending, Kind, State
from search.errors import EnvironmentProblem, SpaceError
from search.folder import STUDY
from search.meter import Use
from search.record import FILE, Recorder, begin_record, read_record
from search.searcher import OptunaSearcher
from search.space import load_space
from search.study import create_study
from search.trials import Trial

ROWS = [{"epoch": 1, "accuracy": 1 / 3, "loss": math.inf, "time": 1.5}, {"epoch": 2, "accuracy": math.nan, "time": 2.5}]
ENDINGS = [Ending(State.COMPLETE, value=1 / 3), Ending(State.PRUNED, Kind.SCHEDULER, 0.1),
           Ending(State.FAILED, Kind.ERROR, message="a bad day"), None]


@pytest.fixture
def space(space_file):
    return load_space(space_file, ["budget.trials=9", "space.dropout={uniform: [0, 0.5]}"])


@pytest.fixture
def written(space, tmp_path):
    """The folder of a record with four trials, the last of them running, and those trials."""
    record = begin_record(tmp_path, space, "fingerprint")
    trials = []
    with Recorder(record, Clock(None, spent=7.0), print) as recorder:
        recorder.start(space.budget, "postgresql://me:secret@host/db")
        for number, ending in enumerate(ENDINGS):
            params = {"learning_rate": 8e-3 * (number + 1) / 7, "batch_size": 8, "dropout": 0.1}
            trials.append(trial := Trial(number, params, space.trial_config(params)))
            recorder.begin(trial)
            for row in ROWS:
                trial.rows.append(row)
                recorder.epoch(trial, row)
            if ending:
                trial.end(ending)
                recorder.end(trial)
    return tmp_path, trials


def test_what_was_noted_is_read_back(written, space):
    folder, trials = written
    record = read_record(folder)
    assert repr(list(record.trials)) == repr(trials)  # repr, in which a NaN is equal to itself
    assert record.space.as_dict() == space.as_dict() and record.space.text == space.text
    assert record.space.where("budget.trials") == "--set budget.trials=9"
    assert (record.data, record.state) == ("fingerprint", "complete") and record.versions["python"]
    assert 7.0 <= record.spent < 17.0
    assert [(name, trial.number) for name, trial, *_ in record.events][:4] == [
        ("begin", 0), ("epoch", 0), ("epoch", 0), ("end", 0)]


def test_the_record_is_private_and_knows_no_password(written):
    folder, _ = written
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert "secret" not in (folder / FILE).read_text() and read_record(folder).tracking == "postgresql://me:***@host/db"


def test_a_password_in_the_space_stays_out(space_file, tmp_path):
    (tmp_path / "there").mkdir()
    begin_record(tmp_path / "there", load_space(space_file, ["tracking.uri=http://me:secret@host"]), "")
    assert "secret" not in (tmp_path / "there" / FILE).read_text()


def test_a_torn_last_line_is_forgotten_and_written_over(written, space):
    folder, trials = written
    whole = (folder / FILE).read_bytes()
    lines = whole.splitlines(keepends=True)
    for torn in (lines[-1][:-1], lines[-1][:9], b"\0" * 40, b"\0" * 40 + b"\n"):
        (folder / FILE).write_bytes(b"".join(lines[:-1]) + torn)
        record = read_record(folder)
        assert record.state == "running" and len(record.trials) == len(trials)
        with Recorder(record, Clock(None), print):
            pass
        assert (folder / FILE).read_bytes().splitlines(keepends=True)[:-1] == lines[:-1]


@pytest.mark.parametrize(("number", "line", "what"), [
    (1, b"{}", "not a line of a search's record"),
    (1, b'{"event": "search", "format": 99}', "format 99 is not that of this version, 1"),
    (3, b'{"event": "begin", "at"', "not a line of a search's record"),
    (3, b'{"event": "walk", "at": 1}', "unknown event 'walk'"),
    (4, b'{"event": "epoch", "at": 1, "number": 77, "row": {}}', "not a line of a search's record"),
    (4, b"[1, 2]", "not a line of a search's record"),
], ids=str)  # fmt: skip
def test_any_other_damage_is_named(written, number, line, what):
    folder, _ = written
    lines = (folder / FILE).read_bytes().split(b"\n")
    lines[number - 1] = line
    (folder / FILE).write_bytes(b"\n".join(lines))
    with pytest.raises(SpaceError) as found:
        read_record(folder)
    assert str(found.value).startswith(f"{folder / FILE}:{number}: damaged: {what}") and "\n" not in str(found.value)


@pytest.mark.parametrize(("content", "what"), [(None, "left no record that can be read"), (b"", "the record is empty")])
def test_a_missing_record(tmp_path, content, what):
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SpaceError, match=what):
        read_record(tmp_path)


def test_a_full_disk_stops_the_search(space, tmp_path):
    record = begin_record(tmp_path, space, "")
    problems = []
    with Recorder(record, Clock(None), problems.append) as recorder, open("/dev/full", "ab", buffering=0) as full:
        recorder._file.close()
        recorder._file = full
        recorder.start(space.budget, None)
        recorder.start(space.budget, None)
    [problem] = problems
    assert isinstance(problem, EnvironmentProblem) and "No space left on device" in str(problem) and "resume" in str(problem)


def test_what_the_disk_may_have_lost_stops_the_search(space, tmp_path, monkeypatch):
    """The system tells once that it could not write; the next time it says that all is well."""
    record, problems, synced = begin_record(tmp_path, space, ""), [], []
    monkeypatch.setattr("search.record.SYNC_SECONDS", 0.01)

    def fail(number: int) -> None:
        synced.append(number)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with Recorder(record, Clock(None), problems.append) as recorder:
        recorder.start(space.budget, None)
        while not problems:
            time.sleep(0.01)
        recorder.start(space.budget, None)
    [problem], [_] = problems, synced
    assert "the record cannot be written (Input/output error)" in str(problem) and read_record(tmp_path).state == "running"


def test_the_disk_has_all_of_a_record_that_is_closed(space, tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr("search.record.SYNC_SECONDS", 60)
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_size), fsync(number)))
    with Recorder(begin_record(tmp_path, space, ""), Clock(None), print) as recorder:
        recorder.start(space.budget, None)
    assert synced == [(tmp_path / FILE).stat().st_size]


def test_what_is_taken_before_a_start_is_noted_does_not_replace_what_the_last_session_took(space, tmp_path):
    begin_record(tmp_path, space, "")
    for session in range(2):
        with Recorder(read_record(tmp_path), Clock(None), print) as recorder:
            if session == 0:
                recorder.start(space.budget, None)
            recorder.use(Use(seconds=3600.0 - session))
    assert [use.seconds for use in read_record(tmp_path).uses] == [3600.0]


def test_a_watcher_that_fails_at_the_disk_stops_the_search(space, tmp_path):
    """Tune would take it for the failure of the trial, and begin that again."""

    class Failing(Told):
        def begin(self, trial: Trial) -> None:
            raise OSError(errno.ESTALE, "Stale file handle", "weights")

    record, told, problems = begin_record(tmp_path, space, ""), Told(), []
    watchers = (Failing(), told)
    searcher = OptunaSearcher(space, create_study(space, tmp_path), record.trials, Clock(None), watchers, stop=problems.append)
    searcher.suggest("first")
    assert not told.begun
    assert [str(problem) for problem in problems] == ["weights: Stale file handle; mend that and go on with `resume`"]


@pytest.mark.slow
def test_optunas_file_may_be_locked_for_a_while(space, tmp_path):
    """By somebody who looks at it with a program that locks: SQLite alone gives up after 5 s."""
    problems = []
    study = create_study(space, tmp_path, stop=problems.append)
    with closing(sqlite3.connect(tmp_path / STUDY, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        study.ask()
        time.sleep(7)
        other.execute("ROLLBACK")
    study.close()
    assert not problems
    with closing(sqlite3.connect(tmp_path / STUDY)) as file:
        assert file.execute("select count(*) from trials").fetchone() == (1,)


class Told:
    """A watcher that counts what it is told."""

    def __init__(self) -> None:
        self.begun = 0

    def begin(self, trial: Trial) -> None:
        self.begun += 1


def test_what_the_record_does_not_have_nobody_hears_of(space, tmp_path):
    """Else MLflow has epochs that `resume` trains again, and then twice."""
    record, told = begin_record(tmp_path, space, ""), Told()
    with Recorder(record, Clock(None), print) as recorder, open("/dev/full", "ab", buffering=0) as full:
        searcher = OptunaSearcher(space, create_study(space, tmp_path), record.trials, Clock(None), (recorder, told), stop=print)
        searcher.suggest("first")
        recorder._file.close()
        recorder._file = full
        searcher.suggest("second")
    assert told.begun == 1 and len(read_record(tmp_path).trials) == 1
