"""MLflow that goes away and comes back: what happened meanwhile is there, in order and once; training has not waited."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels import initial_models
from sqlalchemy import create_engine

from search.champion import Registered
from search.clock import Clock
from search.endings import Ending, State
from search.errors import EnvironmentProblem, Interrupted, SpaceError
from search.interrupt import Interrupts
from search.mlflow_runs import artifacts_of
from search.plan import make_plan
from search.record import FILE, Recorder, begin_record, read_record
from search.space import load_space
from search.stores import check_uri, default_store, default_uri, one_at_a_time
from search.tracking import Tracker
from search.trials import Trial
from tests.invariants import check, query
from tests.mlflow_server import Proxy, served
from tests.test_predict import make_model
from tests.test_resume import LONG, ROOT, start, wait_for
from trainables.card import WEIGHTS

EPOCHS = 3
LOCKED_SECONDS = 25  # MLflow waits for 20
TAGS = {"sealed": "rows", "objective": "accuracy", "mode": "max", "test": "0.9"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


class Search:
    """A search of which only the record and MLflow's part are real: trials begin, report and end as they are told to."""

    def __init__(self, space_file: Path, folder: Path):
        self.plan = make_plan(load_space(space_file))
        self.folder = folder
        folder.mkdir(parents=True)
        self.record = begin_record(folder, self.plan.space, self.plan.catalog.fingerprint)

    def tracked(self, uri: str, *check) -> Tracker:
        return Tracker(uri, self.folder.parent, self.plan, self.folder.name, read_record(self.folder), *check)

    def play(self, *watchers) -> Trial:
        """Let one more trial go from its beginning to its end."""
        params = {"learning_rate": 1e-3, "batch_size": 8}
        trial = Trial(number := len(self.record.trials), params, self.plan.space.trial_config(params))
        self.record.trials.add(trial)
        self._tell(watchers, "begin", trial)
        for epoch in range(1, EPOCHS + 1):
            trial.rows.append({"epoch": epoch, "accuracy": (number + epoch) / 17, "loss": 1 / epoch, "time": time.time()})
            self._tell(watchers, "epoch", trial, trial.rows[-1])
        trial.end(Ending(State.COMPLETE, value=trial.rows[-1]["accuracy"]))
        self._tell(watchers, "end", trial)
        return trial

    @staticmethod
    def _tell(watchers, event, *arguments) -> None:
        for watcher in watchers:
            getattr(watcher, event)(*arguments)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_rows(store: Path, search: Search) -> None:
    """Every trial has one run, with the rows of the record and nothing beside; the parent has each best score once."""
    runs = dict(query(store, """
        select n.value, r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid join tags n on n.run_uuid = r.run_uuid
        where t.key = 'search_id' and t.value = ? and n.key = 'trial' and r.lifecycle_stage = 'active'
        and r.status = 'FINISHED'""", search.record.id))
    trials = list(search.record.trials)
    [(count,)] = query(store, "select count(*) from tags t join runs r on r.run_uuid = t.run_uuid where key = 'search_id' and "
                              "value = ? and lifecycle_stage = 'active'", search.record.id)
    assert sorted(runs, key=int) == [str(trial.number) for trial in trials] and count == len(trials) + 1
    for trial in trials:
        run = runs[str(trial.number)]
        found = query(store, "select key, step, value from metrics where run_uuid = ? order by key, step", run)
        assert found == [(key, row["epoch"], row[key]) for key in ("accuracy", "loss") for row in trial.rows]
    [parent] = query(store, "select run_uuid from tags t where key = 'search_id' and value = ? and not exists "
                            "(select * from tags n where n.run_uuid = t.run_uuid and n.key = 'trial') and "
                            "exists (select * from runs r where r.run_uuid = t.run_uuid and lifecycle_stage = 'active')",
                     search.record.id)
    bests = query(store, "select step, value from metrics where run_uuid = ? and key = 'best_accuracy' order by step", *parent)
    assert bests == [(n + 1, max(trial.ending.value for trial in trials[: n + 1])) for n in range(len(trials))]


SELDOM = ("busy", "crowded", "barred", "slow", "hole")


@pytest.mark.parametrize("mood", ["dead", "mute", *(pytest.param(mood, marks=pytest.mark.slow) for mood in SELDOM)])
def test_what_a_server_misses_it_is_told_later_and_once(server, space_file, tmp_path, monkeypatch, mood):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    search = Search(space_file, tmp_path / "results" / mood)
    with Proxy(server) as proxy, search.tracked(proxy.uri) as tracker:
        first = search.play(tracker)
        wait_until(lambda: tracker.run_of(first))
        proxy.mood = mood
        search.play(tracker)
        search.play(tracker)
        wait_until(lambda: proxy.met >= 4)
        search.play(tracker)
        proxy.mood = "well"
        search.play(tracker)
    check_rows(Path(server.store.removeprefix("sqlite:///")), search)


def test_what_ends_while_mlflow_hears_of_another_end_is_told_next(space_file, tmp_path, monkeypatch):
    search = Search(space_file, tmp_path / "results" / "meanwhile")
    uri = default_uri(tmp_path / "results")
    with search.tracked(uri) as tracker:
        log_batch, played = tracker.client.log_batch, []

        def log_and_play(run_id, *arguments, **named):
            log_batch(run_id, *arguments, **named)
            if run_id == tracker.parent and len(played) < 2:
                played.append(search.play(tracker))

        monkeypatch.setattr(tracker.client, "log_batch", log_and_play)
        search.play(tracker)
        wait_until(lambda: len(played) == 2)
    check_rows(tmp_path / "results" / "mlflow.db", search)


def test_a_run_that_is_deleted_is_made_again_and_keeps_no_other_waiting(space_file, tmp_path):
    search = Search(space_file, tmp_path / "results" / "deleted")
    uri = default_uri(tmp_path / "results")
    with search.tracked(uri) as tracker:
        trial = Trial(0, params := {"learning_rate": 1e-3, "batch_size": 8}, search.plan.space.trial_config(params))
        search.record.trials.add(trial)
        tracker.begin(trial)
        row = {"epoch": 1, "accuracy": 0.5, "loss": 1.0, "time": time.time()}
        trial.rows.append(row)
        tracker.epoch(trial, row)
        wait_until(lambda: tracker.run_of(trial) and not tracker._pending)
        tracker.client.delete_run(tracker.run_of(trial))
        trial.end(Ending(State.COMPLETE, value=0.5))
        tracker.end(trial)
        other = search.play(tracker)
        wait_until(lambda: tracker.run_of(other))
    check_rows(tmp_path / "results" / "mlflow.db", search)


def test_numbers_of_a_users_own_loop_may_have_any_name_and_size(space_file, tmp_path):
    search = Search(space_file, tmp_path / "results" / "names")
    with search.tracked(default_uri(tmp_path / "results")) as tracker:
        trial = Trial(0, params := {"learning_rate": 1e-3, "batch_size": 8}, search.plan.space.trial_config(params))
        search.record.trials.add(trial)
        tracker.begin(trial)
        row = {"epoch": 1, "accuracy": 0.5, "time": time.time(), "acc@1": 0.25, "große": 1, "n" * 300: 2.0,
               "steps": 10**400, "nothing": float("nan"), "/accuracy": 9.0, "accuracy/": 9.0,
               "val/f1": 3.0, "val//f1": 9.0, "/x": 4.0, "val/": 5.0, "a/../b": 6.0, "../../c": 7.0, "...": 8.0, ".d": 9.0,
               "p" * 249 + "/q": 10.0, 7: 11.0}
        trial.rows += [row, {"epoch": 2, "accuracy": 0.5, "time": time.time(), "": 12.0}]
        for row in trial.rows:
            tracker.epoch(trial, row)
        trial.end(Ending(State.COMPLETE, value=0.5))
        tracker.end(trial)
    found = "select key, value from metrics where key not like 'best_%' and step = ?"
    assert dict(query(tmp_path / "results" / "mlflow.db", found, 1)) == {
        "accuracy": 0.5, "acc_1": 0.25, "große": 1.0, "n" * 250: 2.0, "nothing": 0.0,  # NaN as MLflow has it
        "val/f1": 3.0, "x": 4.0, "val": 5.0, "b": 6.0, "c": 7.0, "_": 8.0, ".d": 9.0, "p" * 249: 10.0, "7": 11.0}
    assert dict(query(tmp_path / "results" / "mlflow.db", found, 2)) == {"accuracy": 0.5, "_": 12.0}


def test_whatever_mlflow_raises_the_thread_lives(space_file, tmp_path, monkeypatch):
    search = Search(space_file, tmp_path / "results" / "garbled")
    with search.tracked(default_uri(tmp_path / "results")) as tracker:
        create_run, met = tracker.client.create_run, []

        def fail_once(*arguments, **named):
            if not met:
                met.append(True)
                raise RuntimeError("an answer that nobody understands")
            return create_run(*arguments, **named)

        monkeypatch.setattr(tracker.client, "create_run", fail_once)
        trial = search.play(tracker)
        wait_until(lambda: tracker.run_of(trial))
    assert met
    check_rows(tmp_path / "results" / "mlflow.db", search)


@pytest.mark.parametrize("name", ["gone_on", "other"])
def test_a_copy_leaves_the_runs_of_its_original_alone(space_file, tmp_path, name):
    """Copied elsewhere while the original went on, or beside it under another name, where both record at one place."""
    uri = default_uri(tmp_path / "store")
    original = Search(space_file, tmp_path / "results" / "gone_on")
    with Recorder(original.record, Clock(None), print) as recorder, original.tracked(uri) as tracker:
        recorder.start(original.plan.space.budget, None)
        original.play(recorder, tracker)
        if name == "gone_on":
            copy = shutil.copytree(original.folder, tmp_path / "elsewhere" / name)
            original.play(recorder, tracker)
    if name == "other":
        copy = shutil.copytree(original.folder, tmp_path / "results" / name)
    for _ in range(2):  # it is a copy for the first time alone
        copied, said = read_record(copy), []
        with Recorder(copied, Clock(None), print) as recorder:
            with Tracker(uri, copy.parent, original.plan, name, copied, say=said.append, rename=recorder.rename) as tracker:
                recorder.start(original.plan.space.budget, None)
        assert len(said) == (tracker.id != copied.id)
    assert copied.id == tracker.id != original.record.id
    check_rows(tmp_path / "store" / "mlflow.db", original)
    twin = SimpleNamespace(record=copied)
    check_rows(tmp_path / "store" / "mlflow.db", twin)


def test_a_search_that_was_taken_elsewhere_goes_on_with_its_runs(space_file, tmp_path):
    uri = default_uri(tmp_path / "store")
    search = Search(space_file, tmp_path / "results" / "taken")
    with Recorder(search.record, Clock(None), print) as recorder, search.tracked(uri) as tracker:
        recorder.start(search.plan.space.budget, None)
        search.play(recorder, tracker)
    copy = shutil.copytree(search.folder, tmp_path / "elsewhere" / "taken")
    with Tracker(uri, copy.parent, search.plan, "taken", read_record(copy)) as again:
        assert (again.id, again.parent) == (tracker.id, tracker.parent)


@pytest.mark.parametrize("stage", ["a delivery", "the end"])
def test_a_signal_ends_the_wait_for_what_is_left_to_deliver(server, space_file, tmp_path, stage):
    search = Search(space_file, tmp_path / "results" / stage.replace(" ", "_"))
    with Proxy(server) as proxy, Interrupts() as interrupts:
        with pytest.raises(Interrupted), search.tracked(proxy.uri, interrupts.check) as tracker:
            proxy.mood = "hole"
            search.play(tracker)
            wait_until(lambda: proxy.met)
            began = time.monotonic()
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
            if stage == "a delivery":
                tracker.flush()
        assert time.monotonic() - began < 15
        proxy.mood = "well"


def test_a_signal_ends_the_wait_for_a_registration(server, space_file, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    search = Search(space_file, tmp_path / "results" / "signalled")
    with Proxy(server) as proxy, Interrupts() as interrupts, search.tracked(proxy.uri, interrupts.check) as tracker:
        trial = search.play(tracker)
        tracker.flush()
        proxy.mood = "dead"
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            tracker.mark_best(trial.number)
        assert time.monotonic() - began < 30
        proxy.mood = "well"


@pytest.mark.parametrize("cut", [b'"number": 1, "row"', b'"event": "end"'], ids=["in a trial", "before the end of one"])
def test_what_a_record_has_lost_mlflow_has_once_in_the_end(space_file, tmp_path, cut):
    """The record is cut short behind MLflow's back, as by a disk that lied to it; F15."""
    search = Search(space_file, tmp_path / "results" / "torn")
    uri = default_uri(tmp_path / "results")
    with Recorder(search.record, Clock(None), print) as recorder, search.tracked(uri) as tracker:
        recorder.start(search.plan.space.budget, None)
        search.play(recorder, tracker)
        search.play(recorder, tracker)
    lines = (search.folder / FILE).read_bytes().splitlines(keepends=True)
    kept = next(number for number, line in enumerate(lines) if cut in line) + (b"row" in cut)
    (search.folder / FILE).write_bytes(b"".join(lines[:kept]))
    search.record = read_record(search.folder)
    [trial] = search.record.trials.running()
    with Tracker(uri, tmp_path / "results", search.plan, search.folder.name, search.record) as tracker:
        for epoch in range(trial.epoch + 1, EPOCHS + 1):
            trial.rows.append({"epoch": epoch, "accuracy": epoch / 17, "loss": 1 / epoch, "time": time.time()})
            tracker.epoch(trial, trial.rows[-1])
        trial.end(Ending(State.COMPLETE, value=trial.rows[-1]["accuracy"]))
        tracker.end(trial)
    check_rows(tmp_path / "results" / "mlflow.db", search)
    repeated = "select key, step from metrics group by run_uuid, key, step having count(*) > 1"
    living = "select 1 from runs where lifecycle_stage = 'active' and run_uuid = metrics.run_uuid"
    assert not query(tmp_path / "results" / "mlflow.db", repeated.replace("group", f"where exists ({living}) group"))


def test_a_server_that_never_answers_does_not_keep_a_search_that_is_stopped(server, space_file, tmp_path):
    search = Search(space_file, tmp_path / "results" / "swallowed")
    with Proxy(server) as proxy:
        with pytest.raises(Interrupted), search.tracked(proxy.uri) as tracker:
            proxy.mood = "hole"
            search.play(tracker)
            wait_until(lambda: proxy.met)
            began = time.monotonic()
            raise Interrupted(signal.SIGTERM)
        assert time.monotonic() - began < 10
        proxy.mood = "well"


def test_what_it_never_takes_stays_in_the_record_for_a_resume(server, space_file, tmp_path, monkeypatch):
    monkeypatch.setattr("search.tracking.CLOSE_SECONDS", 1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    search = Search(space_file, tmp_path / "results" / "away")
    with Proxy(server) as proxy:
        with pytest.raises(EnvironmentProblem, match=r"has not taken 6 events .*; see to it that it answers, then `resume away`"):
            with Recorder(search.record, Clock(None), print) as recorder, search.tracked(proxy.uri) as tracker:
                recorder.start(search.plan.space.budget, None)
                proxy.mood = "dead"
                search.play(recorder, tracker)
        assert read_record(search.folder).state == "failed"
        proxy.mood = "well"
        with pytest.raises(Interrupted), search.tracked(proxy.uri):  # a signal is what is told, whatever MLflow does
            proxy.mood = "dead"
            raise Interrupted(signal.SIGTERM)
        proxy.mood = "well"
        with search.tracked(proxy.uri):
            pass
    check_rows(Path(server.store.removeprefix("sqlite:///")), search)


def basic(user: str) -> str:
    return f"Basic {b64encode(user.encode()).decode()}"


@pytest.fixture
def nobody(tmp_path, monkeypatch) -> Path:
    """A home in which no credentials are kept, and an environment that names none."""
    for name in ("USERNAME", "PASSWORD", "TOKEN", "SERVER_CERT_PATH", "INSECURE_TLS"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".mlflow").mkdir(parents=True)
    return tmp_path / "home"


USER = {"USERNAME": "me", "PASSWORD": "sécret:1"}


@pytest.mark.parametrize(
    ("user", "given", "kept", "key"),
    [
        pytest.param("", USER, "", basic("me:sécret:1"), id="environment"),
        pytest.param("", {"TOKEN": "secret"}, "", "Bearer secret", id="token"),
        pytest.param("", {"TOKEN": "other", **USER}, "", basic("me:sécret:1"), id="both"),
        pytest.param("", {"TOKEN": "secret", "USERNAME": "me"}, "", "Bearer secret", id="half a user"),
        pytest.param("you:p%40ss@", USER, "", basic("you:p@ss"), id="URI"),
        pytest.param("you@", USER, "", basic("me:sécret:1"), id="user alone in the URI"),
        pytest.param("", {"USERNAME": "me"}, "mlflow_tracking_password = kept", basic("me:kept"), id="file"),
    ],
)
def test_a_server_is_asked_by_whom_mlflow_names(server, nobody, monkeypatch, user, given, kept, key):
    """Also before anything is made: a proxy answers nobody else, neither us nor MLflow."""
    (nobody / ".mlflow" / "credentials").write_text(f"[mlflow]\n{kept}\n")
    with Proxy(server) as proxy:
        proxy.key, uri = key, proxy.uri.replace("://", f"://{user}")
        with pytest.raises(EnvironmentProblem, match="the server answered 401; is it an MLflow server that you may use?"):
            check_uri(proxy.uri)
        for name, value in given.items():
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
        check_uri(uri)
        assert MlflowClient(tracking_uri=uri).search_experiments()


@pytest.mark.parametrize(
    ("token", "kept", "told"),
    [("secret\r", "", "MLFLOW_TRACKING_TOKEN holds a blank, a line's end"), ("", "secret", "~/.mlflow/credentials is damaged"),
     ("", "[mlflow]\na = %secret", "~/.mlflow/credentials is damaged")],
)
def test_credentials_that_cannot_be_used_are_not_shown(nobody, monkeypatch, token, kept, told):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    (nobody / ".mlflow" / "credentials").write_text(kept)
    with pytest.raises(EnvironmentProblem, match=f"'http://127.0.0.1:9': {told}.*; mend ") as found:
        check_uri("http://127.0.0.1:9")
    assert "secret" not in str(found.value)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl, which makes a certificate")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_with_a_certificate_of_its_own(server, nobody, tmp_path, monkeypatch):
    file = tmp_path / "own.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", file, "-out", tmp_path / "cert.pem",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", file)
    with Proxy(server) as proxy:
        proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
        uri = proxy.uri.replace("http", "https")
        with pytest.raises(EnvironmentProblem, match="CERTIFICATE_VERIFY_FAILED"):
            check_uri(uri)
        for name, value in {"SERVER_CERT_PATH": str(tmp_path / "cert.pem"), "INSECURE_TLS": "TRUE"}.items():
            with monkeypatch.context() as patch:
                patch.setenv(f"MLFLOW_TRACKING_{name}", value)
                check_uri(uri)
                assert MlflowClient(tracking_uri=uri).search_experiments()
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "none.pem"))
        with pytest.raises(EnvironmentProblem, match=r"none.pem' holds no certificates \(No such file or directory\); give"):
            check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "ours"),
    [("postgresql+psycopg2://me@host/runs", True), ("mysql+pymysql://me@host/runs", True), ("sqlite:///runs.db", True),
     ("http://host:5000", False), ("https://host", False)],
)
def test_artifacts_stand_with_the_results_unless_a_server_takes_them(tmp_path, uri, ours):
    assert artifacts_of(uri, tmp_path) == ((tmp_path / "artifacts").as_uri() if ours else None)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_file_locks_is_told(tmp_path, monkeypatch, number):
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("search.stores.fcntl.flock", refuse)
    what = f"{tmp_path}: its disk has no file locks ({os.strerror(number)}); mount it with them, or give another --results"
    with pytest.raises(EnvironmentProblem, match=f"^{re.escape(what)}$"), one_at_a_time(default_uri(tmp_path)):
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory, images) -> Path:
    """The folder of a model, as a finish writes it."""
    return make_model(tmp_path_factory.mktemp("model") / "tiny", images, ("left", "lower")) / "model"


def check_registered(uri: str, name: str, model: Path, place: Path) -> None:
    """There is one logged model, whose weights are the folder's, and one version of it, which has the alias."""
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    [version] = client.search_model_versions(f"name = '{name}'")
    assert client.get_registered_model(name).aliases == {"champion": str(version.version)} and version.description == "a card"
    assert version.tags.items() >= TAGS.items()
    [logged] = client.search_logged_models([client.get_run(version.run_id).info.experiment_id],
                                           f"source_run_id = '{version.run_id}'")
    assert (str(logged.status), logged.model_id) == ("READY", version.tags["model_id"])
    with default_store(uri):
        mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=place)
    [weights] = place.rglob(WEIGHTS)
    assert weights.read_bytes() == (model / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("mood", "where"),
    [
        pytest.param("mute", r"logged-models$", marks=pytest.mark.slow, id="begun, but not answered"),
        pytest.param("dead", r"mlflow-artifacts", id="gone in the middle of the files"),
        pytest.param("mute", r"model-versions/create", id="registered, but not answered"),
        pytest.param("dead", r"registered-models/alias", marks=pytest.mark.slow, id="gone before the alias"),
    ],
)
def test_a_model_is_registered_once_and_whole(server, model, space_file, tmp_path, monkeypatch, mood, where):
    """The server goes away in the middle and does not come back in time, for a `resume`; and then while it is waited for."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    search = Search(space_file, tmp_path / "results" / f"registered-{mood}-{where[:3]}")

    def register(tracker: Tracker) -> Registered:
        return tracker.register(model, np.zeros((1, 1, 16, 16), np.float32), np.zeros((1, 2), np.float32), TAGS, "a card")

    with Proxy(server) as proxy:
        proxy.where = where
        with monkeypatch.context() as patch, pytest.raises(EnvironmentProblem, match="MLflow does not answer"):
            patch.setattr("search.tracking.CLOSE_SECONDS", 0)
            with search.tracked(proxy.uri) as tracker:
                proxy.mood = mood
                register(tracker)
        missed = proxy.met
        with search.tracked(proxy.uri) as tracker, ThreadPoolExecutor() as threads:
            registered = threads.submit(register, tracker)
            wait_until(lambda: proxy.met > missed + 3 or registered.done())
            proxy.mood = "well"
            assert registered.result().champion
    check_registered(server.uri, search.folder.name, model, tmp_path / "downloaded")


def test_a_store_has_its_name_only_once_it_is_whole(space_file, tmp_path):
    """A process is killed while MLflow makes the tables; the next search begins anew."""
    store, part = tmp_path / "results" / "mlflow.db", tmp_path / "results" / "mlflow.db.part"
    code = f"from search.stores import *; one_at_a_time(default_uri(Path({str(store.parent)!r}))).__enter__()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: part.exists() and part.stat().st_size)
    process.kill()
    process.wait()
    assert not store.exists()
    search = Search(space_file, tmp_path / "results" / "again")
    with search.tracked(default_uri(store.parent)) as tracker:
        search.play(tracker)
    check_rows(store, search)
    assert not part.exists()


def test_what_a_start_could_not_log_the_next_one_does(space_file, tmp_path):
    search = Search(space_file, tmp_path / "results" / "tiny")
    uri, place = default_uri(tmp_path / "results"), tmp_path / "results" / "artifacts"
    place.touch()
    with pytest.raises((OSError, EnvironmentProblem)):
        search.tracked(uri)
    place.unlink()
    with search.tracked(uri) as tracker:
        found = [file.path for file in tracker.client.list_artifacts(tracker.parent)]
    assert {"space.yaml", "space_used.json"} <= set(found)
    assert query(tmp_path / "results" / "mlflow.db", "select count(*) from runs") == [(1,)]


def test_tables_that_cannot_be_used_are_named(space_file, tmp_path):
    """Some other program was killed while it made them."""
    search = Search(space_file, tmp_path / "results" / "again")
    engine = create_engine(f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}")
    initial_models.Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table logged_models (model_id text)")  # which a later version wants to create
    engine.dispose()
    with pytest.raises(SpaceError, match=r"mlflow.db': MLflow cannot use its tables \(.*logged_models.*\); `mlflow db upgrade`"):
        search.tracked(default_uri(tmp_path / "results"))


@pytest.mark.slow
def test_weights_that_are_changed_on_their_way_are_not_registered(server, model, space_file, tmp_path, monkeypatch):
    search = Search(space_file, tmp_path / "results" / "garbled")

    def register(tracker: Tracker) -> Registered:
        return tracker.register(model, np.zeros((1, 1, 16, 16), np.float32), np.zeros((1, 2), np.float32), TAGS, "a card")

    with Proxy(server) as proxy:
        proxy.where, proxy.mood = r"mlflow-artifacts.*safetensors", "garbled"
        with monkeypatch.context() as patch, pytest.raises(EnvironmentProblem, match="does not keep the weights as they are"):
            patch.setattr("search.tracking.CLOSE_SECONDS", 0)
            with search.tracked(proxy.uri) as tracker:
                register(tracker)
        client = MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
        assert not client.search_model_versions("name = 'garbled'")
        proxy.mood = "well"
        with search.tracked(proxy.uri) as tracker:
            register(tracker)
    check_registered(server.uri, "garbled", model, tmp_path / "downloaded")


@pytest.mark.slow
def test_a_store_that_somebody_else_holds(space_file, tmp_path):
    """Another process writes to the SQLite file for longer than MLflow waits."""
    search = Search(space_file, tmp_path / "results" / "held")
    store = tmp_path / "results" / "mlflow.db"
    with search.tracked(default_uri(store.parent)) as tracker, closing(sqlite3.connect(store)) as other:
        search.play(tracker)
        other.execute("begin exclusive")
        search.play(tracker)
        start = time.monotonic()
        wait_until(lambda: time.monotonic() > start + LOCKED_SECONDS)
        other.rollback()
        search.play(tracker)
    check_rows(store, search)


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_a_search_and_started_again(space_file, tmp_path):
    """The search goes on without it; what it missed is there in the end. Once more, and it stays away: status 5, `resume`."""
    results = tmp_path / "results"
    results.mkdir(mode=0o700)
    with served(results) as server:
        command = ["run", str(space_file), "--results", str(results), "--tracking-uri", server.uri, *LONG]
        process = start(*command, "--trials", "6", mark=str(results))
        wait_for(process, results / "tiny", 30)
        server.kill()
        wait_for(process, results / "tiny", 100)
        server.start()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        before = check(results / "tiny", 6, errors=errors, mark=str(results))

        process = start("resume", "tiny", "--results", str(results), "--trials", "+2", mark=str(results))
        wait_for(process, results / "tiny", sum(trial.epoch for trial in before.trials) + 30)
        server.kill()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 5 and errors.count("\n") < 15
        assert re.search(r"search: error: tracking.uri: .* which its record keeps \(.*`resume tiny` delivers them\n$", errors)
        assert len(read_record(results / "tiny").trials) == 8
        server.start()
        process = start("resume", "tiny", "--results", str(results), mark=str(results))
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        check(results / "tiny", 8, before=before, errors=errors, mark=str(results))
