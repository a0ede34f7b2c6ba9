"""How SQLite files are written here: ahead, in a log beside the file, so that a commit waits for the disk less often."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine


def create_write_ahead(path: Path) -> None:
    """Create the database ``path`` with a write-ahead log, which it keeps; leave one that stands there as it is.

    A rollback journal waits for the disk three times a commit: creating MLflow's tables so takes twice as long.
    """
    if path.exists():
        return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def remove(path: Path) -> None:
    """Remove the database ``path``, where there is one, with its log."""
    for name in ("", "-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def commit_without_waiting(engine: Engine) -> None:
    """Let commits to a write-ahead log return before the disk has them.

    A process that is killed loses nothing by it; a machine that loses power may lose the last commits, no more.
    """
    from sqlalchemy import event

    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous = NORMAL"))
    engine.dispose()
