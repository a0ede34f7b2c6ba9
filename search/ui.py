"""`ui`: MLflow's own pages on a search's store, opened at its experiment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from search import folder as folders
from search.errors import EnvironmentProblem, SpaceError
from search.tracking import default_uri


def serve(results: Path, name: str | None, port: int, *, as_json: bool = False) -> int:
    """Serve MLflow's pages on this machine until interrupted; print the address first. Return the exit status.

    Raises:
        SpaceError: there is no such search, or its runs are on a server that needs no other.
        EnvironmentProblem: the port is taken.
    """
    summary = folders.read_summary(folders.find(results, name))
    uri = summary.get("tracking", default_uri(results))
    page = f"/#/experiments/{summary['experiment_id']}" if "experiment_id" in summary else "/"
    if uri.startswith("http"):
        return announce(uri.rstrip("/") + page, as_json)
    if not Path(uri.removeprefix("sqlite:///")).is_file():
        raise SpaceError(f"{uri!r} is not there any more; give the results folder that holds it", place=str(results))
    if taken(port):
        raise EnvironmentProblem(f"port {port} is taken; give another --port")
    announce(f"http://127.0.0.1:{port}{page}", as_json)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1"]
    return subprocess.run(command, env=os.environ, check=False).returncode


def announce(address: str, as_json: bool) -> int:
    print(json.dumps({"address": address}) if as_json else f"{address}  (Ctrl-C ends it)", flush=True)
    return 0


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
