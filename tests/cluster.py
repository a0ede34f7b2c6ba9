"""A Ray cluster on this machine: a head and workers, each a node in processes of its own, or in a network of its own, too."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port

RAY = Path(sys.executable).parent / "ray"
START = [RAY, "start", "--block", "--disable-usage-stats"]
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """Where a node's processes are: its address, and the network namespace that has it, if it is not this machine's own.

    Of the folder ``without`` it has another than this machine.
    """

    address: str = LOOPBACK
    namespace: str = ""
    without: str = ""

    @property
    def prefix(self) -> list[str]:
        if self.without:
            return ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs {self.without} && exec "$@"', "sh"]
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def cut_off(self) -> None:
        """Take the node's cable away: it lives, and nobody reaches it. Skips where it has no network of its own."""
        if not self.namespace:
            pytest.skip("no network namespaces on this machine")
        ip("-n", self.namespace, "link", "set", "inside", "down")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def networks(workers: int) -> Iterator[list[Place]]:
    """Yield the head's place and the workers', each in a network of its own; where that may not be, in this machine's."""
    with ExitStack() as stack:
        try:
            places = list(joined(workers, stack))
        except (OSError, subprocess.CalledProcessError):
            stack.close()
            places = [Place()] * (1 + workers)
        yield places


def joined(workers: int, stack: ExitStack) -> Iterator[Place]:
    """Make a network namespace for each worker, all on a bridge with the head; ``stack`` takes them away again."""
    number = os.getpid() % 200 + 20
    bridge, subnet = f"search{number}", f"10.77.{number}"
    ip("link", "add", bridge, "type", "bridge")
    stack.callback(ip, "link", "del", bridge)
    ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
    ip("link", "set", bridge, "up")
    yield Place(f"{subnet}.1")
    for worker in range(workers):
        place, outside = Place(f"{subnet}.{worker + 11}", f"search-{number}-{worker}"), f"s{number}-{worker}"
        ip("netns", "add", place.namespace)
        stack.callback(ip, "netns", "del", place.namespace)
        ip("link", "add", outside, "type", "veth", "peer", "name", "inside", "netns", place.namespace)
        ip("link", "set", outside, "master", bridge, "up")
        ip("-n", place.namespace, "addr", "add", f"{place.address}/24", "dev", "inside")
        for name in ("inside", "lo"):
            ip("-n", place.namespace, "link", "set", name, "up")
        yield place


class Node:
    """`ray start` in a folder of its own, from which none of this project's code can be imported by accident."""

    def __init__(self, folder: Path, place: Place, token: dict[str, str], *arguments: str):
        folder.mkdir()
        self.place = place
        command = [*place.prefix, *START, f"--node-ip-address={place.address}", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(command, cwd=folder, env={**environment, **token}, text=True,
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

    def cut_off(self) -> None:
        self.place.cut_off()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        if not self._process.stdout.closed:
            self._process.communicate()


class Cluster:
    """A head without a core and so many workers of so many ``cores`` each; ``token`` is the environment of who may join."""

    def __init__(self, place: Path, places: list[Place]):
        self.address = f"{places[0].address}:{free_port()}"
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._place, self._places = place, places
        self._nodes: list[Node] = []

    def start(self, cores: int) -> None:
        self._add("--head", f"--port={self.address.partition(':')[2]}", "--num-cpus=0", "--include-dashboard=false")
        for _ in self._places[1:]:
            self._add(f"--address={self.address}", f"--num-cpus={cores}")

    def _add(self, *arguments: str) -> None:
        number = len(self._nodes)
        self._nodes.append(Node(self._place / f"node{number}", self._places[number], self.token, *arguments))

    @property
    def head(self) -> Node:
        return self._nodes[0]

    @property
    def workers(self) -> list[Node]:
        return self._nodes[1:]

    def stop(self) -> None:
        for node in reversed(self._nodes):
            node.stop()


@contextmanager
def cluster(place: Path, workers: int = 2, cores: int = 1, *, apart: bool = False, without: str = "") -> Iterator[Cluster]:
    """Start a cluster below ``place``; ``apart``, with each worker in a network of its own.

    Args:
        without: a folder that the workers do not share with this machine; skips where they cannot have their own.
    """
    place.mkdir()
    if without and subprocess.run([*Place(without=without).prefix, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces on this machine")
    with networks(workers) if apart else nullcontext([Place(), *[Place(without=without)] * workers]) as places:
        started = Cluster(place, places)
        try:
            started.start(cores)
            yield started
        finally:
            started.stop()
