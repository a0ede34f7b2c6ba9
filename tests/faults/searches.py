"""A search that something happens to: started, waited for, resumed, and held against what must hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.endings import State
from search.record import FILE, Record, read_record
from tests.conftest import write_images
from tests.faults.driver import EPOCHS_FILE
from tests.invariants import MARK, alive, check, query

ROOT = Path(__file__).parent.parent.parent
SECONDS = 600  # after which a search counts as hung, on the busiest machine
FIRST_RUNG = 5  # epochs that each trial has
TRIALS, MOMENTS = 6, (4, 40)  # epochs after which a fault comes; a search has at least 45
SPACE = """\
data: {{source: folder, root: {root}, test: 0.2, val: 0.2}}
space: {{architecture: simple_cnn, learning_rate: {{loguniform: [1e-3, 1e-2]}}, batch_size: {{choice: [8, 16]}}, image_size: 16}}
schedule: {{max_epochs: 20, grace_period: {rung}, reduction_factor: 3}}
budget: {{trials: {trials}}}
finish: {{top: 0}}
"""


@dataclass
class Toll:
    """What a fault has cost."""

    lost: int  # trials that were forgotten, or failed
    redone: int  # epochs that were trained more than once
    duplicates: int  # rows that MLflow has twice
    orphans: int  # runs that are running for ever or belong to no trial, and processes that are left
    seconds: float  # from the fault, or the start of `resume`, to the next epoch
    broken: str  # what does not hold, if anything
    ending: float = 0.0  # seconds that the process took to end, where the fault is to end it
    statuses: list[int] = field(default_factory=list)


class Search:
    """A search in a folder of its own, in a process whose children are known by a mark."""

    def __init__(self, place: Path, *arguments: str, name: str = "tiny", store: Path | None = None, trials: int = TRIALS,
                 **environment: str):
        self.place, self.results, self.name, self.store, self._trials = place, place / "results", name, store, trials
        self.mark, self.statuses, self.errors = str(place), [], ""
        self.before: Record | None = None
        self.known: list[dict[str, Any]] = []
        self._arguments, self._epochs_file = arguments, place / f"{name}.epochs"
        self._environment = {**os.environ, MARK: self.mark, EPOCHS_FILE: str(self._epochs_file), "PYTHONPATH": str(ROOT),
                             **environment}
        self._last, self._since, self._ending = 0, 0.0, 0.0
        self._seconds: list[float] = []
        if not (place / "images").exists():
            write_images(place / "images")
            (place / "tiny.yaml").write_text(SPACE.format(root=place / "images", trials=trials, rung=FIRST_RUNG))
        self._start("run", "--space", str(place / "tiny.yaml"))

    @property
    def folder(self) -> Path:
        return self.results / self.name

    def _start(self, command: str, *arguments: str) -> None:
        self.hit()
        words = [sys.executable, "-m", "tests.faults.driver", command, str(self.folder), *arguments, *self._arguments]
        self.process = subprocess.Popen(words, cwd=ROOT, env=self._environment, text=True, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)

    def epochs(self) -> list[str]:
        return self._epochs_file.read_text().splitlines() if self._epochs_file.exists() else []

    def recorded(self) -> int:
        """Return how many epochs the record holds."""
        path = self.folder / FILE
        return path.read_bytes().count(b'"event": "epoch"') if path.exists() else 0

    def wait(self, epochs: int) -> None:
        """Wait until the record holds so many epochs."""
        deadline = time.monotonic() + SECONDS
        while self.recorded() < epochs:
            assert self.process.poll() is None, f"ended early: {self.process.communicate()[1]}"
            assert time.monotonic() < deadline, "hangs"
            time.sleep(0.02)

    def hit(self) -> None:
        """Note that from now on the search recovers, which it has when the next epoch is in the record."""
        self._last, self._since = self.recorded(), time.monotonic()

    def note(self) -> None:
        """Note what the record tells before the fault costs any of it."""
        self.before = read_record(self.folder)
        self.known = [trial.params for trial in self.before.trials]

    def end(self, expected: int | None = None) -> None:
        """Wait for the process to end, with a status that may be ``expected``; note how long it took to go on."""
        began = time.monotonic()
        deadline, went_on = began + SECONDS, False
        while self.process.poll() is None:
            if not went_on and self.recorded() > self._last:
                went_on = True
                self._seconds.append(time.monotonic() - self._since)
            if time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError("hangs")
            time.sleep(0.02)
        if expected is not None:
            self._ending = max(self._ending, time.monotonic() - began)
        self.errors += self.process.communicate()[1]
        self.statuses.append(self.process.returncode)
        said = self.errors.strip().rpartition("\n")[2]
        assert expected in (None, self.process.returncode), f"ended with {self.process.returncode}, not {expected}: {said}"

    def kill(self) -> None:
        self.process.kill()
        self.statuses.append(self.process.wait())
        self.errors += self.process.communicate()[1]

    def resume(self, *arguments: str) -> None:
        self._start("resume", *arguments)

    def toll(self) -> Toll:
        """Count what the fault has cost, once the search has ended."""
        broken = ""
        try:
            check(self.folder, self._trials, before=self.before, errors=self.errors, mark=self.mark, store=self.store)
        except AssertionError as problem:
            broken = (str(problem).splitlines() or ["an invariant"])[0]
        record = read_record(self.folder)
        params = [trial.params for trial in record.trials]
        forgotten = sum(known not in params for known in self.known)
        trained = self.epochs()
        lost, redone = forgotten + len(record.trials.ended(State.FAILED)), len(trained) - len(set(trained))
        return Toll(lost, redone, *self._in_mlflow(record), max(self._seconds, default=0.0), broken, self._ending,
                    self.statuses)

    def _in_mlflow(self, record: Record) -> tuple[int, int]:
        store = self.store or self.results / "mlflow.db"
        of_search = ("from runs r join tags t on t.run_uuid = r.run_uuid where t.key = 'search_id' and t.value = ? "
                     "and r.lifecycle_stage = 'active'")
        rows = query(store, f"select count(*) from metrics where run_uuid in (select r.run_uuid {of_search}) "
                            "group by run_uuid, key, step", record.id)
        runs = query(store, f"select r.status {of_search}", record.id)
        orphans = max(0, len(runs) - self._trials - 1) + sum(status == "RUNNING" for (status,) in runs)
        return sum(count - 1 for (count,) in rows), orphans + len(alive(self.mark))
