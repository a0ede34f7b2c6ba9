"""How SQLite files are written here: ahead, in a log beside the file, so that a commit waits for the disk less often.

Not where the file is on another machine's disk: the log is shared by way of memory, which machines do not share, so that
two of them that open the file damage it (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine


MOUNTS = Path("/proc/self/mounts")
SHARED = ("9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "ocfs2", "panfs",
          "smb", "vboxsf", "virtiofs", "wekafs")


def create_write_ahead(path: Path) -> None:
    """Create the database ``path``, with a write-ahead log where it can be; leave one that stands there as it is.

    A rollback journal waits for the disk three times a commit: creating MLflow's tables so takes twice as long.
    """
    if path.exists():
        return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {'DELETE' if on_network(path) else 'WAL'}")


def on_network(path: Path) -> bool:
    """Tell whether ``path`` is on a file system that machines share, as far as the system says."""
    if not MOUNTS.exists():
        return False
    kinds = {}
    for line in MOUNTS.read_bytes().splitlines():
        _, place, kind, *_ = line.split(b" ")
        place = re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), place)  # so a space in it is written
        kinds[os.fsdecode(place)] = kind.decode()
    places = map(str, (path.resolve(), *path.resolve().parents))
    return next((kinds[place] for place in places if place in kinds), "").startswith(SHARED)


def quoted(path: Path) -> str:
    """Return ``path`` as it stands in a URI of SQLAlchemy, which takes ``%`` and ``?`` for more than letters."""
    return str(path).replace("%", "%25").replace("?", "%3F")


def remove(path: Path) -> None:
    """Remove the database ``path``, where there is one, with its log."""
    for name in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def commit_without_waiting(engine: Engine) -> None:
    """Let commits to a write-ahead log return before the disk has them.

    A process that is killed loses nothing by it; a machine that loses power may lose the last commits, no more.
    """
    from sqlalchemy import event

    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous = NORMAL"))
    engine.dispose()
