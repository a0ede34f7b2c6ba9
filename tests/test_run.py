"""Whole searches, small and real: Ray, Optuna's storage, MLflow on SQLite and the training loop."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, nullcontext
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pytest
import torch
from mlflow import MlflowClient
from ray._common.utils import get_ray_address_file

from search.cli import main
from search.clock import Clock
from search.endings import Kind, State
from search.errors import EnvironmentProblem, Interrupted, NoUsableTrial, SpaceError
from search.interrupt import Interrupts
from search.plan import Plan, decode, make_plan
from search.progress import Progress, Silent
from search.record import read_record
from search.run import run_search
from search.space import load_space
from search.stores import default_store
from search.trials import Trials
from search.tuning import RETRIES, Session, begun, search_trials, session_of
from tests import fits
from tests.conftest import free_port, write_images, write_space
from tests.invariants import check
from trainables.export import predict, read_model, task_of
from trainables.trial import timed

ROOT = Path(__file__).parent.parent
HANDLER = signal.getsignal(signal.SIGINT)


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'optuna.db'}")


def query(store: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(store) as connection:
        return connection.execute(sql).fetchall()


def registered(results: Path) -> list[str]:
    uri = f"sqlite:///{results / 'mlflow.db'}"
    return [model.name for model in MlflowClient(tracking_uri=uri, registry_uri=uri).search_registered_models()]


def ask(process: subprocess.Popen, url: str, body: bytes) -> dict:
    """Return what a server answers, once it is up."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    for _ in range(120):
        assert process.poll() is None
        try:
            return json.loads(urllib.request.urlopen(request, timeout=30).read())
        except urllib.error.URLError:
            time.sleep(1)
    raise TimeoutError(url)


def drive(plan: Plan, folder: Path, fit, clock: Clock | None = None, session: Session | None = None) -> Trials:
    """Run the trials of ``plan`` with ``fit`` for the training loop, without MLflow and without a finish."""
    folder.mkdir(parents=True)
    trials = Trials(plan.space.objective.name, plan.space.objective.mode)
    data, clock = decode(plan, folder), clock or Clock(None)
    with Interrupts() as interrupts, search_trials(plan, folder, data, trials, clock, interrupts, session=session, fit=fit):
        return trials


@pytest.fixture(scope="module")
def searched(tmp_path_factory, images):
    """One real search: its results folder, its outcome and what it printed."""
    folder = tmp_path_factory.mktemp("searched")
    space = load_space(write_space(folder / "tiny.yaml", images, trials=4, epochs=3))
    shown = io.StringIO()
    outcome = run_search(space, results=folder / "results", progress=Progress(shown))
    return folder / "results", outcome, shown.getvalue()


class TestOneSearch:
    def test_ends_with_a_scored_and_registered_model(self, searched):
        results, outcome, _ = searched
        assert sum(outcome.trials.values()) == 4
        assert outcome.test >= 0.9 and outcome.test_interval[0] < outcome.test <= outcome.test_interval[1]
        assert outcome.test_rows == 12
        assert outcome.registered == "models:/tiny@champion" and registered(results) == ["tiny"]
        assert json.loads((results / "tiny" / "search.json").read_text()) == json.loads(json.dumps(dataclasses.asdict(outcome)))

    def test_optuna_and_mlflow_hold_the_same_trials(self, searched):
        results, outcome, _ = searched
        told = {trial.number: trial for trial in study_of(results / "tiny").trials}
        runs = query(results / "mlflow.db", """
            select cast(t.value as int), s.value, r.status from runs r
            join tags t on t.run_uuid = r.run_uuid and t.key = 'trial'
            join tags s on s.run_uuid = r.run_uuid and s.key = 'state'""")
        assert {number: state for number, state, _ in runs} == {n: trial.state.name for n, trial in told.items()}
        assert {status for _, _, status in runs} == {"FINISHED"}
        assert outcome.params == told[outcome.trial].params
        assert outcome.val == told[outcome.trial].value

    def test_mlflow_holds_every_epoch_and_parameter(self, searched):
        results, outcome, _ = searched
        epochs = {trial.number: len(trial.intermediate_values) for trial in study_of(results / "tiny").trials}
        rows = query(results / "mlflow.db", """
            select cast(t.value as int), count(*) from metrics m
            join tags t on t.run_uuid = m.run_uuid and t.key = 'trial' where m.key = 'accuracy' group by 1""")
        assert dict(rows) == epochs
        params = dict(query(results / "mlflow.db", f"""
            select p.key, p.value from params p
            join tags t on t.run_uuid = p.run_uuid and t.key = 'trial' and t.value = '{outcome.trial}'"""))
        assert params == {key: str(value) for key, value in outcome.config.items()}

    def test_the_parent_run_tells_where_the_numbers_come_from(self, searched):
        results, outcome, _ = searched
        tags = dict(query(results / "mlflow.db", f"select key, value from tags where run_uuid = '{outcome.run_id}'"))
        assert {"data_fingerprint", "device", "seed", "version_torch", "version_python", "best_trial"} <= set(tags)
        children = query(results / "mlflow.db",
                         f"select count(*) from tags where key = 'mlflow.parentRunId' and value = '{outcome.run_id}'")
        assert children == [(4,)]
        assert query(results / "mlflow.db", "select count(*) from runs where status = 'RUNNING'") == [(0,)]

    def test_the_registered_model_gives_what_the_files_give(self, searched):
        results, outcome, _ = searched
        images = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16), np.uint8)
        with default_store(outcome.tracking):
            served = mlflow.pyfunc.load_model(outcome.registered)
        assert served.metadata.signature is not None and served.metadata.saved_input_example_info is not None
        model, card = read_model(Path(outcome.model))
        assert card.target.names == ("left", "lower")
        expected = predict(model, task_of(card), images)
        np.testing.assert_allclose(served.predict(images.astype(np.float32) / 255), expected, atol=1e-6)

    def test_a_version_tells_what_it_is_worth(self, searched):
        results, outcome, _ = searched
        client = MlflowClient(tracking_uri=outcome.tracking, registry_uri=outcome.tracking)
        version = client.get_model_version_by_alias("tiny", "champion")
        assert outcome.champion and outcome.version == str(version.version)
        assert version.description == (Path(outcome.model) / "README.md").read_text()
        for expected in (f"{outcome.test:.4f}", "| on the validation rows", "left, lower", "## Use", "## Limits"):
            assert expected in version.description
        assert float(version.tags["test"]) == outcome.test and version.tags["objective"] == "accuracy"
        metrics = {metric.key: metric.value for metric in client.get_logged_model(version.tags["model_id"]).metrics}
        assert metrics["test"] == outcome.test

    def test_the_files_of_the_model_agree(self, searched):
        results, outcome, _ = searched
        weights, onnx = outcome.exports
        assert (weights.file, onnx.file) == ("model.safetensors", "model.onnx") and onnx.problem == ""
        for export in outcome.exports:
            assert export.bytes == (Path(outcome.model) / export.file).stat().st_size
            assert set(export.latency_ms) == {1, 64} and export.difference < 1e-4

    def test_predict_takes_it_from_the_registry(self, searched, images, capsys):
        results, outcome, _ = searched
        assert main(["predict", outcome.registered, str(images / "left"), "--results", str(results), "--json"]) == 0
        assert {row["class"] for row in json.loads(capsys.readouterr().out)} == {"left"}
        assert main(["predict", "models:/tiny/77", str(images / "left"), "--results", str(results)]) == 2
        assert "models:/tiny/77: MLflow has no such model" in capsys.readouterr().err

    @pytest.mark.slow
    def test_mlflow_serves_it(self, searched):
        results, outcome, _ = searched
        port = free_port()
        command = ["mlflow", "models", "serve", "-m", outcome.registered, "--env-manager", "local", "--port", str(port)]
        environment = {**os.environ, "MLFLOW_TRACKING_URI": outcome.tracking, "MLFLOW_REGISTRY_URI": outcome.tracking,
                       "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}  # it starts `uvicorn`
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment, start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            images = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16), np.uint8)
            body = json.dumps({"inputs": (images.astype(np.float32) / 255).tolist()}).encode()
            answer = ask(process, f"http://127.0.0.1:{port}/invocations", body)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        model, card = read_model(Path(outcome.model))
        np.testing.assert_allclose(answer["predictions"], predict(model, task_of(card), images), atol=1e-5)

    def test_the_process_is_left_as_it_was(self, searched):
        assert not {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} & set(os.environ)
        assert mlflow.active_run() is None
        assert signal.getsignal(signal.SIGINT) is HANDLER

    def test_says_how_each_trial_ended_and_prints_nothing_of_rays(self, searched):
        results, outcome, shown = searched
        assert shown.count("trial ") == 4 and "COMPLETE accuracy" in shown
        assert "ray" not in shown.lower()
        assert (results / "tiny" / "search.log").exists()

    def test_only_weights_that_may_still_be_chosen_are_kept(self, searched):
        results, _, _ = searched
        assert 1 <= len(list((results / "tiny" / "weights").glob("*.safetensors"))) <= 2, "the best one and the baseline"

    def test_it_takes_no_more_disk_than_its_plan_says(self, searched, images):
        results, _, _ = searched
        space = load_space(write_space(results.parent / "tiny.yaml", images))
        folders = [results / "cache", results / "artifacts", results / "tiny" / "weights", results / "tiny" / "model"]
        taken = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.stat().st_size > 50_000)
        assert 0 < taken <= make_plan(space).disk_bytes()

    def test_the_record_holds_the_same_trials(self, searched):
        results, outcome, _ = searched
        record = read_record(results / "tiny")
        told = {trial.number: trial for trial in study_of(results / "tiny").trials}
        assert record.state == "complete" and record.trials.counts() == outcome.trials
        assert {trial.number: trial.params for trial in record.trials} == {n: trial.params for n, trial in told.items()}
        assert {trial.number: {row["epoch"]: row["accuracy"] for row in trial.rows} for trial in record.trials} == {
            number: trial.intermediate_values for number, trial in told.items()}

    def test_a_second_search_of_that_name_is_refused(self, searched, images):
        results, _, _ = searched
        space = load_space(write_space(results.parent / "tiny.yaml", images))
        with pytest.raises(SpaceError, match="a search named 'tiny' stands there; extend it by `resume tiny --trials"):
            run_search(space, results=results)


def test_every_failure_ends_its_own_trial_and_only_that(tmp_path, space_file, monkeypatch):
    monkeypatch.setenv("ATTEMPTS", str(tmp_path / "attempts"))
    space = load_space(space_file, ["space.batch_size={choice: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}", "search=grid",
                                    "budget.trials=10", "space.learning_rate=0.003", "schedule.reduction_factor=1000"])
    trials = drive(make_plan(space), tmp_path / "faulty", fits.faulty)
    assert len(trials) == 10
    assert (tmp_path / "attempts").read_text().split() == ["one"] * (1 + RETRIES)
    expected = {1: Kind.NOT_FINITE, 2: Kind.ERROR, 3: Kind.OUT_OF_MEMORY, 4: Kind.BAD_REPORT, 5: Kind.BAD_REPORT,
                6: Kind.LOST, 7: Kind.ERROR, 8: None, 9: Kind.ERROR, 10: Kind.LOST}
    found = {trial.config.batch_size: trial.ending.kind for trial in trials}
    assert found == expected
    states = {trial.number: trial.state.name for trial in study_of(tmp_path / "faulty").trials}
    assert states == {trial.number: {"FAILED": "FAIL"}.get(trial.ending.state, trial.ending.state) for trial in trials}
    again = {trial.config.batch_size: trial.attempts for trial in trials if trial.attempts > 1}
    assert again == {6: 1 + RETRIES, 10: 1 + RETRIES}
    boom = next(trial for trial in trials if trial.config.batch_size == 2)
    assert boom.ending.message == "a bad day"
    assert "with a second line" in (tmp_path / "faulty" / "errors" / f"{boom.number:04d}.txt").read_text()


def test_a_worker_that_imported_torch_ahead_uses_its_trials_cores_alone(tmp_path, space_file):
    """Torch itself would take all cores of the machine."""
    plan = make_plan(load_space(space_file, ["budget.trials=2"]))
    with begun(session_of(plan)) as session:
        trials = drive(plan, tmp_path / "ahead", fits.threaded, session=session)
    assert [trial.ending.value for trial in trials] == [1, 1]


class TestBegun:
    """Ray's start in a thread, with something else in the place of Ray."""

    @staticmethod
    @contextmanager
    def session(events, problem=None):
        time.sleep(0.2)
        events.append("started")
        if problem:
            raise problem
        try:
            yield "ray", "machine"
        finally:
            events.append("left")

    def test_is_waited_for_and_left(self):
        events = []
        with begun(self.session(events)) as session:
            events.append("meanwhile")
            with session as found:
                assert found == ("ray", "machine")
            assert events == ["meanwhile", "started", "left"]
        assert events == ["meanwhile", "started", "left"]

    def test_tells_why_it_could_not_start_where_it_is_waited_for(self):
        problem = EnvironmentProblem("no room")
        with pytest.raises(EnvironmentProblem, match="no room"), begun(self.session([], problem)) as session:
            with session:
                pytest.fail("entered")

    @pytest.mark.parametrize("problem", [None, EnvironmentProblem("no room")])
    def test_is_left_where_what_was_done_meanwhile_failed(self, problem):
        events = []
        with pytest.raises(ZeroDivisionError), begun(self.session(events, problem)):
            raise ZeroDivisionError
        assert events == (["started"] if problem else ["started", "left"])


def test_a_trial_that_hangs_ends_alone_and_tells_where_it_stood(tmp_path, space_file):
    space = load_space(space_file, ["space.batch_size={choice: [1, 2]}", "space.learning_rate=0.003", "search=grid",
                                    "schedule.epoch_minutes=0.03"])
    trials = drive(make_plan(space), tmp_path / "hang", fits.hanging)
    assert {trial.config.batch_size: (trial.ending.state, trial.ending.kind) for trial in trials} == {
        1: (State.COMPLETE, None), 2: (State.FAILED, Kind.TIMEOUT)}
    [hung] = trials.ended(State.FAILED)
    stacks = f"errors/{hung.number:04d}.txt"
    assert hung.ending.message == f"an epoch took more than 0.03 minutes; {stacks} tells where it stood"
    assert "fits.py" in (tmp_path / "hang" / stacks).read_text() and "in hanging" in (tmp_path / "hang" / stacks).read_text()
    assert [path.name for path in (tmp_path / "hang" / "errors").iterdir()] == [Path(stacks).name]


@pytest.mark.slow
def test_a_trial_that_takes_the_machines_memory_is_the_only_one_that_is_lost(tmp_path, space_file, monkeypatch):
    """Ray kills its process, as on a machine whose memory ends; F9."""
    from ray._private.utils import get_system_memory, get_used_memory

    total, used = get_system_memory(), get_used_memory()
    if total - used < 8 * 2**30:
        pytest.skip("less than 8 GiB of memory are free")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(used + 4 * 2**30) / total:.3f}")
    space = load_space(space_file, ["space.batch_size={choice: [1, 2, 3]}", "space.learning_rate=0.003", "search=grid",
                                    "schedule.reduction_factor=1000"])
    trials = drive(make_plan(space), tmp_path / "hungry", fits.hungry)
    assert {trial.config.batch_size: (trial.ending.state, trial.ending.kind) for trial in trials} == {
        1: (State.COMPLETE, None), 2: (State.FAILED, Kind.LOST), 3: (State.COMPLETE, None)}


@pytest.mark.slow
def test_little_shared_memory_and_few_open_files_are_enough(tmp_path, space_file):
    """A container has little of /dev/shm, here less than the decoded images take; macOS lets a process open 256 files; B64."""
    little = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=8m tmpfs /dev/shm && ulimit -S -n 256 && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*little, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces on this machine")
    overrides = ["data.channels=3", "space.image_size=256", "schedule.max_epochs=1", "budget.trials=1", "space.split_ratio=0.5",
                 "finish.top=0"]
    words = ["run", str(space_file), "--results", str(tmp_path / "results"), *(f"--set={override}" for override in overrides)]
    assert 48 * 256**2 * 3 > 8 * 2**20  # what of the 60 images is not sealed
    done = subprocess.run([*little, sys.executable, "-m", "search", *words], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    check(tmp_path / "results" / "tiny", 1, errors=done.stderr)


class TestTimed:
    def test_epochs_within_the_limit_pass_and_leave_no_file(self, tmp_path):
        stacks = tmp_path / "errors" / "0001.txt"
        assert list(timed(["a", "b", "c"], 60, stacks)) == list("abc") == list(timed(iter("abc"), None, stacks))
        assert not stacks.exists()

    def test_what_an_epoch_raises_passes_and_leaves_no_file(self, tmp_path):
        stacks = tmp_path / "errors" / "0001.txt"
        with pytest.raises(ZeroDivisionError):
            list(timed((1 / epoch for epoch in (1, 0)), 60, stacks))
        assert not stacks.exists()

    def test_the_time_between_epochs_is_not_theirs(self, tmp_path):
        for _ in timed(iter("ab"), 0.1, tmp_path / "errors" / "0001.txt"):
            time.sleep(0.3)


def test_the_scheduler_stops_the_worse_trials_at_the_rungs(tmp_path, space_file):
    space = load_space(space_file, ["schedule.max_epochs=8", "budget.trials=12", "schedule.reduction_factor=2"])
    plan = make_plan(space)
    trials = drive(plan, tmp_path / "asha", fits.steady)
    assert plan.rungs == (1, 2, 4)
    stopped = trials.ended(State.PRUNED)
    assert stopped and {trial.epoch for trial in stopped} <= {1, 2, 4}
    assert all(trial.epoch == 8 for trial in trials.ended(State.COMPLETE))
    assert trials.best().ending.value == max(trial.ending.value for trial in trials)
    recorded = {trial.number: list(trial.intermediate_values) for trial in study_of(tmp_path / "asha").trials}
    assert recorded == {trial.number: list(range(1, trial.epoch + 1)) for trial in trials}


@pytest.fixture
def head_node_that_died(monkeypatch) -> None:
    """What `ray start --head` leaves that was killed: the address of a cluster at which nothing answers."""
    with tempfile.TemporaryDirectory(prefix="r") as place:  # a short path: Ray's sockets stand below it
        monkeypatch.setenv("RAY_TMPDIR", place)
        file = Path(get_ray_address_file(None))
        assert file.is_relative_to(place)
        file.parent.mkdir()
        file.write_text("127.0.0.1:1")
        yield


def test_a_clock_that_is_set_and_a_head_node_that_died_change_nothing(tmp_path, space_file, head_node_that_died, monkeypatch):
    """A day forward and back again, twice a second; F27 and F29."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400 * (int(2 * time.monotonic()) % 2))
    began = time.monotonic()
    trials = drive(make_plan(load_space(space_file, ["budget.trials=6"])), tmp_path / "jumps", fits.endless)
    took = time.monotonic() - began
    assert len(trials) == 6 and not trials.ended(State.FAILED)
    for trial in trials:
        stamps = [trial.started, *(row["time"] for row in trial.rows), trial.ended]
        assert stamps == sorted(stamps) and trial.seconds < took


@pytest.mark.slow
def test_a_gpu_that_torch_cannot_use_ends_the_search(tmp_path, space_file, monkeypatch):
    """The driver's tool tells of one, as it does where the driver is too old for torch; B64."""
    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU here")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho 81920\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(EnvironmentProblem, match=r"cannot use the GPU here \(.*\); update its driver, .*; then go on"):
        run_search(load_space(space_file), results=tmp_path / "results")
    assert read_record(tmp_path / "results" / "tiny").state == "failed" and not registered(tmp_path / "results")


def test_when_time_is_over_running_trials_are_stopped_and_told_so(tmp_path, space_file):
    space = load_space(space_file, ["schedule.max_epochs=10000", "budget.trials=100", "schedule.reduction_factor=1000"])
    plan = make_plan(space)
    with session_of(plan, fit=fits.endless) as ready:
        clock = Clock(9.0)
        trials = drive(plan, tmp_path / "late", fits.endless, clock, nullcontext(ready))
    assert clock.elapsed < 40
    assert Kind.BUDGET in {trial.ending.kind for trial in trials.ended(State.PRUNED)}
    assert not trials.running()


def test_a_search_without_a_usable_trial_registers_nothing(tmp_path, space_file):
    space = load_space(space_file, ["space.batch_size=2"])
    with pytest.raises(NoUsableTrial, match="no trial came to a score .3 failed; 3 error.; see .*errors"):
        run_search(space, results=tmp_path / "results", fit=fits.faulty)
    assert json.loads((tmp_path / "results" / "tiny" / "search.json").read_text())["state"] == "failed"
    assert not registered(tmp_path / "results")


@pytest.fixture
def straight_and_turned(tmp_path, images) -> list[Plan]:
    """Two searches that differ in their sealed rows alone: the second has those labels turned round."""
    sealed = write_images(tmp_path / "sealed", 10, seed=1)
    turned = tmp_path / "turned"
    shutil.copytree(sealed / "lower", turned / "left")
    shutil.copytree(sealed / "left", turned / "lower")
    plans = []
    for name, folder in (("straight", sealed), ("turned", turned)):
        text = write_space(tmp_path / f"{name}.yaml", images).read_text().replace("test: 0.2", f"test_root: {folder}")
        (tmp_path / f"{name}.yaml").write_text(text)
        space = load_space(tmp_path / f"{name}.yaml", [f"name={name}"])
        plans.append(make_plan(dataclasses.replace(space, resources=dataclasses.replace(space.resources, cpus_per_trial=2))))
    return plans


def test_nothing_that_a_trial_is_given_depends_on_the_sealed_rows(straight_and_turned, tmp_path):
    straight, turned = (decode(plan, tmp_path / plan.space.name)[16] for plan in straight_and_turned)
    assert straight.key == turned.key and straight.target == turned.target
    for one, other in ((straight.pool, turned.pool), (straight.val, turned.val)):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.targets, other.targets)


@pytest.mark.slow
def test_nothing_of_the_search_depends_on_the_sealed_rows(straight_and_turned, tmp_path):
    """The same trials with the same numbers come out."""
    found = []
    for plan in straight_and_turned:
        trials = drive(plan, tmp_path / "out" / plan.space.name, None)
        found.append([(trial.params, [without_time(row) for row in trial.rows], trial.ending) for trial in trials])
    assert found[0] == found[1]


def without_time(row: dict) -> dict:
    return {key: value for key, value in row.items() if key not in ("seconds", "images_per_second", "time")}


class Late(Silent):
    """Sends a signal when the trials are over."""

    def phase(self, text: str) -> None:
        if text.startswith("scoring"):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_the_finish_registers_nothing(tmp_path, space_file):
    with pytest.raises(Interrupted):
        run_search(load_space(space_file, ["budget.trials=1"]), results=tmp_path / "results", progress=Late())
    assert not registered(tmp_path / "results") and signal.getsignal(signal.SIGINT) is HANDLER
    assert read_record(tmp_path / "results" / "tiny").state == "interrupted"


def test_ctrl_c_stops_in_order_and_registers_nothing(tmp_path, space_file):
    arguments = ["run", str(space_file), "--results", str(tmp_path / "results"), "--trials", "100000"]
    process = subprocess.Popen([sys.executable, "-m", "search", *arguments], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if "COMPLETE" in line:
            break
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and time.monotonic() - start < 30
    assert errors.strip() == "search: error: stopped before the end; nothing was registered, and `resume` goes on with it"
    assert query(tmp_path / "results" / "mlflow.db", "select count(*) from runs where status = 'RUNNING'") == [(0,)]
    assert not registered(tmp_path / "results")
    assert json.loads((tmp_path / "results" / "tiny" / "search.json").read_text())["state"] == "interrupted"
