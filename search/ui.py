"""`ui`: MLflow's own pages on a search's store, opened at its experiment, or Optuna's dashboard on its study."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from search import folder as folders
from search.errors import EnvironmentProblem, SpaceError
from search.interrupt import Interrupts
from search.record import read_record
from search.stores import default_uri, file_of

HOST = "127.0.0.1"
START_SECONDS = 180  # of a server that lives: on a busy machine it takes more than a minute
POLL_SECONDS = 0.2


def serve(results: Path, name: str | None, port: int, *, as_json: bool = False) -> int:
    """Serve MLflow's pages on this machine until interrupted; print where, and open a browser if there is one.

    Raises:
        SpaceError: there is no such search, or its store is gone.
        EnvironmentProblem: the port is taken.
    """
    folder = folders.find(results, name)
    summary, mode = folders.read_summary(folder), read_record(folder).trials.mode
    uri = summary.get("tracking", default_uri(results))
    if uri.startswith("http"):
        return announce(pages_of(uri.rstrip("/"), summary, mode), as_json)
    if uri.startswith("sqlite") and not file_of(uri).is_file():
        raise SpaceError(f"{uri!r} is not there any more; give the results folder that holds it", place=str(results))
    command = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", HOST, "--port", str(port), "--workers", "1"]
    return keep_open(command, port, pages_of(f"http://{HOST}:{port}", summary, mode), as_json)


def serve_dashboard(results: Path, name: str | None, port: int, *, as_json: bool = False) -> int:
    """Serve Optuna's dashboard on the search's study until interrupted, as `serve` does MLflow's pages.

    Raises:
        SpaceError: there is no such search, it has no study, or the dashboard is not installed.
        EnvironmentProblem: the port is taken.
    """
    study = folders.find(results, name) / folders.STUDY
    if not study.is_file():
        raise SpaceError("the search has no study there; `resume` writes it anew", place=str(study))
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise SpaceError("Optuna's dashboard is not installed; pip install optuna-dashboard", place="--optuna")
    code = f"import optuna_dashboard as o; o.run_server({f'sqlite:///{study}'!r}, {HOST!r}, {port})"
    return keep_open(["-c", code], port, {"address": f"http://{HOST}:{port}/dashboard/studies/1"}, as_json)


def keep_open(arguments: Sequence[str], port: int, pages: dict[str, str], as_json: bool) -> int:
    """Run Python with ``arguments``, which serve ``pages``, until interrupted."""
    if taken(port):
        raise EnvironmentProblem(f"port {port} is taken; give another --port")
    command, nowhere = [sys.executable, *arguments], subprocess.DEVNULL
    with Interrupts() as interrupts, subprocess.Popen(command, stdout=nowhere, stderr=nowhere) as server:
        try:
            wait_for(server, port, interrupts)
            announce(pages, as_json)
            while server.poll() is None and interrupts.signal is None:
                time.sleep(POLL_SECONDS)
        finally:
            server.terminate()
    return 0


def wait_for(server: subprocess.Popen, port: int, interrupts: Interrupts) -> None:
    """Return once the server answers on ``port``, or the user has had enough.

    Raises:
        EnvironmentProblem: it ended, or `START_SECONDS` passed.
    """
    deadline = time.monotonic() + START_SECONDS
    while not taken(port) and interrupts.signal is None:
        if server.poll() is not None or time.monotonic() > deadline:
            raise EnvironmentProblem(f"nothing answers on port {port}; try `mlflow ui` or `optuna-dashboard` to see why")
        time.sleep(POLL_SECONDS)


def pages_of(server: str, summary: dict[str, Any], mode: str) -> dict[str, str]:
    """Return where the search's runs are: nested below it, and ranked beside their curves, the best first."""
    if "experiment_id" not in summary:
        return {"address": server}
    runs = f"{server}/#/experiments/{summary['experiment_id']}/runs"
    order = {"searchFilter": f"tags.search = '{summary['name']}'", "orderByKey": f"metrics.`{summary['metric']}`",
             "orderByAsc": "true" if mode == "min" else "false", "compareRunsMode": "CHART"}
    return {"address": runs, "curves": f"{runs}?{urlencode(order, quote_via=quote)}"}


def announce(pages: dict[str, str], as_json: bool) -> int:
    """Print where the pages are, and open the first in a browser if there is one."""
    print(json.dumps(pages) if as_json else "\n".join(f"{name:<8} {page}" for name, page in pages.items()), flush=True)
    if sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform != "linux"):
        webbrowser.open(pages["address"])
    return 0


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
