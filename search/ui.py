"""`ui`: MLflow's own pages on a search's store, opened at its experiment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from search import folder as folders
from search.errors import EnvironmentProblem, SpaceError
from search.interrupt import Interrupts
from search.stores import default_uri

START_SECONDS = 60
POLL_SECONDS = 0.2


def serve(results: Path, name: str | None, port: int, *, as_json: bool = False) -> int:
    """Serve MLflow's pages on this machine until interrupted; print where, and open a browser if there is one.

    Raises:
        SpaceError: there is no such search, or its runs are on a server that needs no other.
        EnvironmentProblem: the port is taken.
    """
    summary = folders.read_summary(folders.find(results, name))
    uri = summary.get("tracking", default_uri(results))
    if uri.startswith("http"):
        return announce(uri.rstrip("/"), summary, as_json)
    if not Path(uri.removeprefix("sqlite:///")).is_file():
        raise SpaceError(f"{uri!r} is not there any more; give the results folder that holds it", place=str(results))
    if taken(port):
        raise EnvironmentProblem(f"port {port} is taken; give another --port")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1"]
    with Interrupts() as interrupts, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(server, port, interrupts)
            announce(f"http://127.0.0.1:{port}", summary, as_json)
            while server.poll() is None and interrupts.signal is None:
                time.sleep(POLL_SECONDS)
        finally:
            server.terminate()
    return 0


def wait_for(server: subprocess.Popen, port: int, interrupts: Interrupts) -> None:
    """Return once MLflow answers on ``port``, or the user has had enough.

    Raises:
        EnvironmentProblem: it ended, or a minute passed.
    """
    deadline = time.monotonic() + START_SECONDS
    while not taken(port) and interrupts.signal is None:
        if server.poll() is not None or time.monotonic() > deadline:
            raise EnvironmentProblem(f"MLflow's pages did not start on port {port}; try `mlflow ui` to see why")
        time.sleep(POLL_SECONDS)


def announce(server: str, summary: dict[str, Any], as_json: bool) -> int:
    """Print where the search's runs are: nested below it, and ranked beside their curves."""
    if "experiment_id" not in summary:
        pages = {"address": server}
    else:
        runs = f"{server}/#/experiments/{summary['experiment_id']}/runs"
        ascending = "true" if summary["metric"] == "loss" else "false"
        order = {"searchFilter": f"tags.search = '{summary['name']}'", "orderByKey": f"metrics.`{summary['metric']}`",
                 "orderByAsc": ascending, "compareRunsMode": "CHART"}
        pages = {"address": runs, "curves": f"{runs}?{urlencode(order, quote_via=quote)}"}
    print(json.dumps(pages) if as_json else "\n".join(f"{name:<8} {page}" for name, page in pages.items()), flush=True)
    if sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform != "linux"):
        webbrowser.open(pages["address"])
    return 0


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
