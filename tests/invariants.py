"""What must hold of a finished search, whatever happened to it on the way: one function for all faults."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from search.endings import State
from search.record import Record, read_record

MARK = "SEARCH_TEST_MARK"  # environment variable by which the processes of a search are known
PATIENCE = 10.0  # seconds in which they must be gone
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")  # of a killed node: they tell a store that is gone, for up to 60 s


def check(folder: Path, trials: int, *, before: Record | None = None, errors: str = "", mark: str | None = None,
          store: Path | str | None = None) -> Record:
    """Hold the search in ``folder`` against the invariants, and return its record.

    ``store`` is MLflow's database: a file of SQLite, by default that of the results folder, or a URI of PostgreSQL.

    I1 as many trials, each once; I2 one run of MLflow each, and one parent; I3 none of them running; I4 each trial's
    epochs 1 to k without a gap, and no number twice; I5 what was finished ``before`` is as it was; I6 the best is the
    best of all rows, or of the means of those trained again; I7 the databases are sound; I8 no process of ``mark`` is left;
    I9 ``errors`` are short and no traceback.
    """
    record = read_record(folder)
    known = list(record.trials)
    expected = list(range(trials))
    study, store = folder / "optuna.db", store or folder.parent / "mlflow.db"
    assert [trial.number for trial in known] == expected and all(trial.ending for trial in known), "I1: the record"
    assert [n for (n,) in query(study, "select number from trials order by number")] == expected, "I1: Optuna"
    states = {number: state for number, state in query(study, "select number, state from trials")}
    told = {State.COMPLETE: "COMPLETE", State.PRUNED: "PRUNED", State.FAILED: "FAIL"}
    assert states == {trial.number: told[trial.ending.state] for trial in known}, "I1: Optuna's states"

    runs = query(store, """
        select r.run_uuid, r.status, (select value from tags n where n.run_uuid = r.run_uuid and n.key = 'trial')
        from runs r join tags t on t.run_uuid = r.run_uuid
        where t.key = 'search_id' and t.value = ? and r.lifecycle_stage = 'active'""", record.id)
    assert Counter(number for _, _, number in runs) == Counter([None, *map(str, expected)]), "I2"
    assert not [run for run, status, _ in runs if status == "RUNNING"], "I3"

    metric = record.trials.metric
    for trial in known:
        steps = [row["epoch"] for row in trial.rows]
        assert steps == list(range(1, trial.epoch + 1)), "I4: the record"
        [run] = [run for run, _, number in runs if number == str(trial.number)]
        found = query(store, "select step, value from metrics where run_uuid = ? and key = ? order by step", run, metric)
        assert found == [(row["epoch"], row[metric]) for row in trial.rows], "I4: MLflow's rows are the record's"
        [number] = query(study, "select trial_id from trials where number = ?", trial.number)
        reports = query(study, "select step from trial_intermediate_values where trial_id = ? order by step", *number)
        assert [step for (step,) in reports] == steps, "I4: Optuna"
    for run, _, _ in runs:
        repeated = query(store, "select key, step from metrics where run_uuid = ? group by key, step having count(*) > 1", run)
        assert not repeated, "I4: repeated rows"

    for old in before.trials if before else ():
        new = record.trials.get(old.number)
        assert new == old if old.ending else new.rows[: len(old.rows)] == old.rows and new.params == old.params, "I5"

    summary, best = json.loads((folder / "search.json").read_text()), record.trials.best()
    finished = [trial.ending.value for trial in record.trials.ended(best.ending.state)]
    better = max if record.trials.mode == "max" else min
    assert best.ending.value == better(finished), "I6"
    means = {candidate["trial"]: candidate["mean"] for candidate in summary["candidates"]} or {best.number: best.ending.value}
    again = {(repeat.number, repeat.seed): repeat for repeat in record.repeats if not repeat.refit}
    assert len(again) == sum(not repeat.refit for repeat in record.repeats), "I6: nothing is trained again twice"
    for candidate in summary["candidates"]:
        own, *others = candidate["values"]
        assert own == record.trials.get(candidate["trial"]).ending.value, "I6"
        assert set(others) <= {repeat.value for repeat in again.values() if repeat.number == candidate["trial"]}, "I6"
    unfailed = [candidate["mean"] for candidate in summary["candidates"] if not candidate["failed"]]
    assert means[summary["trial"]] == better(unfailed or means.values()), "I6"
    assert summary["val"] == record.trials.get(summary["trial"]).ending.value, "I6"

    for database in (path for path in (study, store) if isinstance(path, Path)):
        assert query(database, "pragma integrity_check") == [("ok",)], "I7"
    assert not (left := alive(mark)), f"I8: {left}"
    assert "Traceback" not in errors and len(errors.splitlines()) <= 15, "I9"
    return record


def query(store: Path | str, sql: str, *values: object) -> list[tuple]:
    """Return the rows of a query, its values marked ``?``, from a file of SQLite or a URI of PostgreSQL."""
    if isinstance(store, Path):
        with closing(sqlite3.connect(store)) as connection:
            return connection.execute(sql, values).fetchall()
    import psycopg2

    with closing(psycopg2.connect(store)) as connection, connection.cursor() as cursor:
        cursor.execute(sql.replace("?", "%s"), values)
        return cursor.fetchall()


def alive(mark: str | None) -> list[str]:
    """Return the processes that carry ``mark`` and do not go away in time."""
    deadline = time.monotonic() + PATIENCE
    while (found := marked(mark) if mark else []) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def marked(mark: str) -> list[str]:
    """Return the command lines of what carries ``mark``, but for Ray's agents: one at times outlives its node by longer."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended, or is not ours
    return [line for line in found if not line.startswith(AGENTS)]
