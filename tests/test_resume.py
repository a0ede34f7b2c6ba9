"""Searches that are killed, stopped, moved or extended, and go on."""

from __future__ import annotations

import dataclasses
import fcntl
import glob
import hashlib
import json
import os
import platform
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from search import provenance
from search.clock import Clock
from search.endings import Stop
from search.errors import EnvironmentProblem, Interrupted, SpaceError
from search.folder import SUMMARY, find, held, read_summary, tidy, write_summary
from search.models import find_model
from search.plan import make_plan
from search.progress import Silent
from search.record import FILE, Recorder, begin_record, read_record
from search.resume import changed, changes, finish_search, resume_search, say_damaged, whole_uri
from search.run import run_search
from search.space import load_space
from search.stores import DEFAULT, default_uri, noted
from tests.conftest import Told, write_images, write_space
from tests.invariants import MARK, alive, check, query
from tests.test_status import write_record
from trainables.files import checkpoint_folder, error_file, repeat_file, sealed_by, weights_file

ROOT = Path(__file__).parent.parent
LONG = ["--set", "schedule.max_epochs=60", "--set", "schedule.reduction_factor=2", "--set", "schedule.grace_period=20"]
ONE_AT_A_TIME = ["--set", f"resources.cpus_per_trial={len(os.sched_getaffinity(0))}"]


def start(*arguments: str, mark: str) -> subprocess.Popen:
    """Start a command in a process of its own, whose children carry ``mark``."""
    return subprocess.Popen([sys.executable, "-m", "search", *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, MARK: mark})


def wait_for(process: subprocess.Popen, folder: Path, epochs: int) -> None:
    """Wait until the record in ``folder`` holds so many epochs."""
    while (folder / FILE).exists() is False or (folder / FILE).read_bytes().count(b'"event": "epoch"') < epochs:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


def numbers(folder: Path) -> list[tuple]:
    """Return what must not depend on interruptions: each trial's parameters, scores and end."""
    return [(trial.params, [row["accuracy"] for row in trial.rows], trial.ending) for trial in read_record(folder).trials]


def interrupt(space_file: Path, results: Path, number: int, epochs: int, *arguments: str) -> tuple[int, str]:
    """Run a search and send it a signal after so many epochs; return its exit status and what it said of it."""
    process = start("run", str(space_file), "--results", str(results), *LONG, *arguments, mark=str(results))
    wait_for(process, results / "tiny", epochs)
    process.send_signal(number)
    return process.wait(60), process.communicate()[1]


@pytest.mark.slow
def test_killed_and_resumed(space_file, tmp_path):
    """A SIGKILL in the middle: the search ends with as many trials, every epoch once, and its champion."""
    results = tmp_path / "results"
    assert interrupt(space_file, results, signal.SIGKILL, 25)[0] == -signal.SIGKILL
    before = read_record(results / "tiny")
    assert before.state == "running" and before.trials.running()
    process = start("resume", "tiny", "--results", str(results), mark=str(results))
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    check(results / "tiny", 3, before=before, errors=errors, mark=str(results))
    assert "models:/tiny@champion" in printed and not list((results / "tiny").glob("checkpoints/*"))


@pytest.mark.parametrize("summary", [None, b"", b'{"name": "tiny", "sta'], ids=["gone", "empty", "torn"])
def test_a_search_is_found_by_its_record(space_file, tmp_path, summary):
    folder = write_record(tmp_path / "tiny", space_file, problem=Interrupted(15))
    (folder / SUMMARY).unlink(missing_ok=True)
    if summary is not None:
        (folder / SUMMARY).write_bytes(summary)
    assert find(tmp_path, "tiny") == find(tmp_path, None) == folder
    known = read_summary(folder)
    assert known["state"] == "unknown" and "`status tiny` reads its record, and `resume` goes on" in known["reason"]


def test_a_search_that_nothing_works_on_is_not_running(space_file, tmp_path):
    folder = write_record(tmp_path / "tiny", space_file)
    write_summary(folder, {"name": "tiny", "state": "running", "pid": 1})
    assert read_summary(folder)["state"] == "killed"
    with held(folder):
        assert read_summary(folder)["state"] == "running"


def test_what_is_no_longer_as_it_was_is_said(space_file, tmp_path):
    record = begin_record(tmp_path, load_space(space_file), "fingerprint")
    record = dataclasses.replace(record, versions={**provenance.versions(), "torch": "1.0"})
    now = provenance.versions()["torch"]
    assert list(changes(record)) == [(f"torch was 1.0 and is {now}", True)]
    build = f"{provenance.release('torch', now)}+other"
    record = dataclasses.replace(record, versions={"torch": build, "python": "3.99.1"})
    python = platform.python_version()
    assert list(changes(record)) == [(f"torch was {build} and is {now}", False), (f"python was 3.99.1 and is {python}", True)]
    record = dataclasses.replace(record, versions={"python": f"{python.rpartition('.')[0]}.99"})
    [(_, grave)] = changes(record)
    assert not grave
    record = dataclasses.replace(record, versions={}, origin={"code": provenance.code(), "git_commit": "0123456789abcdef"})
    assert not list(changes(record))
    record = dataclasses.replace(record, origin={"code": "another", "git_commit": "0123456789abcdef"})
    [(line, grave)] = changes(record)
    commits = f" (commit 0123456789, now {head:.10})" if (head := provenance.commit()) else ""
    assert line == f"the code of this tool has changed{commits}" and grave
    earlier = dataclasses.replace(record, origin={"git_commit": "0123456789abcdef"})
    assert list(changes(earlier)) == ([(line, False)] if head else [])
    space_file.write_text(space_file.read_text().replace("simple_cnn", "conv3_fc2"))
    line, grave = list(changes(record))[-1]
    assert "was edited since: the search goes on with what it began with" in line and not grave


def test_nothing_is_kept_of_trials_that_the_record_knows_not_of(space_file, tmp_path):
    folder = write_record(tmp_path / "tiny", space_file, problem=Interrupted(15))
    [running] = (record := read_record(folder)).trials.running()
    kept, lost = ([weights_file(folder, number), sealed_by(weights_file(folder, number)), repeat_file(folder, number, "b"),
                   error_file(folder, number), checkpoint_folder(folder, number) / "1.json"]
                  for number in (running.number, running.number + 1))
    for path in (*kept, *lost):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    tidy(folder, record.trials)
    assert all(path.exists() for path in kept) and not any(path.exists() for path in lost)
    assert not checkpoint_folder(folder, running.number + 1).exists()


def test_damaged_checkpoints_are_named(space_file, tmp_path):
    folder = write_record(tmp_path / "tiny", space_file, problem=Interrupted(15))
    [running] = (record := read_record(folder)).trials.running()
    (place := checkpoint_folder(folder, running.number)).mkdir(parents=True)
    for epoch in (1, 2):
        (place / f"{epoch}.safetensors").write_bytes(content := bytes([epoch]))
        (place / f"{epoch}.json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))
    say_damaged(record, (said := []).append)
    assert not said
    (place / "2.safetensors").write_bytes(b"other")
    say_damaged(record, said.append)
    assert said == [f"{place}/2.safetensors is damaged, or its card: trial {running.number} goes on from epoch 1"]
    (place / "1.json").write_text("[")
    say_damaged(record, said.append)
    assert said[2] == f"{place}/1.safetensors is damaged, or its card: trial {running.number} begins anew"


def test_a_network_and_weights_of_the_users_own_may_not_change(images, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "changing.py").write_text("def build(channels, outputs, size, dropout):\n    return None\n")
    (tmp_path / "start.pth").write_bytes(b"one")
    overrides = ["space.architecture=changing:build", f"space.weights={tmp_path / 'start.pth'}"]
    record = begin_record(tmp_path, load_space(write_space(tmp_path / "tiny.yaml", images), overrides), "fingerprint")
    with Recorder(record, Clock(None), pytest.fail) as recorder:
        recorder.start(record.space.budget, None)
    record = read_record(tmp_path)
    assert not list(changes(record))
    for name, what in {"changing.py": "changing:build", "start.pth": str(tmp_path / "start.pth")}.items():
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content + b"\n")
        [(line, grave)] = changes(record)
        assert re.fullmatch(f"{re.escape(what)} was [0-9a-f]{{16}} and is [0-9a-f]{{16}}", line) and grave
        (tmp_path / name).write_bytes(content)
    (tmp_path / "start.pth").unlink()
    [(line, grave)] = changes(record)
    assert line.endswith(" and is not there") and grave


@pytest.mark.parametrize("again", [resume_search, finish_search])
def test_another_release_is_refused_unless_forced(again, space_file, tmp_path, monkeypatch):
    folder = write_record(tmp_path / "tiny", space_file, problem=Interrupted(15))
    before, number = (folder / FILE).read_bytes(), provenance.versions()["optuna"]
    monkeypatch.setattr(provenance, "versions", lambda: {**read_record(folder).versions, "optuna": "4.9"})
    mend = "trials may not compare; go on with what it was, or with --force"
    with pytest.raises(SpaceError, match=re.escape(f"optuna was {number} and is 4.9: {mend}")):
        again(folder)
    assert (folder / FILE).read_bytes() == before
    said = []
    with pytest.raises(SpaceError, match="data.root"):
        again(folder, force=True, overrides=["data.root=/nowhere"], progress=Told(said))
    assert f"optuna was {number} and is 4.9" in said


MOVED = ["data.root=elsewhere", "resources.cpus_per_trial=3", "budget.patience=7", "budget.trials=null",
         "tracking.uri=http://me:secret@host"]


def test_what_may_change_is_changed_and_remembered(space_file, tmp_path):
    """Also by searches that go on twice, of which the later changes win; nothing else is changed, and no password is kept."""
    folder = write_record(tmp_path / "tiny", space_file, problem=Interrupted(15))
    first = read_record(folder)
    for overrides in (MOVED, ["budget={minutes: 9}", "data.root=back"]):
        record = changed(dataclasses.replace(read_record(folder), tracking="sqlite:///given.db"), overrides)
        with Recorder(record, Clock(None), print) as recorder:
            recorder.start(record.space.budget, record.tracking)
    space = record.space
    assert (space.data.root, space.resources.cpus_per_trial) == ("back", 3)
    assert vars(space.budget) == {"trials": None, "minutes": 9.0, "gpu_hours": None, "patience": None}
    again = read_record(folder)
    assert "secret" not in (folder / FILE).read_text() and again.space.tracking.uri == "http://me:***@host"
    assert again.space.where("resources.cpus_per_trial") == "--set resources.cpus_per_trial=3"
    free = {"data": first.space.data, "resources": first.space.resources, "budget": first.space.budget,
            "tracking": first.space.tracking, "document": first.space.document}
    assert dataclasses.replace(again.space, **free) == first.space


def test_an_override_wins_over_an_earlier_option(space_file, tmp_path):
    record = read_record(write_record(tmp_path / "tiny", space_file, problem=Interrupted(15)))
    record = dataclasses.replace(record, tracking="http://before")
    assert changed(record, ["data.root=x"]).tracking == "http://before" and changed(record, MOVED).tracking is None


class Stopping(Silent):
    """Stops a search once it has begun, before its workers start."""

    def phase(self, text: str) -> None:
        if text == "starting workers":
            raise Interrupted(15)


@pytest.mark.parametrize(("before", "again"), [("theirs", resume_search), ("ours", finish_search)])
def test_a_search_goes_on_where_it_is_recorded(before, again, space_file, tmp_path, monkeypatch):
    """Whatever MLFLOW_TRACKING_URI says by then; the store in its results folder moves with them."""
    monkeypatch.setattr("search.run.begun", lambda session: nullcontext())
    theirs = tmp_path / "theirs" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", default_uri(theirs.parent) if before == "theirs" else "")
    with pytest.raises(Interrupted):
        run_search(load_space(space_file), results=tmp_path / "results", progress=Stopping())
    (tmp_path / "results").rename(results := tmp_path / "moved")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "" if before == "theirs" else default_uri(theirs.parent))
    with pytest.raises(Interrupted):
        again(results / "tiny", progress=Stopping())
    store, other = (theirs, results / "mlflow.db") if before == "theirs" else (results / "mlflow.db", theirs)
    assert query(store, "select count(*) from runs") == [(1,)] and not other.exists()


@pytest.mark.parametrize(
    ("uri", "is_default"),
    [("sqlite:///100%25/mlflow.db", True), ("sqlite:///100%25/../100%25/mlflow.db", True), ("sqlite:///mlflow.db", False),
     ("sqlite:///100%25/mlflow.db?timeout=60", False), ("http://me:secret@host", False)],
)
def test_a_record_knows_its_own_store_by_whatever_name(uri, is_default, space_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert noted(default_uri(Path("100%")), Path("100%")) == DEFAULT
    assert noted(uri, Path("100%")) == (DEFAULT if is_default else uri)
    record = dataclasses.replace(begin_record(tmp_path, load_space(space_file), "fingerprint"), tracking=DEFAULT)
    assert whole_uri(dataclasses.replace(record, folder=Path("moved/tiny")), None) == default_uri(tmp_path / "moved")


def test_a_password_is_taken_from_the_environment_where_the_rest_is_the_same(space_file, tmp_path, monkeypatch):
    record = begin_record(tmp_path, load_space(space_file), "fingerprint")
    kept = dataclasses.replace(record, tracking="http://me:***@host")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host")
    assert whole_uri(kept, None) == "http://me:secret@host" and whole_uri(kept, "http://other") == "http://other"
    assert whole_uri(record, None) is None, "as an earlier version left it"
    space = load_space(space_file, ["tracking.uri=http://me:***@host"])
    assert whole_uri(dataclasses.replace(record, space=space), None) == "http://me:secret@host"
    for other in ("http://me:secret@elsewhere", ""):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
        with pytest.raises(SpaceError, match="is not kept; give --tracking-uri or set MLFLOW_TRACKING_URI"):
            whole_uri(kept, None)


def test_what_a_finished_search_lacks_is_said(space_file, tmp_path):
    """Its hours of GPUs are spent; on a machine without a GPU, what else can be given."""
    folder = write_record(tmp_path / "tiny", space_file, "budget.minutes=null")
    text, none = (folder / FILE).read_text(), ["resources.gpus=0"]

    def refused(gpu_hours: float, **more: object) -> str:
        (folder / FILE).write_text(text.replace('"gpu_hours": null', f'"gpu_hours": {gpu_hours}'))
        with pytest.raises(SpaceError) as found:
            resume_search(folder, **more)
        return str(found.value)

    spent = f"{folder}: its 0.01 GPU-hours leave no time for another trial; give more by --set budget.gpu_hours=H"
    assert refused(0.01, trials=9) == refused(0.01, trials=9, minutes=50) == spent
    assert refused(0.01, overrides=none) == f"{folder}: the search is complete; extend it with --trials +N or --minutes +M"
    what = "budget.gpu_hours: {} hours of a GPU, and no GPU is used here; give budget.minutes, or remove it"
    assert refused(0.01, trials=9, overrides=["budget.gpu_hours=2", *none]) == f"--set budget.gpu_hours=2: {what.format(2)}"
    mend = "here by --set budget.gpu_hours=VALUE, since the file is not read again"
    assert refused(9, trials=9, overrides=none) == f"{space_file}:10: {what.format(9)}; {mend}"


@pytest.mark.slow
def test_a_relay(tmp_path):
    """A search that was stopped goes on where its images are elsewhere, with fewer cores; and again, which needs no reminder."""
    results, root = tmp_path / "results", write_images(tmp_path / "there")
    file = write_space(tmp_path / "tiny.yaml", root)
    plan, space = make_plan(load_space(file)), load_space(file, ["resources.cpus_per_trial=1000", "budget={gpu_hours: 3}"])
    (results / "tiny").mkdir(parents=True)
    record = begin_record(results / "tiny", space, plan.catalog.fingerprint, plan.about)
    with pytest.raises(Interrupted), Recorder(record, Clock(None), print) as recorder:
        recorder.start(space.budget, None)
        raise Interrupted(15)
    root.rename(here := tmp_path / "here")
    write_images(root, seed=1)
    overrides = ["resources.cpus_per_trial=1", "resources.gpus=0", "budget={trials: 2}"]
    with pytest.raises(EnvironmentProblem, match="there' have changed since the search 'tiny' began; put them back"):
        resume_search(results / "tiny", overrides=overrides)
    shutil.rmtree(root)
    resume_search(results / "tiny", overrides=[*overrides, f"data.root={here}"])
    before = check(results / "tiny", 2)
    assert before.space.data.root == str(here) and before.space.resources.cpus_per_trial == 1
    resume_search(results / "tiny", trials=1)
    check(results / "tiny", 3, before=before)


@pytest.mark.slow
def test_a_search_that_lost_patience_gets_it_anew(space_file, tmp_path):
    results = tmp_path / "results"
    outcome = run_search(load_space(space_file, ["budget={trials: 40, patience: 1}", *ONE_AT_A_TIME[1::2]]), results=results)
    before = read_record(results / "tiny")
    assert outcome.ended_by == Stop.PATIENCE and before.trials.since_best() == 1
    outcome = resume_search(results / "tiny", trials=1)
    record = check(results / "tiny", sum(outcome.trials.values()), before=before)
    assert outcome.ended_by == Stop.PATIENCE and len(record.trials) > len(before.trials)
    assert record.space.budget.trials == 41 and record.space.budget.patience == 1


@pytest.mark.slow
def test_a_finished_search_is_extended(space_file, tmp_path):
    results = tmp_path / "results"
    first = run_search(load_space(space_file), results=results)
    before = read_record(results / "tiny")
    with pytest.raises(SpaceError, match=r"the search is complete; extend it with --trials \+N or --minutes \+M"):
        resume_search(results / "tiny")
    with pytest.raises(SpaceError, match=r"its 3 trials are done; give --trials \+N, too"):
        resume_search(results / "tiny", minutes=1)
    with held(results / "tiny"), pytest.raises(SpaceError, match=rf"running in process {os.getpid()} on .*; wait for it"):
        resume_search(results / "tiny", trials=2)
    moved = tmp_path / "elsewhere" / "results"
    shutil.copytree(results, moved)
    shutil.rmtree(results)
    space_file.write_text(space_file.read_text().replace("simple_cnn", "conv3_fc2"))
    process = start("resume", "tiny", "--results", str(moved), "--trials", "+2", "--json", mark=str(moved))
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and "was edited since: the search goes on with what it began with" in errors, errors
    record, second = check(moved / "tiny", 5, before=before, errors=errors, mark=str(moved)), json.loads(printed)
    assert second["run_id"] == first.run_id and second["seconds"] > first.seconds and not results.exists()
    assert {trial.config.architecture for trial in record.trials} == {"simple_cnn"} and record.space.budget.trials == 5


def test_a_signal_while_ray_starts_beside_the_store(space_file, tmp_path):
    """Ray's start lets SIGTERM end the process with a dump, until we have it back; here MLflow's store takes longer."""
    results = tmp_path / "results"
    results.mkdir()
    with open(results / "mlflow.db.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start("run", str(space_file), "--results", str(results), mark=str(results))
        while not glob.glob(f"{tempfile.gettempdir()}/search-*/ray/session_*_{process.pid}/logs/python-core-driver-*"):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        time.sleep(5)  # what Ray still does then takes half a second
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and said.strip().endswith("nothing was registered, and `resume` goes on with it")


def test_a_terminal_that_is_closed_stops_a_search(space_file, tmp_path):
    results = tmp_path / "results"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "search", "run", str(space_file), "--results", str(results), *LONG]
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    threading.Thread(target=read_all, args=(ours,), daemon=True).start()
    wait_for(process, results / "tiny", 5)
    for _ in range(2):  # as the shell and the kernel may both send it
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(0.2)
    assert process.wait(60) == 129
    assert read_record(results / "tiny").state == "interrupted" and not (results / "tiny" / "model").exists()


def read_all(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 1000):
            pass


@pytest.mark.slow
def test_a_search_that_is_stopped_says_so_and_waits(space_file, tmp_path):
    """SIGTERM: nothing runs on, nothing is registered, MLflow's runs are KILLED; changed data is refused, then it goes on."""
    root, results = write_images(tmp_path / "own"), tmp_path / "results"
    text = space_file.read_text()
    space_file.write_text(text.replace(text.split("root: ")[1].split(",")[0], str(root)))
    status, said = interrupt(space_file, results, signal.SIGTERM, 25)
    assert status == 143 and said.strip().endswith("nothing was registered, and `resume` goes on with it")
    assert read_record(results / "tiny").state == "interrupted" and read_record(results / "tiny").trials.running()
    statuses = {status for (status,) in query(results / "mlflow.db", "select status from runs")}
    assert "KILLED" in statuses and "RUNNING" not in statuses
    assert not alive(str(results))
    added = shutil.copy(root / "left" / "00.png", root / "lower" / "new.png")
    with pytest.raises(EnvironmentProblem, match="have changed since the search 'tiny' began"):
        resume_search(results / "tiny")
    Path(added).unlink()
    resume_search(results / "tiny")
    check(results / "tiny", 3)


@pytest.mark.slow
def test_interrupted_again_and_again_it_is_the_search_that_was_not(space_file, tmp_path):
    """One trial at a time, killed four times, the last time when the model is asked: the same parameters, scores and ends."""
    shorter = ["--set", "schedule.max_epochs=30", "--set", "schedule.grace_period=10"]
    space = load_space(space_file, [*LONG[1::2], *shorter[1::2], *ONE_AT_A_TIME[1::2], "budget.trials=11"])
    run_search(space, results=tmp_path / "whole")
    results = tmp_path / "results"
    command = ["run", str(space_file), *LONG, *shorter, *ONE_AT_A_TIME, "--trials", "11", "--results", str(results)]
    for epochs in (10, 50, 100, 150):
        process = start(*command, mark=str(results))
        wait_for(process, results / "tiny", epochs)
        process.kill()
        process.communicate()
        command = ["resume", "tiny", "--results", str(results)]
    process = start(*command, mark=str(results))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    check(results / "tiny", 11, errors=errors, mark=str(results))
    assert numbers(results / "tiny") == numbers(tmp_path / "whole" / "tiny")


@pytest.mark.slow
def test_killed_in_the_finish_only_the_finish_is_done_again(space_file, tmp_path):
    results = tmp_path / "results"
    first = run_search(load_space(space_file), results=results)
    path = results / "tiny" / FILE
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]) + b'{"event": "st')
    before = read_record(results / "tiny")
    assert before.state == "running"
    second = resume_search(results / "tiny")
    check(results / "tiny", 3, before=before)
    assert (second.trial, second.test, second.run_id) == (first.trial, first.test, first.run_id)
    assert query(results / "mlflow.db", "select version from model_versions") == [(1,)]
    whole = (weights := results / "tiny" / "model" / "model.safetensors").read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(SpaceError, match="the weights are not those that were written, .*; `finish tiny` writes it again"):
        find_model(results, ["tiny", "a.png"])
    third = finish_search(results / "tiny")
    assert (third.trial, third.test, third.run_id) == (first.trial, first.test, first.run_id) and weights.read_bytes() == whole
    check(results / "tiny", 3, before=before)
    assert query(results / "mlflow.db", "select version from model_versions") == [(1,)]
    with pytest.raises(SpaceError, match="the search is complete; `best` shows what it found"):
        finish_search(results / "tiny")
