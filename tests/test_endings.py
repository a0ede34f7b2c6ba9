"""One function names every end of a trial."""

from __future__ import annotations

import math

import pytest

from search.endings import Ending, Kind, State, decide


def rows(*values):
    return [{"epoch": number, "accuracy": value} for number, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("given", "circumstances", "expected"),
    [
        pytest.param(rows(0.5, 0.6, 0.7), {}, Ending(State.COMPLETE, value=0.7), id="ran to its last epoch"),
        pytest.param(rows(0.5, 0.6), {}, Ending(State.PRUNED, Kind.SCHEDULER, 0.6), id="stopped by the scheduler"),
        pytest.param(rows(0.5), {"stopped_by": Kind.BUDGET}, Ending(State.PRUNED, Kind.BUDGET, 0.5), id="time over"),
        pytest.param([], {"stopped_by": Kind.BUDGET}, Ending(State.PRUNED, Kind.BUDGET), id="time over before an epoch"),
        pytest.param([], {}, Ending(State.FAILED, Kind.BAD_REPORT, message="the trial ended without reporting an epoch"),
                     id="never reported"),
        pytest.param(rows(0.5), {"failure": ("out of memory", "no room")},
                     Ending(State.FAILED, Kind.OUT_OF_MEMORY, message="no room"), id="out of memory"),
        pytest.param(rows(0.5, math.nan), {}, Ending(State.FAILED, Kind.NOT_FINITE, message="the trial reported nan"), id="nan"),
        pytest.param(rows(0.5, -math.inf, 0.7)[:2], {}, Ending(State.FAILED, Kind.NOT_FINITE, message="the trial reported -inf"),
                     id="infinite"),
        pytest.param(rows(None), {}, Ending(State.FAILED, Kind.BAD_REPORT,
                     message="the trial reported None where a number belongs"), id="none"),
        pytest.param(rows("good"), {}, Ending(State.FAILED, Kind.BAD_REPORT,
                     message="the trial reported 'good' where a number belongs"), id="text"),
        pytest.param([{"epoch": 1}], {}, Ending(State.FAILED, Kind.BAD_REPORT,
                     message="the trial reported None where a number belongs"), id="lacks the metric"),
    ],
)
def test_an_end_has_one_name(given, circumstances, expected):
    assert decide(given, "accuracy", 3, **circumstances) == expected
