"""Where trials run: this machine by default, or a Ray cluster; and how many of them at a time."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search import gpus
from search.errors import EnvironmentProblem, SpaceError
from search.loopback import give_token, private_ray
from search.sections import Resources
from trainables.errors import BadInput, first_line

NODES_POLL_SECONDS = 1.0
ANSWER_SECONDS = 5
EMPTY_SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # a frame of HTTP/2 of type 4 without content
CODE = Path(__file__).parent.parent  # what workers must be able to import from, also where nothing is installed


@dataclass(frozen=True)
class Machine:
    """What a search may use. ``gpus`` is 0 where none is used; ``concurrent`` trials run at a time."""

    cpus: int
    gpus: int
    cpus_per_trial: float
    gpus_per_trial: float
    concurrent: int
    gpu_memory: int = 0  # bytes of the smallest GPU; 0 where unknown

    def per_trial(self) -> dict[str, float]:
        """Return the resources of one trial in Ray's terms."""
        gpu = {"gpu": self.gpus_per_trial} if self.gpus_per_trial else {}
        return {"cpu": self.cpus_per_trial, **gpu}

    @property
    def trials_per_gpu(self) -> int:
        return self.concurrent // self.gpus if self.gpus else 0

    def packed(self, trials_per_gpu: int) -> Machine:
        """Return this machine with another number of trials on each GPU."""
        concurrent = self.gpus * trials_per_gpu
        cores = min(self.cpus_per_trial, self.cpus / concurrent)  # a trial on a GPU can live on a part of a core
        return replace(self, concurrent=concurrent, cpus_per_trial=cores, gpus_per_trial=1 / trials_per_gpu)

    def describe(self) -> str:
        gpus = plural(self.gpus, "GPU") if self.gpus else "no GPU"
        return f"{plural(self.cpus, 'CPU core')}, {gpus}: {plural(self.concurrent, 'trial')} at a time"


def plural(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def this_machine(resources: Resources) -> Machine:
    """Look at this machine, without importing torch or Ray.

    Raises:
        BadInput: more was asked for than there is.
    """
    return replace(share_out(len(os.sched_getaffinity(0)), gpus.visible(), resources), gpu_memory=gpus.smallest())


def share_out(cpus: int, gpus: int, resources: Resources) -> Machine:
    """Divide ``cpus`` cores and ``gpus`` GPUs among trials as ``resources`` says.

    Raises:
        BadInput: more was asked for than there is.
    """
    if resources.gpus is not None and resources.gpus > gpus:
        raise BadInput(f"{resources.gpus} asked for, but there are {gpus}; give at most {gpus}", key="resources.gpus")
    if resources.cpus_per_trial > cpus:
        what = f"{resources.cpus_per_trial} asked for, but there are {cpus}"
        raise BadInput(f"{what}; give at most {cpus}", key="resources.cpus_per_trial")
    used = gpus if resources.gpus is None else resources.gpus
    if not used:
        return Machine(cpus, 0, resources.cpus_per_trial, 0.0, int(cpus // resources.cpus_per_trial))
    whole = Machine(cpus, used, resources.cpus_per_trial, 1, used)
    return whole.packed(1 if resources.trials_per_gpu == "auto" else resources.trials_per_gpu)


def check_address(address: str) -> None:
    """Refuse the address of a Ray cluster at which nothing listens.

    Raises:
        SpaceError: it is no address; names it and the mend.
        EnvironmentProblem: nothing answers there.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    mend = "give HOST:PORT of a running head node (`ray start --head`), or leave --address out"
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SpaceError(f"{address!r:.80} is no address; {mend}", place="--address")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            talks = "RAY_USE_TLS" in os.environ or talks_http2(connection)
    except (OSError, UnicodeError) as problem:
        raise EnvironmentProblem(f"--address: {address!r}: no Ray cluster answers there ({problem}); {mend}") from None
    if not talks:
        raise EnvironmentProblem(f"--address: {address!r}: what answers there is no Ray cluster; {mend}")


def talks_http2(connection: socket.socket) -> bool:
    """Tell whether gRPC may be spoken, as with a head node: Ray itself asks anything else for minutes.

    The server's first frame is its settings: RFC 9113, 3.4 and 4.1.
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EMPTY_SETTINGS)
    with suppress(TimeoutError):
        return connection.recv(len(EMPTY_SETTINGS), socket.MSG_WAITALL)[3:4] == EMPTY_SETTINGS[3:4]
    return False


def cluster_machine(address: str, resources: Resources, say: Callable[[str], None] = lambda text: None) -> Machine:
    """Join the Ray cluster at ``address``, and return what trials may use of it.

    Nodes may still be on their way: for so long as ``resources`` say they are waited for, after ``say`` was told so.

    Raises:
        SpaceError: it is no address.
        EnvironmentProblem: nothing answers there, or it has less than ``resources`` ask for.
    """
    check_address(address)
    give_token()
    with _joined(f"the Ray cluster at {address!r}", address=address) as ray:
        deadline, waiting = time.monotonic() + resources.wait_seconds, False
        while True:
            total = ray.cluster_resources()
            try:
                return share_out(int(total.get("CPU", 0)), int(total.get("GPU", 0)), resources)
            except BadInput as problem:
                if time.monotonic() >= deadline:
                    what = f"after {resources.wait_seconds:g} s of waiting: {problem.key}: {problem.message}, or start more nodes"
                    raise EnvironmentProblem(f"--address: {address!r}: {what}") from None
            if not waiting:
                say("waiting for more nodes of the cluster")
            waiting = True
            time.sleep(NODES_POLL_SECONDS)


@contextmanager
def _joined(what: str, **where: Any) -> Iterator[Any]:
    """Start or join Ray; yield the `ray` module.

    Raises:
        EnvironmentProblem: that fails; names ``what``.
    """
    import ray

    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as problem:  # the boundary to Ray, which raises a bare Exception where a part of it is slow to start
        raise EnvironmentProblem(f"{what} does not start: {first_line(problem)}") from None
    try:
        yield ray
    finally:
        ray.shutdown(wait_for_processes=True)  # by itself it leaves one that takes longer than a second to die


@contextmanager
def ray_session(machine: Machine, address: str | None = None, code: Sequence[str] = (), ahead: Sequence[str] = ()
                ) -> Iterator[tuple[Any, Machine]]:
    """Start Ray on ``machine``, or join the cluster at ``address``; yield the `ray` module and what trials may use of it.

    A cluster is given this project's packages, and ``code``: the user's own files and folders that trials import. On this
    machine, each worker imports the modules named in ``ahead`` before it is asked for anything.

    Raises:
        EnvironmentProblem: Ray does not start or the cluster does not take us.
    """
    with private_ray() if address is None else nullcontext() as folder:
        if address is None:
            where = {"address": "local", "num_cpus": machine.cpus, "num_gpus": machine.gpus, "include_dashboard": False,
                     "_temp_dir": folder, "_system_config": {"preload_python_modules": list(ahead)}}
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CODE), os.getcwd(), os.environ.get("PYTHONPATH"))))
        else:
            give_token()
            packages = [str(CODE / "search"), str(CODE / "trainables"), *code]
            where = {"address": address, "runtime_env": {"py_modules": packages}}
        with _joined(f"the Ray cluster at {address!r}" if address else "Ray on this machine", **where) as ray:
            yield ray, machine
