"""A Ray cluster on this machine: a head and workers, each a node in processes of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_port

RAY = Path(sys.executable).parent / "ray"
START = [RAY, "start", "--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]


class Node:
    """`ray start` in a folder of its own, from which none of this project's code can be imported by accident."""

    def __init__(self, place: Path, token: dict[str, str], *arguments: str):
        place.mkdir()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen([*START, *arguments], cwd=place, env={**environment, **token}, text=True,
                                         start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "--block" in line:
                return
        self._process.communicate()
        raise AssertionError("".join(said))

    def kill(self) -> None:
        """Kill all of the node's processes at once, as when its machine loses power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()


class Cluster:
    """A head without a core and so many workers of so many ``cores`` each; ``token`` is the environment of who may join."""

    def __init__(self, place: Path):
        self.address = f"127.0.0.1:{free_port()}"
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._place = place
        self._nodes: list[Node] = []

    def start(self, workers: int, cores: int) -> None:
        self._add("--head", f"--port={self.address.partition(':')[2]}", "--num-cpus=0", "--include-dashboard=false")
        for _ in range(workers):
            self._add(f"--address={self.address}", f"--num-cpus={cores}")

    def _add(self, *arguments: str) -> None:
        self._nodes.append(Node(self._place / f"node{len(self._nodes)}", self.token, *arguments))

    @property
    def workers(self) -> list[Node]:
        return self._nodes[1:]

    def stop(self) -> None:
        for node in reversed(self._nodes):
            node.stop()


@contextmanager
def cluster(place: Path, workers: int = 2, cores: int = 1) -> Iterator[Cluster]:
    place.mkdir()
    started = Cluster(place)
    try:
        started.start(workers, cores)
        yield started
    finally:
        started.stop()
