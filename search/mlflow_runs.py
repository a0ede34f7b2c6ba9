"""The runs of a search in MLflow: made, or found again by a search that goes on or was copied."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from search import provenance, views
from search.plan import Plan
from search.record import Record
from search.redact import redacted
from search.stores import answering, one_at_a_time, refused, relocate
from search.trials import Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # so that its pages open on training runs
FOLDER = "folder"  # tag of a parent run: the inode of the folder of the search that last wrote it
DESCRIBED = "described"  # tag of a parent run that has what the search is made from


class Runs:
    """The runs of one search: the parent run, and one for each trial, in the experiment of its space.

    A run carries the id of its search and the number of its trial, by which a search that is resumed finds it again. What
    happened before is then delivered again, from the record, where MLflow may lack some of it; it keeps one copy of each
    row. A run that was made twice, because the answer to the first request was lost, is deleted at the end.

    A folder may be copied. The parent run knows the folder that last wrote it, by its inode: what a copy that is called
    otherwise does, or one whose original has gone on since, is recorded under an ``id`` of its own.

    Attributes:
        client: MLflow's, of the tracking URI.
        id: of the search there.
        experiment: id of the experiment.
        parent: id of the parent run.
        of_trial: ids of the trials' runs, by the number of the trial.
        whole: numbers of the trials of which MLflow has all.

    Args:
        uri: an MLflow tracking URI that `check_uri` accepted.
        name: name of the search.
        record: what the search has come to so far.
        say: tells the user a line.
        rename: notes the ``id`` that a copy has from now on, before anything is made under it.

    Raises:
        SpaceError: MLflow refuses the URI.
        EnvironmentProblem: it does not answer.
    """

    def __init__(self, uri: str, results: Path, plan: Plan, name: str, record: Record, say: Callable[[str], None],
                 rename: Callable[[str], None]):
        self._uri, self._name, self._plan = uri, name, plan
        self._folder = str(record.folder.stat().st_ino)
        self.id, self.of_trial, self.whole = record.id, dict[int, str](), set[int]()
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with answering(uri):
            with one_at_a_time(uri):
                from mlflow import MlflowClient

                self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                relocate(uri, results)
                self.experiment = self._experiment(results)
            found = self._find()
            parent = found.pop(None, None)
            ahead = parent is not None and self._ahead(parent, found, record)
            if parent is not None and self._is_copy(parent, ahead):
                say(f"this is a copy of {parent.data.tags['search']!r}, which MLflow goes on to know as another search")
                self.id, parent = uuid.uuid4().hex, None
                rename(self.id)
            if parent is not None and not ahead:
                self._go_on(parent, found, record)
            else:
                for run in self.made():
                    self.client.delete_run(run.info.run_id)
                parent = self._create_parent()
            if DESCRIBED not in parent.data.tags:  # a start may have ended in the middle of it
                self._describe(parent)
            self.parent = parent.info.run_id

    def _create_parent(self) -> Run:
        plan = self._plan
        tags = {**provenance.tags(), "search": self._name, "search_id": self.id, FOLDER: self._folder,
                "data_fingerprint": plan.catalog.fingerprint,
                "seed": str(plan.space.data.seed), "device": plan.machine.describe(),
                **{f"data_{name}": views.tally(values) for name, values in plan.catalog.attributes.items()}}
        tags = {name: redacted(value) for name, value in tags.items()}
        return self.client.create_run(self.experiment, run_name=self._name, tags=tags)

    def _describe(self, parent: Run) -> None:
        """Log what the search is made from, and note that this is done."""
        run, began_here = parent.info.run_id, parent.data.tags.get("code") == provenance.code()
        texts = {"space.yaml": self._plan.space.text, "space_used.json": json.dumps(self._plan.space.as_dict(), indent=2),
                 "uncommitted.diff": began_here and provenance.uncommitted()}
        for name, text in texts.items():
            if text:
                self.client.log_text(run, redacted(text), name)
        self.client.set_tag(run, DESCRIBED, "true")

    def _find(self) -> dict[int | None, Run]:
        """Return the runs that this search has made, by the number of their trial; the parent run under None."""
        found = {}
        for run in sorted(self.made(), key=lambda run: run.info.status == "RUNNING"):
            number = run.data.tags.get("trial")
            found.setdefault(number and int(number), run)
        return found

    def made(self) -> Iterator[Run]:
        """Yield all runs of this search."""
        token = None
        while True:
            page = self.client.search_runs([self.experiment], f"tags.search_id = '{self.id}'", max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _ahead(self, parent: Run, found: dict[int, Run], record: Record) -> bool:
        """Tell whether MLflow has heard of more than the record, cut short, still holds: it would then have it twice."""
        trials, metric = record.trials, record.trials.metric
        ended = sum(trial.ending is not None for trial in trials)
        known = [(parent, f"best_{metric}", ended)]
        known += [(found[trial.number], metric, trial.epoch) for trial in trials.running() if trial.number in found]
        return any(max((one.step for one in self.client.get_metric_history(run.info.run_id, name)), default=0) > last
                   for run, name, last in known)

    def _is_copy(self, parent: Run, ahead: bool) -> bool:
        """Tell whether the runs are those of the search that our folder was copied from, and that may still be gone on with.

        One that was taken to another machine to go on there has its name and knows all that MLflow knows.
        """
        tags = parent.data.tags
        return tags.get(FOLDER, self._folder) != self._folder and (ahead or tags["search"] != self._name)

    def _go_on(self, parent: Run, found: dict[int, Run], record: Record) -> None:
        """Use the runs that were found again; what the record, cut short by a power cut, has not heard of goes."""
        known = {trial.number: trial for trial in record.trials}
        self.client.set_tag(parent.info.run_id, FOLDER, self._folder)
        self.client.update_run(parent.info.run_id, status="RUNNING")
        for number, run in found.items():
            if number not in known:
                self.client.delete_run(run.info.run_id)
                continue
            self.of_trial[number] = run.info.run_id
            if known[number].ending is not None and run.info.status in ("FINISHED", "FAILED"):
                self.whole.add(number)
            else:
                self.client.update_run(run.info.run_id, status="RUNNING")

    def _experiment(self, results: Path) -> str:
        from mlflow.exceptions import MlflowException

        name = self._plan.space.tracking.experiment or self._plan.space.name
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise refused(self._uri, f"experiment {name!r} was deleted there", "restore it, or set tracking.experiment")
        if found is not None:
            return found.experiment_id
        try:
            return self.client.create_experiment(name, artifacts_of(self._uri, results), tags=EXPERIMENT_TAGS)
        except MlflowException:
            if (made := self.client.get_experiment_by_name(name)) is None:
                raise
            return made.experiment_id  # by another search, since we looked

    def create(self, trial: Trial) -> None:
        """Make the run of ``trial``."""
        tags = {"mlflow.parentRunId": self.parent, "search": self._name, "search_id": self.id, "trial": str(trial.number),
                "architecture": trial.config.architecture}
        run = self.client.create_run(self.experiment, start_time=int(trial.started * 1000),
                                     run_name=f"{self._name} trial {trial.number}", tags=tags)
        self.of_trial[trial.number] = run.info.run_id

    def is_gone(self, trial: Trial) -> bool:
        """Tell whether somebody has deleted the run of ``trial``, which then needs another one."""
        from mlflow.exceptions import MlflowException

        if trial.number not in self.of_trial:
            return False
        try:
            return self.client.get_run(self.of_trial[trial.number]).info.lifecycle_stage == "deleted"
        except MlflowException as problem:
            return problem.error_code == "RESOURCE_DOES_NOT_EXIST"


def artifacts_of(uri: str, results: Path) -> str | None:
    """Return where the artifacts of a new experiment stand; None where a server knows. A database would have ./mlruns."""
    return None if urlsplit(uri).scheme.startswith("http") else (results.resolve() / "artifacts").as_uri()
