"""What stops a search before its end: Ctrl-C, SIGTERM, a terminal that closes, or an environment that lets it not go on.

The first signal asks the search to stop in order, the second leaves at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from search.errors import EnvironmentProblem, Interrupted
from search.redact import redacted


@contextmanager
def kept(number: int) -> Iterator[None]:
    """Let signal ``number`` do afterwards what it did before, whatever code in C has made of it meanwhile; in any thread."""
    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig  # what `signal` itself calls, in the main thread
    get.restype = put.restype = ctypes.c_void_p
    get.argtypes, put.argtypes = [ctypes.c_int], [ctypes.c_int, ctypes.c_void_p]
    before = get(number)
    try:
        yield
    finally:
        put(number, before)


@contextmanager
def blocked(number: int) -> Iterator[None]:
    """Let this thread, and for ever the threads and processes that it starts meanwhile, not have signal ``number``."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interrupts:
    """Context manager that notes a signal instead of dying of it, and the problem that somebody else came upon.

    Args:
        said: file descriptor for the last words of a search that cannot be ended in order.

    Attributes:
        signal: number of the signal that came, or None.
        problem: what `stop` was given, or None.
    """

    def __init__(self, said: int = 2) -> None:
        self._said = said
        self.signal: int | None = None
        self.problem: EnvironmentProblem | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        self.listen()
        return self

    def listen(self) -> None:
        """Take the signals, again where somebody has taken them since, as Ray does with SIGTERM at its start and its end."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                before = self._before.setdefault(number, signal.getsignal(number))
                if number != signal.SIGHUP or before != signal.SIG_IGN:  # which is how `nohup` starts a command
                    signal.signal(number, self._note)

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self, problem: EnvironmentProblem) -> None:
        """Ask the search to stop in order, for the first problem that comes."""
        self.problem = self.problem or problem

    def leave(self) -> None:
        """End this process at once, with the line and the status of the problem. What was noted is in the record."""
        os.write(self._said, f"search: error: {redacted(str(self.problem))}\n".encode())
        os._exit(self.problem.exit_status)

    @property
    def stopped(self) -> bool:
        return self.signal is not None or self.problem is not None

    def check(self) -> None:
        """Raise what the search was stopped for, if it was.

        Raises:
            EnvironmentProblem: what `stop` was given.
            Interrupted: a signal came.
        """
        if self.problem is not None:
            raise self.problem
        if self.signal is not None:
            raise Interrupted(self.signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number != signal.SIGHUP:  # which shell and kernel may both send
            os._exit(128 + number)
        self.signal = self.signal or number
