"""A search that goes on from its record: where it was stopped, or beyond where it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from search import folder as folders
from search import provenance
from search.clock import Clock
from search.errors import SpaceError
from search.finish import Outcome
from search.progress import Progress, Silent
from search.record import Record, read_record
from search.redact import redacted
from search.run import conduct
from search.sections import Budget


@folders.private_files()
def resume_search(folder: Path, *, trials: int | None = None, minutes: float | None = None, tracking: str | None = None,
                  address: str | None = None, fit=None, progress: Progress | None = None) -> Outcome:
    """Go on with the search in ``folder``: same study, rungs, MLflow runs and budget; unfinished trials come first.

    Args:
        trials: how many more a search may have than it was given; what is complete can so be extended.
        minutes: how many more it may take.
        tracking: MLflow tracking URI, needed where the one that the search was begun with holds a password.

    Raises:
        SearchError: as `search.run.run_search`; also where another process has the search, or nothing is left to do.
    """
    folders.check_ours(folder)
    with folders.held(folder):
        record = read_record(folder)
        if record.state == "complete" and trials is None and minutes is None:
            raise SpaceError("the search is complete; extend it with --trials +N or --minutes +M", place=str(folder))
        budget, tracking = extended(record, trials, minutes), whole_uri(record, tracking)
        folders.tidy(folder, record.trials)
        progress = progress or Silent()
        for line in changes(record):
            progress.phase(line)
        return conduct(dataclasses.replace(record.space, budget=budget), folder, record, progress=progress,
                       tracking=tracking, address=address, fit=fit)


@folders.private_files()
def finish_search(folder: Path, *, minutes: float | None = None, tracking: str | None = None, address: str | None = None,
                  fit=None, progress: Progress | None = None) -> Outcome:
    """Finish the search in ``folder`` with the trials that it has; what was running counts up to its last report.

    Args:
        minutes: how many the finish may take; by default what it takes.
        tracking: as for `resume_search`.

    Raises:
        SearchError: as `resume_search`; also where the search is complete.
    """
    folders.check_ours(folder)
    if minutes is not None and not 0 < minutes <= 1_000_000:
        raise SpaceError(f"{minutes:g} is out of range; give a number above 0", place="--minutes")
    with folders.held(folder):
        record = read_record(folder)
        if record.state == "complete":
            raise SpaceError("the search is complete; `best` shows what it found", place=str(folder))
        tracking = whole_uri(record, tracking)
        folders.tidy(folder, record.trials)
        clock = Clock(minutes and record.spent + 60 * minutes, spent=record.spent, over=True)
        return conduct(record.space, folder, record, progress=progress, tracking=tracking, address=address, fit=fit, clock=clock)


def whole_uri(record: Record, given: str | None) -> str | None:
    """Return the tracking URI of the command line, now or when the search began.

    Raises:
        SpaceError: it holds a password, of which the record has none.
    """
    tracking = given or record.tracking
    if "***" in (tracking or record.space.tracking.uri or ""):
        raise SpaceError("the password of the tracking URI is not kept; give --tracking-uri", place=str(record.folder))
    return tracking


def extended(record: Record, trials: int | None, minutes: float | None) -> Budget:
    """Return the record's budget with so many more trials and minutes; a limit that it did not have counts from here.

    Raises:
        SpaceError: the other limit, which was not extended, leaves nothing to do.
    """
    budget = record.space.budget
    if trials is not None:
        budget = dataclasses.replace(budget, trials=(budget.trials or len(record.trials)) + trials)
    if minutes is not None:
        budget = dataclasses.replace(budget, minutes=(budget.minutes or record.spent / 60) + minutes)
    if record.state == "complete" and budget.trials is not None and budget.trials <= len(record.trials):
        raise SpaceError(f"its {budget.trials} trials are done; give --trials +N, too", place=str(record.folder))
    if record.state == "complete" and budget.minutes is not None and Clock(60 * budget.minutes, spent=record.spent).left <= 0:
        raise SpaceError(f"its {budget.minutes:g} minutes are over; give --minutes +M, too", place=str(record.folder))
    return budget


def changes(record: Record) -> Iterator[str]:
    """Yield a line on each thing that is not as it was when the search was stopped."""
    versions = provenance.versions()
    for name, before in record.versions.items():
        if (now := versions.get(name)) != before:
            yield f"{name} was {before} and is {now}: numbers may differ in their last digits"
    path = record.space.path
    if path.is_file() and redacted(path.read_text(errors="replace")) != record.space.text:
        yield f"{path} was edited since: the search goes on with what it began with"
