"""A Ray that nobody but this user on this machine can reach: on loopback, behind a token, its files in a private folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from search.errors import EnvironmentProblem

LONGEST_PLACE = 107 - len("/search-12345678/ray/session_2026-11-23_02-04-41_142792_4194304/sockets/plasma_store")  # of sun_path
PREFIX, LOCK = "search-", "held"
ESSENTIAL = ("raylet", "gcs_server")  # Ray's processes without which nothing goes on
LOOK_SECONDS = 0.5
GONE_SECONDS, LEAVE_SECONDS = 10.0, 30.0  # together less than the 60 s after which Ray ends the process


@contextmanager
def private_ray() -> Iterator[str]:
    """Make `ray.init(address="local")` start a private Ray; yield the ``_temp_dir`` to give it, removed afterwards.

    Whoever reaches Ray's ports can run code in it. By itself Ray opens them on every network of the machine, and its
    session's folder to every user. What it cannot do without listens on 127.0.0.1 and asks for the token: the store of
    its state, the node's manager and objects, the agent of runtime environments, the driver and each worker. The token
    is in the environment of these processes and in no file, and afterwards this process has again what the user gave it.
    """
    from ray._private import ray_constants
    from ray.tune.execution import class_cache

    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in own}
    tell_ray(own)
    on_networks = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # Ray's switch for macOS and Windows, which no argument of `init` reaches
    # Tune hands these on to its workers, which inherit them here: without, they can be the processes that Ray started ahead.
    handed_on = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
    try:
        with private_folder(place()) as folder:
            yield os.path.join(folder, "ray")  # Ray opens the folder that it is given to all users, and not what it is in
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = on_networks
        class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = handed_on
        tell_ray(before)


def place() -> Path:
    """Return the folder for Ray's files: RAY_TMPDIR, or the system's, where the names of sockets below it are not too long.

    Raises:
        EnvironmentProblem: it is no folder that can be written.
    """
    given = os.environ.get("RAY_TMPDIR")
    found = Path(given or tempfile.gettempdir())
    if not given and len(os.fsencode(found)) > LONGEST_PLACE:
        found = Path("/tmp")
    if len(os.fsencode(found)) > LONGEST_PLACE or not os.access(found, os.W_OK | os.X_OK):
        what = f"RAY_TMPDIR: Ray cannot have its files in {str(found)!r}"
        raise EnvironmentProblem(f"{what}; give a folder that can be written, of at most {LONGEST_PLACE} bytes")
    return found


@contextmanager
def private_folder(place: Path) -> Iterator[str]:
    """Make a folder in ``place`` for this user alone, removed afterwards; those of killed processes are removed now."""
    for lock in place.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError):  # where another process has it, or it goes meanwhile
            if lock.parent.lstat().st_uid == os.geteuid():
                with open(lock) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True) as folder:
        with open(os.path.join(folder, "new"), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.replace(file.name, os.path.join(folder, LOCK))  # by its name only once it is held
            yield folder


def tell_ray(environment: Mapping[str, str | None]) -> None:
    """Set or take away these environment variables, and let Ray, which reads them once a process, read them again."""
    from ray._raylet import AuthenticationTokenLoader, Config

    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    Config.initialize("")  # first, or a thread of Ray that still runs asks for a token that is gone
    AuthenticationTokenLoader.instance().reset_cache()


def died() -> EnvironmentProblem | None:
    """Return the problem that the private Ray has died, if it has: a search then waits for ever, or ends without a word."""
    from ray._private import worker

    for kind, process in worker._global_node.dead_processes() if worker._global_node else ():
        if kind in ESSENTIAL:
            how = f"its process {kind!r} ended with status {process.returncode}"
            return EnvironmentProblem(f"Ray on this machine died ({how}); go on with `resume`")
    return None


class Head:
    """The head node of the cluster that this process has joined, if any: Ray itself waits for it for 60 s, and then exits."""

    def __init__(self) -> None:
        from ray._private import worker

        self._address = None if worker._global_node is None or worker._global_node.head else worker._global_node.gcs_address
        self._answered = time.monotonic()

    def gone(self) -> EnvironmentProblem | None:
        """Return the problem that it has not answered for `GONE_SECONDS`, if it has not."""
        if self._address is None:
            return None
        try:
            host, _, port = self._address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_SECONDS).close()
            self._answered = time.monotonic()
        except OSError as problem:
            if time.monotonic() - self._answered > GONE_SECONDS:
                what = f"the head node of the Ray cluster at {self._address!r} does not answer any more ({problem})"
                return EnvironmentProblem(f"{what}; start the cluster again and go on with `resume`")
        return None


@contextmanager
def watched(stop: Callable[[EnvironmentProblem], None], leave: Callable[[], None]) -> Iterator[None]:
    """Tell ``stop`` when the private Ray has died, or the head node of the cluster; where that stops nothing, ``leave``.

    A call of Ray that waits for such a head is ended by nothing but Ray, which then ends the process without a word.
    """
    over, head = threading.Event(), Head()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if problem := died() or head.gone():
                stop(problem)
                return None if over.wait(LEAVE_SECONDS) else leave()

    threading.Thread(target=look, name="ray-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def give_token() -> None:
    """Let `ray.init(address=HOST:PORT)` show the token that this user has, if any, as `ray start` asks for it.

    By itself Ray shows it only to a cluster whose address it found.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    tell_ray({})  # an earlier Ray of this process may have looked for a token before the user gave it
