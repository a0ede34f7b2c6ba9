"""Where MLflow keeps runs: which URI counts, which are refused before anything is created, and stores made safely."""

from __future__ import annotations

import fcntl
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from search.errors import SpaceError
from search.space import Space
from search.sqlite import create_write_ahead

SERVER_SECONDS = 5.0


def tracking_uri(space: Space, results: Path, given: str | None = None) -> str:
    """Return where runs are recorded: the command line, the space file, MLFLOW_TRACKING_URI, or the results folder."""
    return given or space.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(results)


def default_uri(results: Path) -> str:
    return f"sqlite:///{results.resolve() / 'mlflow.db'}"


def redacted(uri: str) -> str:
    """Return ``uri`` without its password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))


def check_uri(uri: str) -> str:
    """Return ``uri``, or refuse one that MLflow would refuse or that does not answer. Creates nothing.

    Raises:
        SpaceError: names the URI and the mend.
    """
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme.partition("+")[0] not in ("sqlite", "postgresql", "mysql", "mssql"):
        raise refused(uri, "MLflow keeps no runs there", "give sqlite:///PATH/mlflow.db or http://HOST:PORT")
    elif scheme == "sqlite":
        _check_sqlite(uri)
    return uri


def refused(uri: str, what: str, mend: str) -> SpaceError:
    return SpaceError(f"{redacted(uri)!r}: {what}; {mend}", key="tracking.uri")


def _check_server(uri: str) -> None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_SECONDS).close()
    except urllib.error.HTTPError as problem:
        raise refused(uri, f"the server answered {problem.code}", "is it an MLflow server that you may use?") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        raise refused(uri, f"no MLflow server answers there ({reason})",
                       "start it with `mlflow server`, or leave the URI out to record in the results folder") from None


def _check_sqlite(uri: str) -> None:
    path = uri.removeprefix("sqlite:///")
    if path in ("", ":memory:") or not uri.startswith("sqlite:///"):
        raise refused(uri, "it names no file, so every run would be lost", "give sqlite:///PATH/mlflow.db")
    folder = Path(path).parent
    if folder.exists() and not os.access(folder, os.W_OK):
        raise refused(uri, f"folder {str(folder)!r} cannot be written", "give another path")
    if Path(path).is_dir():
        raise refused(uri, "it is a folder", "give the path of a file in it")


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process alone create an SQLite store and its tables: two at once can break it for good."""
    if not uri.startswith("sqlite"):
        yield
        return
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        create_write_ahead(path)
        yield


@contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Make ``uri`` the store of MLflow's functions, which know no other way, and take it back afterwards.

    MLflow writes it to the environment too, where the next search of this process would find it.
    """
    import mlflow

    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri("")
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
