"""A search that goes on from its record: where it was stopped, or beyond where it ended."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from search import folder as folders
from search import provenance
from search.clock import Clock
from search.endings import Stop
from search.errors import SpaceError
from search.finish import Outcome
from search.in_memory import found_again
from search.progress import Progress, Silent
from search.record import Record, read_record
from search.redact import redacted
from search.run import conduct
from search.sections import Budget, build_section
from search.space import changeable, overridden
from search.status import clock_of
from search.stores import DEFAULT, default_uri
from trainables.card import is_model
from trainables.errors import BadInput
from trainables.files import checkpoint_epochs, checkpoint_folder, checkpoint_is_whole, weights_file

MORE = {Stop.MINUTES: ("minutes", "--minutes +M"), Stop.GPU_HOURS: ("GPU-hours", "--set budget.gpu_hours=H")}


@folders.private_files()
def resume_search(folder: Path, *, trials: int | None = None, minutes: float | None = None, overrides: Sequence[str] = (),
                  tracking: str | None = None, address: str | None = None, fit=None, progress: Progress | None = None,
                  force: bool = False) -> Outcome:
    """Go on with the search in ``folder``: same study, rungs, MLflow runs and budget; unfinished trials come first.

    Args:
        trials: how many more a search may have than it was given; what is complete can so be extended.
        minutes: how many more it may take.
        overrides: assignments ``KEY=VALUE`` of where its data is or what it may take; see `search.space.changeable`.
        tracking: MLflow tracking URI, by default where the search was recorded before; needed where that holds a password
            and MLFLOW_TRACKING_URI does not give it.
        force: whether it may go on with other code or packages than it was stopped with.

    Raises:
        SearchError: as `search.run.run_search`; also where another process has the search, or nothing is left to do.
    """
    folders.check_ours(folder)
    with folders.held(folder):
        before = read_record(folder)
        record = changed(before, overrides)
        record = with_budget(record, extended(record, trials, minutes))
        if before.state == "complete":
            if record.space.budget == before.space.budget:
                raise SpaceError("the search is complete; extend it with --trials +N or --minutes +M", place=str(folder))
            check_left(record)
        if record.space.budget != before.space.budget:
            record.trials.extend()
        tracking, progress = whole_uri(record, tracking), progress or Silent()
        check_changes(record, force, progress.phase)
        folders.tidy(folder, record.trials)
        say_damaged(record, progress.phase)
        folders.check_room(folder)
        with mended_by_set():
            return conduct(record.space, folder, record, progress=progress, tracking=tracking, address=address, fit=fit)


@folders.private_files()
def finish_search(folder: Path, *, minutes: float | None = None, overrides: Sequence[str] = (), tracking: str | None = None,
                  address: str | None = None, fit=None, progress: Progress | None = None, force: bool = False) -> Outcome:
    """Finish the search in ``folder`` with the trials that it has; what was running counts up to its last report.

    One that is complete and whose model was lost or damaged since is finished again, from the weights that are there.

    Args:
        minutes: how many the finish may take; by default what it takes.
        overrides: as for `resume_search`, as are ``tracking`` and ``force``.

    Raises:
        SearchError: as `resume_search`; also where the search is complete, and its model whole.
    """
    folders.check_ours(folder)
    if minutes is not None and not 0 < minutes <= 1_000_000:
        raise SpaceError(f"{minutes:g} is out of range; give a number above 0", place="--minutes")
    with folders.held(folder):
        record = read_record(folder)
        kept = any(weights_file(folder, trial.number).exists() for trial in record.trials)
        if record.state == "complete" and (is_model(folder / "model") or not kept):
            raise SpaceError("the search is complete; `best` shows what it found", place=str(folder))
        record = changed(record, overrides)
        tracking, progress = whole_uri(record, tracking), progress or Silent()
        check_changes(record, force, progress.phase)
        folders.tidy(folder, record.trials)
        say_damaged(record, progress.phase)
        clock = Clock(minutes and record.spent + 60 * minutes, spent=record.spent, over=True)
        with mended_by_set():
            return conduct(record.space, folder, record, progress=progress, tracking=tracking, address=address, fit=fit,
                           clock=clock)


def changed(record: Record, overrides: Sequence[str]) -> Record:
    """Return ``record`` as it goes on with further overrides, which win over an earlier --tracking-uri, too.

    Raises:
        SpaceError: one of them is wrong, or would change what is searched.
    """
    space = found_again(overridden(record.space, overrides), record.folder)
    tracking = None if any(re.match(r"\s*tracking(\.uri)?\s*=", override) for override in overrides) else record.tracking
    return dataclasses.replace(record, space=space, overrides=tuple(overrides), tracking=tracking)


def with_budget(record: Record, budget: Budget) -> Record:
    return dataclasses.replace(record, space=dataclasses.replace(record.space, budget=budget))


@contextmanager
def mended_by_set() -> Iterator[None]:
    """Let a complaint about a key of the space file that may be changed say how: the file itself is not read again."""
    try:
        yield
    except SpaceError as problem:
        if not changeable(problem.key or "") or not problem.place or problem.place.startswith("--"):
            raise
        mend = f"here by --set {problem.key}=VALUE, since the file is not read again"
        raise SpaceError(f"{problem.message}; {mend}", key=problem.key, place=problem.place) from None


def whole_uri(record: Record, given: str | None) -> str | None:
    """Return the tracking URI of the command line, else the one at which the search was recorded before.

    None where nothing says it: it did not start, or an earlier version noted only the URI of the command line.

    Raises:
        SpaceError: it holds a password, of which the record has none and the environment no other.
    """
    uri = given or record.tracking or record.space.tracking.uri
    if uri == DEFAULT:
        return default_uri(record.folder.parent)
    if uri and "***" in uri:
        whole = os.environ.get("MLFLOW_TRACKING_URI", "")
        if redacted(whole) != uri:
            mend = "give --tracking-uri or set MLFLOW_TRACKING_URI"
            raise SpaceError(f"the password of the tracking URI is not kept; {mend}", place=str(record.folder))
        return whole
    return uri


def extended(record: Record, trials: int | None, minutes: float | None) -> Budget:
    """Return the record's budget with so many more trials and minutes; a limit that it did not have counts from here.

    Raises:
        SpaceError: that is more than a budget may be.
    """
    budget = record.space.budget
    if trials is not None:
        budget = dataclasses.replace(budget, trials=(budget.trials or len(record.trials)) + trials)
    if minutes is not None:
        budget = dataclasses.replace(budget, minutes=(budget.minutes or record.spent / 60) + minutes)
    try:
        return build_section({"budget": dataclasses.asdict(budget)}, "budget")
    except BadInput as problem:
        raise SpaceError(problem.message, key=problem.key, place=str(record.folder)) from None


def check_left(record: Record) -> None:
    """Refuse to go on with a complete search where a limit of its budget leaves room for no other trial.

    Raises:
        SpaceError: names the limit, which was not extended or by too little.
    """
    budget, clock = record.space.budget, clock_of(record, record.spent)
    if budget.trials is not None and budget.trials <= len(record.trials):
        raise SpaceError(f"its {budget.trials} trials are done; give --trials +N, too", place=str(record.folder))
    if clock.left <= record.trials.shortest():
        unit, mend = MORE[clock.tightest]
        what = f"its {getattr(budget, clock.tightest):g} {unit} leave no time for another trial"
        raise SpaceError(f"{what}; give more by {mend}", place=str(record.folder))


def check_changes(record: Record, force: bool, say: Callable[[str], None]) -> None:
    """Refuse to go on with other code or releases than the search was stopped with; ``say`` what else is not as it was.

    Raises:
        SpaceError: names them, unless ``force``, by which they are only said.
    """
    found = list(changes(record))
    grave = [line for line, is_grave in found if is_grave]
    if grave and not force:
        mend = "trials may not compare; go on with what it was, or with --force"
        raise SpaceError(f"{', '.join(grave)}: {mend}", place=str(record.folder))
    for line, _ in found:
        say(line)


def say_damaged(record: Record, say: Callable[[str], None]) -> None:
    """Say which checkpoints of unfinished trials are damaged, and from where those trials go on."""
    for trial in record.trials.running():
        place = checkpoint_folder(record.folder, trial.number)
        epochs = checkpoint_epochs(place)
        whole = next((epoch for epoch in epochs if checkpoint_is_whole(place, epoch)), 0)
        for epoch in (epoch for epoch in epochs if epoch > whole):
            goes_on = f"goes on from epoch {whole}" if whole else "begins anew"
            say(f"{place / str(epoch)}.safetensors is damaged, or its card: trial {trial.number} {goes_on}")


def changes(record: Record) -> Iterator[tuple[str, bool]]:
    """Yield a line on each thing that is not as it was when the search was stopped, and whether trials may not compare.

    Raises:
        SpaceError: a network of the user's own cannot be imported any more.
    """
    try:
        versions = {**provenance.versions(), **provenance.brought(record.space)}
    except BadInput as problem:
        raise SpaceError.of(problem, record.space.where) from None
    for name, before in record.versions.items():
        if (now := versions.get(name, "not there")) != before:
            yield f"{name} was {before} and is {now}", provenance.release(name, before) != provenance.release(name, now)
    before, now = record.origin.get("git_commit"), provenance.commit()
    commits = f" (commit {before:.10}, now {now:.10})" if before and now and before != now else ""
    code = record.origin.get("code")  # an earlier version noted the commit alone
    if code != provenance.code() if code else commits:
        yield f"the code of this tool has changed{commits}", bool(code)
    path = record.space.path
    if path.is_file() and redacted(path.read_text(errors="replace")) != record.space.text:
        yield f"{path} was edited since: the search goes on with what it began with", False
