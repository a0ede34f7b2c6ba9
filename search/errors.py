"""One exception tree for everything that can end a command. Each is one printed line and one exit status."""

from __future__ import annotations

import sqlite3
import typing
from pathlib import Path

from trainables.errors import FULL, BadInput


class SearchError(Exception):
    """Ends a command with one line, ``search: error: <this>``, and `exit_status`."""

    exit_status = 1


class SpaceError(SearchError):
    """A mistake in the space file, an override or the data that they name.

    Args:
        message: what is wrong, the value, and the mend.
        key: dotted path of the key to blame, such as ``space.learning_rate``.
        place: where it stands: ``file:line``, or ``--set KEY=VALUE``.
    """

    exit_status = 2

    def __init__(self, message: str, *, key: str | None = None, place: str | None = None):
        super().__init__(message)
        self.message, self.key, self.place = message, key, place

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.message) if part)

    @classmethod
    def of(cls, problem: BadInput, where: typing.Callable[[str], str]) -> SpaceError:
        """Give ``problem`` its place: the file that it names itself, else ``where(key)``."""
        key = problem.key or ""
        own = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
        message = problem.message.removeprefix(key.rpartition(".")[2] + ": ")
        return cls(message, key=problem.key, place=own or where(key))


class NoUsableTrial(SearchError):
    """The search ended without one trial that finished with a usable score."""

    exit_status = 4


class EnvironmentProblem(SearchError):
    """The machine, the disk, the cluster or the tracking server is to blame, and the search can be resumed."""

    exit_status = 5


class Interrupted(SearchError):
    """A signal stopped the search; nothing was registered. The exit status is the shell's: 128 + the signal."""

    def __init__(self, signal: int):
        super().__init__("stopped before the end; nothing was registered, and `resume` goes on with it")
        self.exit_status = 128 + signal


def state_after(problem: BaseException | None) -> str:
    """Name the state in which a search is that ended with ``problem``, or without one."""
    if problem is None:
        return "complete"
    return "interrupted" if isinstance(problem, (Interrupted, KeyboardInterrupt)) else "failed"


def refused(problem: OSError) -> str:
    """Say what the system refused, and of which file."""
    place = f"{problem.filename}: " if problem.filename else ""
    return f"{place}{problem.strerror or problem}"


def without_locks(folder: Path, problem: OSError) -> EnvironmentProblem:
    """Say that the disk of ``folder``, such as one of Lustre mounted so, has no file locks."""
    what = f"{folder}: its disk has no file locks ({problem.strerror})"
    return EnvironmentProblem(f"{what}; mount it with them, or give another --results")


def disk_is_full(problem: BaseException | None) -> bool:
    """Tell whether a full disk stands behind ``problem``, in whatever a library has wrapped it."""
    while problem is not None:
        if getattr(problem, "errno", None) in FULL or "No space left on device" in str(problem):
            return True
        if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        problem = problem.__cause__ or problem.__context__
    return False
