"""What a search's one-file summary may tell: that of a complete search is its `Outcome`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from search.endings import State, Stop
from search.space import check_name
from search.typed import read_as

if TYPE_CHECKING:
    from search.finish import Outcome

STATES = ("running", "interrupted", "failed")  # that a summary tells beside complete


@dataclass(frozen=True)
class Unfinished:
    """What the summary tells of a search that is not complete."""

    state: str
    name: str = ""
    pid: int = 0
    reason: str = ""
    trials: dict[str, int] = field(default_factory=dict)


def checked(summary: Any) -> dict[str, Any]:
    """Return a summary as the search wrote it, with the fields of a complete one that an earlier version did not have.

    Raises:
        ValueError, TypeError, KeyError or OverflowError: no search has written it.
    """
    from search.finish import Outcome

    if summary["state"] == "complete":
        outcome = read_as(Outcome, summary)
        check_outcome(outcome)
        return asdict(outcome)
    if read_as(Unfinished, summary).state not in STATES:
        raise ValueError(f"no search is {summary['state']!r}")
    return summary


def check_outcome(outcome: Outcome) -> None:
    """Refuse an outcome of which the types alone are right: what is printed of it relies on this.

    Raises:
        ValueError: its parts do not belong together.
    """
    check_name(outcome.name)
    Stop(outcome.ended_by)
    if not (
        set(State) <= outcome.trials.keys() and math.isfinite(outcome.seconds)
        and all(rung.correlation is not None or rung.trials < 2 for rung in outcome.rungs)
        and all(0 <= candidate.failed <= len(candidate.seeds) for candidate in outcome.candidates)
        and all(export.problem or export.latency_ms is not None for export in outcome.exports)
        and all(point.values.keys() == outcome.front[0].values.keys() for point in outcome.front)
    ):  # fmt: skip
        raise ValueError("its parts do not belong together")
