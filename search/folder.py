"""A search's own folder below the results folder: what is in it, and its one-file summary."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from search.errors import EnvironmentProblem, SearchError, SpaceError, disk_is_full, state_after, without_locks
from search.redact import redacted
from search.space import check_name
from search.summary import checked
from search.trials import Trial, Trials
from trainables.errors import BadInput
from trainables.files import (
    checkpoint_epochs,
    checkpoint_folder,
    of_trials,
    remove_checkpoint,
    remove_sealed,
    weights_file,
    write_text_whole,
)

SUMMARY, RECORD = "search.json", "record.jsonl"
OURS = ("artifacts", "cache")  # what stands beside the searches in a results folder
LOCK = "lock"
LEAST_FREE, LEAST_SHARE = 2**30, 0.02  # bytes of a disk, and the share of it: below both a search makes it no fuller
STUDY = "optuna.db"


def claim(results: Path, name: str) -> Path:
    """Return the folder that a new search will have, without making it; refuse a name or place that cannot be used.

    Raises:
        SpaceError: the name cannot be one, is taken, or the results folder cannot be written.
    """
    try:
        check_name(name)
    except BadInput as problem:
        raise SpaceError(problem.message.replace("`name:`", "--name"), place=f"--name {name}"[:90]) from None
    if name in OURS or name.startswith("mlflow.db") or name.endswith(".json"):
        raise SpaceError("something else of a results folder has this name; choose another --name", place=f"--name {name}")
    folder = results / name
    if folder.exists():
        raise taken(folder)
    check_ours(results)
    check_writable(results)
    return folder


def taken(folder: Path) -> SpaceError:
    if (process := holder(folder)) is not None:
        what = f"a search named {folder.name!r} is running there in process {process or 'unknown'}"
        return SpaceError(f"{what}; `status {folder.name}` shows it; choose another --name", place=str(folder))
    if not any((folder / file).exists() for file in (SUMMARY, RECORD)):
        return SpaceError("it is there already, and no search; choose another --name", place=str(folder))
    name, mend = folder.name, f"go on with it by `resume {folder.name}`"
    with suppress(SearchError):
        if read_summary(folder)["state"] == "complete":
            mend = f"extend it by `resume {name} --trials +N` or --minutes +M"
    return SpaceError(f"a search named {name!r} stands there; {mend}, choose another --name, or remove that folder",
                      place=str(folder))


def check_ours(folder: Path) -> None:
    """Refuse a folder that others own or may write: what stands in it is trusted as this user's own work."""
    if not folder.exists():
        return
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise SpaceError(f"belongs to another user (uid {status.st_uid}); give another --results", place=str(folder))
    if status.st_mode & stat.S_IWOTH:
        raise SpaceError("may be written by everybody; `chmod o-w` it, or give another --results", place=str(folder))


def check_writable(results: Path) -> None:
    """Refuse a results folder that cannot be made or written, without making it."""
    if reason := unwritable(results):
        raise SpaceError(f"{reason}; give another --results", place=str(results))


def unwritable(folder: Path) -> str | None:
    """Return why nothing can be written to a folder, which need not be there yet, or None where it can."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        return f"{str(existing)!r} is not a folder"
    try:
        tempfile.TemporaryDirectory(dir=existing).cleanup()  # what permissions alone do not tell of: root, read-only, full
    except OSError as problem:
        return f"folder {str(existing)!r} cannot be written ({problem.strerror})"
    return None


def check_room(folder: Path, needed: int = 0) -> None:
    """Refuse to begin anything for the search in ``folder``, which need not be there yet, on a disk that is nearly full.

    Args:
        needed: about the bytes that it will take; less than twice as many are too few, too.

    Raises:
        EnvironmentProblem: names what is free, what must be, and the mend.
    """
    disk = shutil.disk_usage(next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()))
    least = max(min(LEAST_FREE, LEAST_SHARE * disk.total), 2 * needed)
    if disk.free < least:
        what = f"{disk.free / 2**20:,.0f} MiB of its disk are free, and below {least / 2**20:,.0f} nothing is begun"
        mend = f" and go on with `resume {folder.name}`" if folder.exists() else ", or give another --results"
        raise EnvironmentProblem(f"{folder}: {what}; make room{mend}")


@contextmanager
def private_files() -> Iterator[None]:
    """Let what this process and its children create be readable by this user alone, unless they say otherwise."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make the folder of a new search, for this user alone, and hold it; what ends it before it begins leaves none.

    Raises:
        SpaceError: another search has made it since.
        EnvironmentProblem: its disk has no file locks.
    """
    try:
        folder.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise taken(folder) from None
    try:
        with held(folder):
            yield
    except BaseException as problem:
        tried, record = (folder / STUDY).exists(), folder / RECORD
        resumable = record.exists() and record.stat().st_size > 0  # a full disk leaves an empty one
        if not tried and (not resumable or isinstance(problem, SpaceError)):  # a mistake that `resume` would meet, too
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from working on the search in ``folder``; one that dies, however it does, lets go of it.

    Raises:
        SpaceError: another process has it.
        EnvironmentProblem: the disk has no file locks.
    """
    with open(folder / LOCK, "a+", opener=lambda name, flags: os.open(name, flags, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            what = f"the search is running in process {lock.read().strip() or 'unknown'}"
            raise SpaceError(f"{what}; wait for it, or stop it first", place=str(folder)) from None
        except OSError as problem:
            raise without_locks(folder, problem) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        yield


def holder(folder: Path) -> str | None:
    """Return the process that works on the search in ``folder`` as it wrote itself down, or None where none is known to."""
    if not (folder / LOCK).is_file():
        return None
    with suppress(OSError), open(folder / LOCK) as lock:  # a disk without locks tells of nobody
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read().strip()
    return None


def tidy(folder: Path, trials: Trials) -> None:
    """Remove what a search that was killed may have left: Ray's own files, half-written ones, and what the record knows not of.

    Those are checkpoints, and all that is kept of a trial, where the record has lost its end: another gets that number, and
    with the same parameters would go on from the lost one's checkpoint.
    """
    shutil.rmtree(folder / "ray", ignore_errors=True)
    for part in folder.glob("**/*.part"):
        part.unlink(missing_ok=True)
    known = {trial.number for trial in trials}
    for number, path in of_trials(folder):
        if number not in known:
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    for trial in trials:
        place = checkpoint_folder(folder, trial.number)
        if trial.ending is not None:
            shutil.rmtree(place, ignore_errors=True)
        for epoch in checkpoint_epochs(place):
            if epoch > trial.epoch:
                remove_checkpoint(place, epoch)


@contextmanager
def summarised(folder: Path, trials: Trials) -> Iterator[None]:
    """Keep the search's state in its summary, however the search ends.

    Raises:
        EnvironmentProblem: the disk was full, whatever was written there, and the summary may then be an older one; or a
            file that the search has written itself is damaged.
    """
    try:
        write_summary(folder, {"name": folder.name, "state": "running", "pid": os.getpid()})
        yield
    except BaseException as problem:
        if disk_is_full(problem) and not isinstance(problem, SearchError):
            problem = EnvironmentProblem(f"{folder}: the disk is full; make room and go on with `resume {folder.name}`")
        if isinstance(problem, BadInput):
            ours = Path(problem.file or "").is_relative_to(folder)
            mend = ", or remove that file, and" if ours else "; then"
            problem = EnvironmentProblem(f"{problem}{mend} go on with `resume {folder.name}`")
        summary = {"state": state_after(problem), "reason": str(problem) or type(problem).__name__, "trials": trials.counts()}
        with suppress(OSError):
            write_summary(folder, {"name": folder.name, **summary})
        raise problem


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary whole or not at all."""
    write_text_whole(folder / SUMMARY, redacted(json.dumps(summary, indent=2)) + "\n")


def read_summary(folder: Path) -> dict[str, Any]:
    """Return what the summary of a search tells; where it is missing or damaged beside a record, that alone.

    Raises:
        SpaceError: there is neither.
    """
    try:
        summary = checked(json.loads((folder / SUMMARY).read_text()))
        state = "killed" if summary["state"] == "running" and holder(folder) is None else summary["state"]
        return {"name": folder.name, **summary, "state": state}
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        if not (folder / RECORD).exists():
            what = "no search has written its summary there; `list` shows those that did"
            raise SpaceError(what, place=str(folder)) from None
        mend = f"its {SUMMARY} is missing or damaged; `status {folder.name}` reads its record, and `resume` goes on with it"
        return {"name": folder.name, "state": "unknown", "reason": mend}


def searches(results: Path) -> list[Path]:
    """Return the folders of all searches, oldest first.

    Raises:
        SpaceError: one of them is not this user's.
    """
    check_ours(results)
    written: dict[Path, float] = {}
    for path in (path for name in (SUMMARY, RECORD) for path in results.glob(f"*/{name}")):
        check_ours(path.parent)
        written[path.parent] = max(path.stat().st_mtime, written.get(path.parent, 0.0))
    return sorted(written, key=written.get)


def find(results: Path, name: str | None) -> Path:
    """Return the folder of the search ``name``, or of the latest one.

    Raises:
        SpaceError: there is none.
    """
    known = searches(results)
    if name is None and known:
        return known[-1]
    for folder in known:
        if folder.name == name:
            return folder
    names = ", ".join(folder.name for folder in known) or "none yet; start one with `run SPACE.yaml`"
    raise SpaceError(f"no search named {name!r}; there: {names}" if name else f"no searches; there: {names}", place=str(results))


class Keeper:
    """Deletes the weights of trials that nobody will ask for and the checkpoints of one that ends, as each does.

    Those of the first trial, the baseline, are kept, those of a front, and those of as many of the best as may be trained
    again. Where the disk is nearly full all the same when a trial begins, ``stop`` is told, and the search ends.
    """

    def __init__(self, folder: Path, trials: Trials, top: int, stop: Callable[[EnvironmentProblem], None]):
        self._folder, self._trials, self._keep, self._stop = folder, trials, max(1, top), stop
        self._there = {trial.number for trial in trials if trial.ending is not None}  # whose weights may be there

    def begin(self, trial: Trial) -> None:
        try:
            check_room(self._folder)
        except EnvironmentProblem as problem:
            self._stop(problem)

    def epoch(self, trial: Trial, row: dict[str, Any]) -> None:
        """Do nothing: a running trial keeps its weights."""

    def end(self, trial: Trial) -> None:
        shutil.rmtree(checkpoint_folder(self._folder, trial.number), ignore_errors=True)
        front = self._trials.front() if len(self._trials.modes) > 1 else ()
        kept = {other.number for other in [*islice(self._trials, 1), *self._trials.ranked()[: self._keep], *front]}
        self._there.add(trial.number)
        for number in self._there - kept:
            remove_sealed(weights_file(self._folder, number))
        self._there &= kept
