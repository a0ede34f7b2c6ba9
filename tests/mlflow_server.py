"""A real MLflow server in a process of its own, and a proxy before it that loses what it is told to lose."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.conftest import free_port

START_SECONDS = 120  # on the busiest machine
SETTINGS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class Server:
    """`mlflow server` over a database, its artifacts in a folder; it can be killed and started again at the same address."""

    def __init__(self, folder: Path, store: str | None = None):
        self.store = store or f"sqlite:///{folder / 'mlflow.db'}"
        self._folder, self._port = folder, free_port()
        self._process: subprocess.Popen | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--artifacts-destination",
                   str(self._folder / "artifacts"), "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        with open(self._folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True,
                                             env={**os.environ, **SETTINGS})
        deadline = time.monotonic() + START_SECONDS
        while not self._well():
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "server.log").read_text()
            time.sleep(0.1)

    def _well(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it with all its workers, in the middle of whatever they do."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def served(folder: Path, store: str | None = None) -> Iterator[Server]:
    """A server that runs, unless it is killed."""
    server = Server(folder, store)
    try:
        server.start()
        yield server
    finally:
        server.kill()


STATUSES = {"busy": 503, "crowded": 429, "barred": 401}


class Proxy(ThreadingHTTPServer):
    """Hands requests on to an MLflow server, as its ``mood`` says.

    The moods: ``well``; ``dead``, closes the connection; ``mute``, the server does the work and its answer is lost;
    ``busy``, ``crowded`` and ``barred``, answers 503, 429 and 401 (the password was changed); ``slow``, takes two seconds;
    ``garbled``, changes the first byte of what is sent; ``hole``, does not answer until it is in another mood, and then
    closes. It has it where the pattern ``where`` is found in the path of a request, and ``met`` counts the requests that met
    another mood than ``well``. Where it has a ``key``, it is ``barred`` to requests with another Authorization.
    """

    def __init__(self, server: Server):
        super().__init__(("127.0.0.1", 0), Forward)
        self.behind, self.mood, self.where, self.met, self.key = server.uri, "well", "", 0, None
        self.uri = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.shutdown()
        self.server_close()


class Forward(BaseHTTPRequestHandler):
    server: Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        self.close_connection = True
        if not self.raw_requestline or not self.parse_request():
            return
        mood = self.server.mood if re.search(self.server.where, self.path) else "well"
        if self.server.key not in (None, self.headers.get("Authorization")):
            mood = "barred"
        self.server.met += mood != "well"
        while mood == "hole" == self.server.mood:
            time.sleep(0.05)
        if mood in ("dead", "hole"):
            return
        time.sleep(2.0 if mood == "slow" else 0.0)
        status, content = (STATUSES[mood], b"{}") if mood in STATUSES else self.forwarded(mood == "garbled")
        if mood != "mute":
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

    def forwarded(self, garbled: bool) -> tuple[int, bytes]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if garbled and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        headers = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "authorization")}
        request = urllib.request.Request(self.server.behind + self.path, body or None, headers, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as problem:
            return problem.code, problem.read()

    def log_message(self, *what: object) -> None:
        """Say nothing."""
