"""A search's folder: who has it, what of a search that never began is left, and what a damaged summary tells."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from search import cli
from search.diagnosis import RungCheck
from search.errors import EnvironmentProblem, Interrupted, SpaceError
from search.exports import Export
from search.finish import Baseline, Outcome
from search.folder import RECORD, STUDY, SUMMARY, claim, held, holder, made, read_summary, write_summary
from search.front import Hypervolume, Point
from search.repeats import Candidate
from search.sealed import Difference, Score
from tests.test_status import write_record

SCORE = Score(0.5, (0.25, 0.75), "Wilson")
POINTS = [Point(number, {"accuracy": 0.5, "macs": 9.0}, "simple_cnn", {"batch_size": 8}) for number in (2, 0)]
COMPLETE = Outcome(
    name="tiny", state="complete", metric="accuracy", trial=2, trial_state="COMPLETE", params={"batch_size": 8, "momentum": None},
    config={"image_size": 16, "head": [8, 4]}, val=0.75, test=0.5, test_interval=(0.25, 0.75), interval_method="Wilson",
    test_rows=60, trials={"COMPLETE": 2, "PRUNED": 1, "FAILED": 1}, failures={"error": 1},
    rungs=[RungCheck(1, 5, 0.125), RungCheck(2, 1, None)], model="results/tiny/model", registered="models:/tiny@champion",
    tracking="sqlite:///mlflow.db", experiment_id="1", run_id="ab", seconds=90.5, details={"confusion": [[1, 0], [0, 1]]},
    ended_by="trials", task="classification", optimism=0.25, candidates=[Candidate(2, (0, 1), (0.75, 0.5), 0.625, 0)],
    baseline=Baseline(0, 0.5, 0.5, 1, SCORE, Difference(0.25, 0.5, "exact McNemar")), extras={"flips": SCORE}, notes=["a line"],
    exports=[Export("model.safetensors", 9, {1: 0.5, 8: 2.0}, 0.0), Export("model.onnx", problem="no")], version="1",
    champion=False, verdict="no better", front=POINTS, hypervolume=Hypervolume(4.5, {"accuracy": 0.0, "macs": 18.0}, [(0, 4.5)]),
)  # fmt: skip
INTERRUPTED = {"name": "tiny", "state": "interrupted", "reason": "stopped", "trials": {"COMPLETE": 1, "PRUNED": 0, "FAILED": 0}}
WRITTEN = json.loads(json.dumps(asdict(COMPLETE)))


def test_the_name_of_a_search_that_runs_is_not_to_be_removed(space_file, tmp_path, capsys):
    write_record(tmp_path / "tiny", space_file)
    with held(tmp_path / "tiny"):
        assert cli.main(["run", str(space_file), "--results", str(tmp_path)]) == 2
    who = f"is running there in process {os.getpid()} on {socket.gethostname()}"
    mend = "`status tiny` shows it; choose another --name"
    assert capsys.readouterr().err == f"search: error: {tmp_path / 'tiny'}: a search named 'tiny' {who}; {mend}\n"
    with pytest.raises(SpaceError, match="a search named 'tiny' stands there; .* or remove that folder"):
        claim(tmp_path, "tiny")


def test_a_search_that_has_only_been_made_runs_too(tmp_path):
    with made(tmp_path / "tiny"), pytest.raises(SpaceError, match="'tiny' is running there in process"):
        claim(tmp_path, "tiny")


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def lockless(request, monkeypatch) -> str:
    """Let every disk be without file locks; return what the system then says."""

    def flock(file: Any, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)
    return os.strerror(request.param)


def test_a_disk_without_locks_is_named_and_nothing_is_left_there(lockless, tmp_path):
    with pytest.raises(EnvironmentProblem) as problem, made(tmp_path / "tiny"):
        pass
    what = f"{tmp_path / 'tiny'}: its disk has no file locks ({lockless})"
    assert str(problem.value) == f"{what}; mount it with them, or give another --results"
    assert not (tmp_path / "tiny").exists()


def test_on_a_disk_without_locks_searches_can_be_looked_at(space_file, tmp_path, capsys, lockless):
    write_record(tmp_path / "tiny", space_file, torn=True)
    (tmp_path / "tiny" / "lock").write_text("4711 on another\n")
    assert holder(tmp_path / "tiny") is None
    for command in ("status", "list", "best"):
        assert cli.main([command, "--results", str(tmp_path)]) == 0
        assert "killed" in capsys.readouterr().out


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("there", "problem", "left"), [
    ({}, FULL, False), ({}, EnvironmentProblem("x"), False), ({}, SpaceError("x"), False), ({}, KeyboardInterrupt(), False),
    ({RECORD: ""}, FULL, False), ({RECORD: "{}\n"}, FULL, True), ({RECORD: "{}\n"}, Interrupted(2), True),
    ({RECORD: "{}\n"}, SpaceError("x"), False), ({RECORD: "{}\n", STUDY: ""}, SpaceError("x"), True), ({STUDY: ""}, FULL, True),
])  # fmt: skip
def test_what_ends_a_search_before_it_begins_leaves_no_folder(there, problem, left, tmp_path):
    folder = tmp_path / "results" / "tiny"
    with pytest.raises(type(problem)), made(folder):
        for name, text in there.items():
            (folder / name).write_text(text)
        raise problem
    assert folder.exists() == left


def test_a_summary_is_read_as_it_was_written(tmp_path):
    write_summary(tmp_path, WRITTEN)
    assert json.loads(json.dumps(read_summary(tmp_path))) == WRITTEN
    write_summary(tmp_path, INTERRUPTED)
    assert read_summary(tmp_path) == INTERRUPTED


def test_a_summary_of_before_the_fields_with_defaults_is_read(tmp_path):
    later = {one.name for one in fields(Outcome) if (one.default, one.default_factory) != (MISSING, MISSING)}
    write_summary(tmp_path, {name: value for name, value in WRITTEN.items() if name not in later})
    defaults = {"task": "", "formula": None, "optimism": None, "candidates": [], "baseline": None, "extras": {}, "notes": [],
                "exports": [], "version": "", "champion": True, "verdict": "", "front": [], "hypervolume": None}
    assert later == defaults.keys()
    assert json.loads(json.dumps(read_summary(tmp_path))) == json.loads(json.dumps(asdict(replace(COMPLETE, **defaults))))


@pytest.mark.parametrize("summary", [
    [], "complete", {}, {**INTERRUPTED, "trials": None}, {**INTERRUPTED, "trials": {"COMPLETE": "1"}}, {**INTERRUPTED, "name": 3},
    {**INTERRUPTED, "reason": ["x"]}, {**INTERRUPTED, "state": "lost"}, {**INTERRUPTED, "state": []}, {**INTERRUPTED, "more": 1},
    {"name": "tiny", "state": "running", "pid": "1"}, {**dict.fromkeys(WRITTEN), "state": "complete"},
    {"name": "tiny", "state": "complete"}, {**WRITTEN, "val": 10**400}, {**WRITTEN, "seconds": float("inf")},
    {**WRITTEN, "ended_by": "magic"}, {**WRITTEN, "trials": {"COMPLETE": 1}}, {**WRITTEN, "name": "../" * 99},
    {**WRITTEN, "rungs": [{"epoch": 1, "trials": 9, "correlation": None}]}, {**WRITTEN, "exports": [{"file": "model.onnx"}]},
    {**WRITTEN, "candidates": [{**WRITTEN["candidates"][0], "failed": 2**62}]},
    {**WRITTEN, "front": [WRITTEN["front"][0], {**WRITTEN["front"][1], "values": {"accuracy": 0.5}}]},
    {**WRITTEN, "hypervolume": {**WRITTEN["hypervolume"], "history": [[0]]}},
], ids=lambda summary: f"{summary!s:.60}")  # fmt: skip
def test_a_summary_that_no_search_has_written_is_damaged(summary, space_file, tmp_path, capsys):
    folder = write_record(tmp_path / "tiny", space_file)
    (folder / SUMMARY).write_text(json.dumps(summary))
    for command in ("list", "best"):
        assert cli.main([command, "--results", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "tiny" in printed and "unknown" in printed
    (folder / RECORD).unlink()
    with pytest.raises(SpaceError, match="no search has written its summary there"):
        read_summary(folder)


def test_the_report_of_a_search_with_a_damaged_summary_is_of_its_record(space_file, tmp_path):
    folder: Path = write_record(tmp_path / "tiny", space_file)
    (folder / SUMMARY).write_text(json.dumps({**dict.fromkeys(WRITTEN), "state": "complete"}))
    assert cli.main(["report", "--results", str(tmp_path)]) == 0
    assert "This search is unknown: its search.json is missing or damaged" in (folder / "report.html").read_text()
