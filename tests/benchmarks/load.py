"""Many trials of a trainable that does nothing: what one costs, what the driver's memory and the files grow by, and that
every row arrives.

Each way is a process of its own: `untracked` without MLflow, `tracked` with MLflow on SQLite, both with Optuna's storage, the
record and ASHA, two trials at a time on two cores; `reports`, 64 trials at a time that report 15 numbers each second, with
MLflow on SQLite; `busy`, 16 trials at a time that wait a second each; `writers`, eight searches' writers on one SQLite store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import common
from tests.benchmarks.overhead import SPACE, Epoch, Stamps, nothing, seconds_a_trial
from tests.benchmarks.tracking import SCORES, rows

EPOCHS = 3
MILLISECONDS = {"untracked": 150, "tracked": 200}  # what a trial may cost on two cores
MEGABYTES, KILOBYTES_A_TRIAL = 1200, 100  # the driver's memory, and its growth
RESTORE_SECONDS = 20  # in which 1,000 trials are taken over
WRITERS = 8
BUSY_AT_A_TIME, BUSY_SECONDS, BUSY_SHARE = 16, 1.0, 0.20  # trials, what each takes, and what else may go by
AT_A_TIME, REPORTS, NUMBERS, LAG_SECONDS, MEETING_SECONDS = 64, 60, 15, 1.0, 600
MEETING = "LOAD_MEETING"  # environment variable: the folder in which trials meet, named by how many there will be


@dataclass
class Growth(Stamps):
    """Notes, too, how much memory the driver has as trials end, in bytes, and how many files it has open."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def end(self, trial: Any) -> None:
        super().end(trial)
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(resident * os.sysconf("SC_PAGE_SIZE"))
        self.files.append(len(os.listdir("/proc/self/fd")))


@dataclass
class Arrivals(Stamps):
    """Notes, too, how long each report was under way, and the first one of each trial."""

    lags: list[float] = field(default_factory=list)
    first: dict[int, float] = field(default_factory=dict)

    def epoch(self, trial: Any, row: dict[str, Any]) -> None:
        super().epoch(trial, row)
        self.lags.append(time.time() - row["sent"])
        self.first.setdefault(trial.number, self.epochs[-1])


class Report(Epoch):
    """An epoch of `NUMBERS` numbers, one of which is when it was sent."""

    def row(self) -> dict[str, float]:
        others = {f"number{place}": place / 7 for place in range(NUMBERS - 3)}
        return {**super().row(), **others, "sent": time.time()}


def once_a_second(config: Any, data: Any):
    """Be the training loop of a trial whose epochs take a second, once as many trials run as are to run at a time."""
    (meeting := Path(os.environ[MEETING]) / str(os.getpid())).touch()
    deadline = time.monotonic() + MEETING_SECONDS
    while len(list(meeting.parent.iterdir())) < int(meeting.parent.name):
        if time.monotonic() > deadline:
            raise TimeoutError("not all trials came to run")
        time.sleep(0.2)
    for epoch in range(1, config.epochs + 1):
        time.sleep(1.0)
        yield Report(epoch)


def reports(trials: int, epochs: int) -> dict[str, Any]:
    """Let all ``trials`` run at once; return how many reports came a second while all did, and how late."""
    from search.resources import Machine

    arrivals = Arrivals([], [])
    with tempfile.TemporaryDirectory() as meeting, contextlib.ExitStack() as stack:
        (Path(meeting) / str(trials)).mkdir()
        os.environ[MEETING] = str(Path(meeting) / str(trials))
        machine = Machine(trials, 0, 1, 0, trials)
        place, folder = stack.enter_context(searched(trials, epochs, True, arrivals, once_a_second, machine))
        begin, end = max(arrivals.first.values()), min(arrivals.ends)
        within = [lag for lag, at in zip(arrivals.lags, arrivals.epochs, strict=True) if begin <= at <= end]
        return {"at_a_time": trials, "seconds": round(end - begin, 1), "reports_a_second": round(len(within) / (end - begin), 1),
                "lag_median": round(statistics.median(within), 3), "lag_p99": round(statistics.quantiles(within, n=100)[98], 3),
                "lag_most": round(max(within), 3), "every_row_there": every_row_there(place, folder)}


def one_second(config: Any, data: Any):
    """Be the training loop of a trial that takes `BUSY_SECONDS`."""
    time.sleep(BUSY_SECONDS)
    yield Epoch(1)


def busy(trials: int) -> dict[str, Any]:
    """Let trials that wait follow each other, `BUSY_AT_A_TIME` of them at once; return what went by beside the waiting."""
    from search.resources import Machine

    stamps = Stamps([], [])
    with searched(trials, 1, False, stamps, one_second, Machine(BUSY_AT_A_TIME, 0, 1, 0, BUSY_AT_A_TIME)):
        each = seconds_a_trial(stamps.ends, BUSY_AT_A_TIME)
        return {"trials": len(stamps.ends), "at_a_time": BUSY_AT_A_TIME, "ms_a_trial": round(1e3 * each, 1),
                "overhead": round(each * BUSY_AT_A_TIME / BUSY_SECONDS - 1, 2)}


def search(trials: int, tracked: bool) -> dict[str, Any]:
    """Search in this process; return what it cost, and whether MLflow's rows are the record's."""
    from search.record import FILE

    growth, started = Growth([], []), time.perf_counter()
    with searched(trials, EPOCHS, tracked, growth, nothing) as (place, folder):
        seconds, tail = time.perf_counter() - started, len(growth.memory) // 2
        files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return {
            "trials": len(growth.ends), "seconds": round(seconds, 1),
            "ms_a_trial": round(1e3 * seconds_a_trial(growth.ends), 1),
            "memory_mb": round(max(growth.memory) / 2**20),
            "growth_kb_a_trial": round((growth.memory[-1] - growth.memory[tail]) / 1024 / (trials - tail), 1),
            "files_open": [growth.files[tail], growth.files[-1]],
            "record_kb_a_trial": round((folder / FILE).stat().st_size / 1024 / trials, 2),
            "disk_kb_a_trial": round(files / 1024 / trials, 1),
            "restore_seconds": round(restored(folder), 2),
            "every_row_there": every_row_there(place, folder) if tracked else None,
        }


def restored(folder: Path) -> float:
    """Return how long a search in ``folder`` takes to read its record and to make its study anew."""
    from search.record import read_record
    from search.study import create_study

    began = time.perf_counter()
    record = read_record(folder)
    study = create_study(record.space, folder)
    study.restore(record.trials)
    study.close()
    return time.perf_counter() - began


@contextlib.contextmanager
def searched(trials: int, epochs: int, tracked: bool, watcher: Stamps, fit: Any, machine: Any = None
             ) -> Iterator[tuple[Path, Path]]:
    """Search to the end, and then yield the results folder and the search's own."""
    from search.clock import Clock
    from search.interrupt import Interrupts
    from search.plan import decode, make_plan
    from search.record import Recorder, begin_record
    from search.run import search_trials
    from search.space import load_space
    from search.stores import default_uri
    from search.tracking import Tracker

    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place) / "load"
        (folder / "weights").mkdir(parents=True)
        (folder / "space.yaml").write_text(SPACE.format(trials=trials, epochs=epochs))
        plan = make_plan(load_space(folder / "space.yaml", ["resources.gpus=0"]), machine)
        record, clock = begin_record(folder, plan.space, plan.catalog.fingerprint), Clock(None)
        interrupts = stack.enter_context(Interrupts())
        watchers = [watcher, stack.enter_context(Recorder(record, clock, interrupts.stop))]
        with contextlib.ExitStack() as tracking:
            if tracked:
                watchers.append(tracking.enter_context(Tracker(default_uri(Path(place)), Path(place), plan, "load", record)))
            data = decode(plan, folder)
            with search_trials(plan, folder, data, record.trials, clock, interrupts, tuple(watchers), fit=fit):
                pass
        stack.close()
        yield Path(place), folder


def every_row_there(place: Path, folder: Path) -> bool:
    from search.record import read_record

    return in_mlflow(place / "mlflow.db") == in_record(read_record(folder))


def in_record(record: Any) -> list[tuple[str, str, int, float]]:
    return sorted((str(trial.number), key, row["epoch"], row[key])
                  for trial in record.trials for row in trial.rows for key in row if key not in ("epoch", "time"))


def in_mlflow(store: Path) -> list[tuple[str, str, int, float]]:
    """Return the rows of finished runs."""
    from tests.invariants import query

    return sorted(query(store, """
        select t.value, m.key, m.step, m.value from metrics m join tags t on t.run_uuid = m.run_uuid
        join runs r on r.run_uuid = m.run_uuid where t.key = 'trial' and r.status = 'FINISHED'"""))


def write(place: Path, number: int, trials: int) -> float:
    """Deliver the trials of one search to a shared store; return the longest time that a delivery took."""
    from search.endings import decide
    from search.plan import make_plan
    from search.record import begin_record
    from search.space import load_space
    from search.stores import default_uri
    from search.tracking import Tracker
    from search.trials import Trial

    (folder := place / f"search{number}").mkdir()
    (folder / "space.yaml").write_text(SPACE.format(trials=trials, epochs=EPOCHS))
    plan = make_plan(load_space(folder / "space.yaml"))
    longest = 0.0
    with Tracker(default_uri(place), place, plan, folder.name, begin_record(folder, plan.space, "")) as tracker:
        for one in range(trials):
            trial = Trial(one, {}, plan.space.trial_config({"dropout": 0.1}))
            tracker.begin(trial)
            for row in rows(one, EPOCHS):
                trial.rows.append(row)
                tracker.epoch(trial, row)
            trial.end(decide(trial.rows, "accuracy", EPOCHS))
            tracker.end(trial)
            began = time.perf_counter()
            while tracker.run_of(trial) is None:
                time.sleep(0.01)
            longest = max(longest, time.perf_counter() - began)
    return longest


def writers(trials: int) -> dict[str, Any]:
    """Let `WRITERS` processes deliver to one store that is not there yet."""
    from tests.invariants import query

    with tempfile.TemporaryDirectory() as place, multiprocessing.get_context("spawn").Pool(WRITERS) as pool:
        longest = max(pool.starmap(write, [(Path(place), number, trials) for number in range(WRITERS)]))
        [(there,)] = query(Path(place) / "mlflow.db", f"select count(*) from metrics where key in {SCORES}")
        expected = WRITERS * trials * EPOCHS * len(SCORES)
        return {"longest_seconds": round(longest, 2), "rows": there, "every_row_there": there == expected}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="a few trials: does it still run?")
    parser.add_argument("--one", choices=["untracked", "tracked", "reports", "busy", "writers"])
    given = parser.parse_args()
    trials = 12 if given.quick and not given.one else given.trials
    if given.one:
        with contextlib.redirect_stdout(sys.stderr):
            if given.one == "reports":
                found = reports(min(trials, AT_A_TIME), 10 if given.quick else REPORTS)
            elif given.one == "busy":
                found = busy(trials)
            else:
                found = writers(trials) if given.one == "writers" else search(trials, given.one == "tracked")
        return print(json.dumps(found))
    results = []
    for way, most in MILLISECONDS.items():
        found = common.in_process("tests.benchmarks.load", "--one", way, "--trials", trials)
        reached = (found["ms_a_trial"] <= most and found["memory_mb"] <= MEGABYTES
                   and found["growth_kb_a_trial"] <= KILOBYTES_A_TRIAL and found["restore_seconds"] <= RESTORE_SECONDS
                   and found["every_row_there"] is not False)
        results.append({"benchmark": f"load {way}", "most_ms_a_trial": most, "reached": reached, **found})
        print(f"  {results[-1]}", flush=True)
    at_a_time = 4 if given.quick else AT_A_TIME
    found = common.in_process("tests.benchmarks.load", "--one", "reports", "--trials", at_a_time,
                              *(["--quick"] if given.quick else []))
    reached = found["every_row_there"] and found["lag_p99"] <= LAG_SECONDS and found["reports_a_second"] >= 0.98 * at_a_time
    results.append({"benchmark": "load reports", "reached": reached, **found})
    print(f"  {results[-1]}", flush=True)
    found = common.in_process("tests.benchmarks.load", "--one", "busy", "--trials", max(32, trials))
    results.append({"benchmark": "load busy", "most": BUSY_SHARE, "reached": found["overhead"] <= BUSY_SHARE, **found})
    print(f"  {results[-1]}", flush=True)
    found = common.in_process("tests.benchmarks.load", "--one", "writers", "--trials", max(2, trials // 100))
    results.append({"benchmark": "load writers", "reached": found["every_row_there"], **found})
    print(json.dumps([{**result, "device": common.device()} for result in results]))


if __name__ == "__main__":
    main()
