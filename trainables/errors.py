"""The root of the project's exception tree. Standard library only."""

from __future__ import annotations

import errno


class BadInput(ValueError):
    """A mistake in what the user gave: one line that says what is wrong and how to mend it.

    Args:
        message: what is wrong, the value, and the mend; no location and no full stop.
        key: dotted path of the key in the space file that is to blame, such as ``data.root``;
            whoever knows the space file turns it into ``file:line``.
        file: the file that is to blame where it is not the space file (a label file, an image).
        line: 1-based line in ``file``.
    """

    def __init__(self, message: str, *, key: str | None = None, file: str | None = None, line: int | None = None):
        super().__init__(message)
        self.message, self.key, self.file, self.line = message, key, file, line

    def __str__(self) -> str:
        place = "".join(f"{part}:" for part in (self.file, self.line) if part is not None)
        return f"{place} {self.message}" if place else self.message


class NotFinite(ArithmeticError):
    """The training loss became NaN or infinite, so that no later epoch can mean anything."""


class Undefined(ArithmeticError):
    """The objective's formula has no value for what a trial came to."""


class TimedOut(Exception):
    """An epoch took longer than it may."""


class Unusable(Exception):
    """The machine is to blame and not what it was asked to do, so that nothing can go on; the line ends with the mend."""


class DiskFull(Unusable):
    """The disk takes no more; what was written before is whole."""


def first_line(problem: BaseException) -> str:
    """Return the first line of what ``problem`` says, or its kind where it says nothing."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0]


FULL = (errno.ENOSPC, errno.EDQUOT)  # what an OSError of a full disk says
