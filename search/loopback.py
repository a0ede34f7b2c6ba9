"""A Ray that nobody but this user on this machine can reach: on loopback, behind a token, its files in a private folder."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def private_ray() -> Iterator[str]:
    """Make `ray.init(address="local")` start a private Ray; yield the ``_temp_dir`` to give it, removed afterwards.

    Whoever reaches Ray's ports can run code in it. By itself Ray opens them on every network of the machine, and its
    session's folder to every user. What it cannot do without listens on 127.0.0.1 and asks for the token: the store of
    its state, the node's manager and objects, the agent of runtime environments, the driver and each worker. The token
    is in the environment of these processes and in no file.
    """
    from ray._private import ray_constants

    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # once a process: Ray reads it once
    on_networks = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # Ray's switch for macOS and Windows, which no argument of `init` reaches
    try:
        # Ray opens the folder that it is given to all users, so it is given one below a private folder.
        place = os.environ.get("RAY_TMPDIR")
        with tempfile.TemporaryDirectory(prefix="search-", dir=place, ignore_cleanup_errors=True) as folder:
            yield os.path.join(folder, "ray")
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = on_networks


def give_token() -> None:
    """Let `ray.init(address=HOST:PORT)` show the token that this user has, if any, as `ray start` asks for it.

    By itself Ray shows it only to a cluster whose address it found.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
