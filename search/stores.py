"""Where MLflow keeps runs: which URI counts, which are refused before anything is created, and stores made safely."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import ssl
import urllib.error
import urllib.request
import warnings
from base64 import b64encode
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import unquote, urlsplit

from search.errors import EnvironmentProblem, SpaceError, disk_is_full, without_locks
from search.folder import unwritable
from search.redact import redacted
from search.space import Space
from search.sqlite import create_write_ahead, quoted, remove
from search.tables import strange
from trainables.errors import first_line

SERVER_SECONDS = 5
OLDEST_SERVER, VERSION = 3, re.compile(r"\d+\.\d+[\w.]*")  # models are logged by themselves since MLflow 3
DATABASES = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "mssql": "timeout"}  # and how drivers call it
DEFAULT = "default"  # how a record calls the store in its results folder, which may be moved
KEPT = "~/.mlflow/credentials"  # where MLflow looks for the user whom the environment does not name
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "PERMISSION_DENIED", "UNAUTHENTICATED")
SQLITE = b"SQLite format 3\0"  # the first bytes of its files: https://www.sqlite.org/fileformat.html
ARTIFACT_COLUMNS = (  # where MLflow 3 writes where artifacts are
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "source"), ("model_versions", "storage_location"),
)  # fmt: skip


def tracking_uri(space: Space, results: Path, given: str | None = None) -> str:
    """Return where runs are recorded: the command line, the space file, MLFLOW_TRACKING_URI, or the results folder."""
    if given is not None:
        return given
    return space.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(results)


def default_uri(results: Path) -> str:
    return f"sqlite:///{quoted(results.resolve() / 'mlflow.db')}"


def noted(uri: str, results: Path) -> str:
    """Return what the record of a search in ``results`` says of ``uri``, from wherever it was taken."""
    own = uri.startswith("sqlite:///") and "?" not in uri and file_of(uri).resolve() == (results / "mlflow.db").resolve()
    return DEFAULT if own else uri


def file_of(uri: str) -> Path | None:
    """Return the file that SQLAlchemy opens for an SQLite ``uri``, None where it names none."""
    from sqlalchemy import make_url

    name = make_url(uri).database
    return Path(name) if name and name != ":memory:" else None


def check_uri(uri: str) -> str:
    """Return ``uri``, or refuse one that MLflow would refuse or that does not answer. Creates nothing.

    Raises:
        SpaceError: it cannot be one; names the URI and the mend.
        EnvironmentProblem: nothing answers there, or not to us.
    """
    if not uri.startswith("sqlite") and re.search(r"\s", uri):  # a password with a blank would be taken for its end
        scheme = uri.partition("://")[0] if "://" in uri else ""
        raise refused(f"{scheme}://…", "there is a blank in it, which no URI has", "write it as %20")
    try:
        scheme, host, _ = (parts := urlsplit(uri)).scheme, parts.hostname, parts.port
    except ValueError:  # whose text may hold a piece of the password
        raise refused(uri, "it is no URI", "give sqlite:///PATH/mlflow.db or http://HOST:PORT") from None
    if scheme in ("http", "https"):
        if not host:
            raise refused(uri, "it names no host", "give http://HOST:PORT")
        _check_server(uri)
    elif scheme == "sqlite":
        _check_sqlite(uri)
    elif scheme.partition("+")[0] in DATABASES:
        _check_database(uri, scheme.partition("+")[0])
    else:
        raise refused(uri, "MLflow keeps no runs there", "give sqlite:///PATH/mlflow.db or http://HOST:PORT")
    return uri


def refused(uri: str, what: str, mend: str) -> SpaceError:
    return SpaceError(f"{redacted(uri)!r}: {what}; {mend}", key="tracking.uri")


def unreachable(uri: str, what: str, mend: str) -> EnvironmentProblem:
    return EnvironmentProblem(f"tracking.uri: {redacted(uri)!r}: {redacted(what)}; {mend}")


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into what ends a search: a store that does not answer us, or one that refuses what we ask.

    Raises:
        EnvironmentProblem: it cannot be reached, is broken, or does not know us.
        SpaceError: it refuses.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    try:
        yield
    except ModuleNotFoundError as problem:
        raise refused(uri, f"MLflow refuses it: {problem}", f"pip install {problem.name}") from None
    except SQLAlchemyError as problem:  # which MLflow lets through while it opens a store
        what = first_line(getattr(problem, "orig", None) or problem)
        if disk_is_full(problem):
            raise
        if isinstance(problem, OperationalError) and (not uri.startswith("sqlite") or "locked" in what):
            raise unreachable(uri, f"MLflow cannot write to it ({what})", "see to it that it can, and try again") from None
        raise refused(uri, f"MLflow cannot use its tables ({what})", "`mlflow db upgrade` them, or give another URI") from None
    except (MlflowException, OSError, sqlite3.OperationalError) as problem:
        what = first_line(problem)
        if is_away(problem):
            raise unreachable(uri, f"MLflow does not answer ({what})", "see to it that it does, and try again") from None
        raise refused(uri, f"MLflow refuses it: {what}", "mend the URI") from None


def is_away(problem: Exception) -> bool:
    """Tell whether MLflow, or what it writes to, was not there or did not know us, rather than refused what it was asked."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    of_it = isinstance(problem, (MlflowException, SQLAlchemyError, sqlite3.Error, OSError))
    return of_it and getattr(problem, "error_code", AWAY[0]) in AWAY


def _check_server(uri: str) -> None:
    try:
        _opened(uri, "health").close()
        version = _version(uri)
    except urllib.error.HTTPError as problem:
        raise unreachable(uri, f"the server answered {problem.code}", "is it an MLflow server that you may use?") from None
    except (OSError, ValueError, HTTPException) as problem:
        reason = getattr(problem, "reason", problem)
        mend = "start it with `mlflow server`, or leave the URI out to record in the results folder"
        raise unreachable(uri, f"no MLflow server answers there ({reason})", mend) from None
    if version and int(version.partition(".")[0]) < OLDEST_SERVER:
        what = f"its server is MLflow {version}, which takes no model as it is logged now"
        raise refused(uri, what, f"give one of MLflow {OLDEST_SERVER} or later")


def _version(uri: str) -> str | None:
    """Return the version that an MLflow server tells, which those behind some proxies do not."""
    try:
        with _opened(uri, "version") as answer:
            told = answer.read(64).decode("ascii", "replace").strip()
    except urllib.error.HTTPError:
        return None
    return told if VERSION.fullmatch(told) else None


def _opened(uri: str, name: str) -> HTTPResponse:
    """Ask for a page by which an MLflow server tells of itself, as MLflow asks, which is not imported for it."""
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/{name}")
    request = urllib.request.Request(bare.geturl())
    if (key := _key(uri)) is not None:
        request.add_unredirected_header("Authorization", key)  # which is not for whom the server sends us to
    return urllib.request.urlopen(request, timeout=SERVER_SECONDS, context=_trust(uri) if parts.scheme == "https" else None)


def _key(uri: str) -> str | None:
    """Return what MLflow names us by: user and password of the URI, else of the environment or its file, else the token."""
    user = urlsplit(uri).netloc.rpartition("@")[0]
    file, token = ConfigParser(), os.environ.get("MLFLOW_TRACKING_TOKEN")
    try:
        file.read(os.path.expanduser(KEPT))
        kept = dict(file["mlflow"]) if "mlflow" in file else {}
    except (ConfigError, ValueError):  # whose text may hold a piece of the password
        raise unreachable(uri, f"{KEPT} is damaged", "mend or remove it") from None
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    given = [os.environ.get(name) or kept.get(name.lower()) for name in names]
    if ":" in user or all(given):
        whole = unquote(user) if ":" in user else ":".join(given)
        return f"Basic {b64encode(whole.encode()).decode()}"
    if token and not re.fullmatch("[!-~]+", token):  # what refuses it further on would print it
        raise unreachable(uri, "MLFLOW_TRACKING_TOKEN holds a blank, a line's end or a letter that no token has", "mend it")
    return f"Bearer {token}" if token else None


def _trust(uri: str) -> ssl.SSLContext:
    """Return by whose certificates MLflow would know the server: what the environment names, else this system's."""
    file = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    try:
        context = ssl.create_default_context(**{"capath" if os.path.isdir(file or "") else "cafile": file})
    except OSError as problem:
        what = f"MLFLOW_TRACKING_SERVER_CERT_PATH: {file!r} holds no certificates ({problem.strerror or problem})"
        raise unreachable(uri, what, "give a file or folder that does") from None
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _check_database(uri: str, kind: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, DBAPIError

    try:
        revision = strange(create_engine(uri, connect_args={DATABASES[kind]: SERVER_SECONDS}))
    except ModuleNotFoundError as problem:
        raise refused(uri, f"its driver {problem.name!r} is not installed", f"pip install {problem.name}") from None
    except (ArgumentError, ValueError) as problem:
        raise refused(uri, f"it is no URI of a database ({problem})", f"give {kind}://USER@HOST:PORT/DATABASE") from None
    except DBAPIError as problem:
        what = f"the database does not take us ({first_line(problem.orig)})"
        raise unreachable(uri, what, "start it, or mend the URI") from None
    if revision:
        raise refused(uri, strangers(revision), "give another database")


def strangers(revision: str) -> str:
    """Say whose tables those are of which `tables.strange` has found the revision."""
    return f"its tables are a newer MLflow's, or another program's (revision {revision!r:.40} is unknown here)"


def _check_sqlite(uri: str) -> None:
    if not uri.startswith("sqlite:///") or (path := file_of(uri)) is None:
        raise refused(uri, "it names no file, so every run would be lost", "give sqlite:///PATH/mlflow.db")
    if reason := unwritable(path.parent):
        raise refused(uri, reason, "give another path")
    if path.is_dir():
        raise refused(uri, "it is a folder", "give the path of a file in it")
    if path.is_file() and not _is_sqlite(path):
        raise refused(uri, "it is a file of another kind", "give the path of an SQLite file, or of none yet")
    if path.is_file():
        _check_tables(uri)


def _check_tables(uri: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        revision = strange(create_engine(uri))
    except OperationalError:
        return  # another process writes to it: MLflow waits for longer
    except DatabaseError as problem:
        raise refused(uri, f"it is damaged ({problem.orig})", "put back a copy of it, or give another path") from None
    if revision:
        raise refused(uri, strangers(revision), "give another path")


def _is_sqlite(path: Path) -> bool:
    """Tell whether a file can be a database: that of SQLite, or an empty one."""
    with path.open("rb") as file:
        return file.read(len(SQLITE)) in (SQLITE, b"")


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process alone create an SQLite store and its tables: two at once can break it for good.

    The store has its name only once its tables are whole: MLflow cannot go on with what a killed process left half made.

    Raises:
        EnvironmentProblem: its disk has no file locks.
    """
    if not uri.startswith("sqlite"):
        yield
        return
    path = file_of(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as problem:
            if problem.errno not in NO_LOCKS:
                raise
            raise without_locks(path.parent, problem) from None
        if not path.exists() or not path.stat().st_size:
            _create(path)
        yield


def _create(path: Path) -> None:
    """Create an SQLite store with MLflow's tables."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
    from sqlalchemy.exc import SADeprecationWarning

    part = path.with_name(f"{path.name}.part")
    remove(part)
    create_write_ahead(part)
    engine = create_sqlalchemy_engine(f"sqlite:///{quoted(part)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SADeprecationWarning)  # at what MLflow uses of SQLAlchemy
        _initialize_tables(engine)
    engine.dispose()  # and with the last connection goes the log
    remove(path)  # whose log, where one was left, is not the new one's
    part.replace(path)


def relocate(uri: str, results: Path) -> None:
    """Let MLflow's store in the results folder find its artifacts where the folder is now: it knows absolute paths only."""
    path, here = results / "mlflow.db", (results.resolve() / "artifacts").as_uri()
    if uri != default_uri(results) or not path.stat().st_size:
        return
    with closing(sqlite3.connect(path)) as connection, connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        if "experiments" not in tables:
            return
        query = "select distinct artifact_location from experiments where artifact_location like '%/artifacts'"
        for (there,) in connection.execute(query).fetchall():
            for table, column in ARTIFACT_COLUMNS if there != here else ():
                if table in tables:
                    moved = f"update {table} set {column} = ? || substr({column}, ?) where {column} = ? or {column} like ?"
                    connection.execute(moved, (here, len(there) + 1, there, f"{there}/%"))


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
