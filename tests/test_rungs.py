"""Who goes on at a rung, on curves made by hand; and whether the rungs told of the end."""

from __future__ import annotations

import pytest

from search import views
from search.diagnosis import RungCheck, check_rungs
from search.endings import Ending, Kind, State
from search.rungs import Rungs
from search.trials import Trial, Trials
from trainables.config import TrialConfig


def rungs(count: int, *epochs: int) -> Rungs:
    """Return rungs at ``epochs``, one in three going on, for trials 0 to ``count`` - 1."""
    found = Rungs(epochs, 3)
    for trial in range(count):
        found.add(trial)
    return found


@pytest.mark.parametrize("values, on", [
    ([5, 6], [0, 1]),  # the best so far
    ([5, 4], [0]),
    ([5, 6, 7, 8, 9], [0, 1, 2, 3, 4]),  # each the best so far
    ([5, 5, 5, 5, 5], [0, 1, 2, 3, 4]),
    ([1, 9, 6.4, 6.3], [0, 1, 2]),  # two thirds of the way from 1 to 9 is 6.33
    ([5, 4, 3, 2, 1, 4.5, 4.6, 4.7, 4.8], [0, 5, 6, 7, 8]),  # among the best third, and a third and one went on
    ([5, 4, 3, 2, 1, 4.5, 4.6, 4.7, 4.8, 4.9], [0, 5, 6, 7, 8]),  # which is then spent
    ([5, 4, 3, 2, 1, 4.5, 4.6, 4.7, 4.8, 5.1], [0, 5, 6, 7, 8, 9]),  # but for the best so far
])  # fmt: skip
def test_who_goes_on(values, on):
    found = rungs(len(values), 3, 9)
    assert [trial for trial, value in enumerate(values) if found.goes_on(trial, 3, value)] == on


def test_the_first_trial_is_never_stopped():
    found = rungs(3, 1)
    assert found.goes_on(1, 1, 9) and found.goes_on(0, 1, 0)
    assert not found.goes_on(2, 1, 0)


def test_between_rungs_and_at_a_second_report_nothing_is_decided():
    found = rungs(3, 3)
    assert found.goes_on(0, 2, 9) and found.goes_on(0, 3, 9)
    assert not found.goes_on(1, 3, 1)
    assert found.goes_on(1, 3, 1) and found.goes_on(1, 4, 1)


def test_a_rung_that_tells_the_contrary_stops_nobody():
    found = rungs(9, 1)
    for trial, value in enumerate([1, 2, 3]):
        assert found.goes_on(trial, 1, value)
    assert not found.goes_on(3, 1, 0)
    for trial, last in enumerate([9, 5, 1]):
        found.finish(trial, last)
    assert found.misleads(1) and found.goes_on(4, 1, 0)


def finished(rows: list[tuple[float, float, float]]) -> Trials:
    """Return complete trials of three epochs with these accuracies."""
    trials = Trials("accuracy", "max")
    for number, values in enumerate(rows):
        trial = Trial(number, {}, TrialConfig(epochs=3))
        trial.rows += [{"epoch": epoch, "accuracy": value} for epoch, value in enumerate(values, 1)]
        trial.end(Ending(State.COMPLETE, value=values[-1]))
        trials.add(trial)
    return trials


def test_a_check_compares_what_finished():
    trials = finished([(5, 1, 1), (4, 2, 2), (3, 3, 3), (2, 4, 4), (1, 5, 5)])
    stopped = Trial(5, {}, TrialConfig(epochs=3), [{"epoch": 1, "accuracy": 0.0}])
    stopped.end(Ending(State.PRUNED, Kind.SCHEDULER, 0.0))
    trials.add(stopped)
    assert check_rungs(trials, (1, 2)) == [RungCheck(1, 5, -1.0), RungCheck(2, 5, 1.0)]
    assert [check.misleads for check in check_rungs(trials, (1, 2))] == [True, False]
    assert check_rungs(finished([(1, 2, 3)]), (1,)) == [RungCheck(1, 1, None)]


def test_what_is_said_about_rungs():
    rungs = [{"epoch": 1, "trials": 6, "correlation": -0.2}, {"epoch": 3, "trials": 6, "correlation": 0.8},
             {"epoch": 9, "trials": 1, "correlation": None}]
    assert views.rung_checks(rungs) == [
        "rungs     rank correlation with the last epoch: -0.20 at epoch 1, 0.80 at epoch 3",
        "          epoch 1 does not tell which of 6 finished trials ended best; raise schedule.grace_period above it",
    ]
    assert views.rung_checks([]) == []
