"""The scheduler restored from a record decides as if it had never stopped."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers import TrialScheduler

from search.endings import Ending, Kind, State
from search.scheduler import Asha
from search.space import load_space
from search.trials import Trial


@pytest.fixture
def space(space_file):
    return load_space(space_file, ["schedule={max_epochs: 27, grace_period: 1, reduction_factor: 3}"])


def test_what_a_rung_stopped_is_known_where_its_end_was_not_recorded(space):
    """So that it does not train on to the next rung; a trial that went on, or that has its end, is no such."""
    scheduler, trials = Asha(space), [Trial(number, {}, space.trial_config({})) for number in range(4)]
    events = [("begin", trial) for trial in trials]
    for trial, score in zip(trials, (0.5, 0.9, 0.1, 0.2), strict=True):
        events.append(("epoch", trial, {"epoch": 1, "accuracy": score}))
    trials[2].end(Ending(State.PRUNED, Kind.SCHEDULER, 0.1))
    events.append(("end", trials[2]))
    assert scheduler.restore(events) == {3}


def test_restored_it_decides_as_if_it_had_never_stopped(space):
    """40 trials in 27 epochs, in a random order; after 300 reports one scheduler is restored from what was told the other."""
    generator = np.random.default_rng(0)
    scores = np.sort(generator.random((40, 27)), axis=1)
    straight, restored, events = Asha(space), Asha(space), []
    trials = [Trial(number, {}, space.trial_config({})) for number in range(40)]
    handles = [SimpleNamespace(config={"number": trial.number, "trial": {"epochs": 27}}) for trial in trials]
    stopped, differences = set(), []
    for trial, handle in zip(trials, handles, strict=True):
        straight.on_trial_add(None, handle)
        events.append(("begin", trial))
    for turn, number in enumerate(generator.integers(0, 40, 1500)):
        if turn == 300:
            restored.restore(events)
        trial = trials[number]
        if number in stopped or trial.ending:
            continue
        row = {"epoch": trial.epoch + 1, "accuracy": scores[number, trial.epoch]}
        decisions = [scheduler.on_trial_result(None, handles[number], row)
                     for scheduler in ((straight,) if turn < 300 else (straight, restored))]
        differences += [turn] if len(set(decisions)) > 1 else []
        trial.rows.append(row)
        events.append(("epoch", trial, row))
        if decisions[0] == TrialScheduler.STOP:
            stopped.add(number)
        elif trial.epoch == 27:
            trial.end(Ending(State.COMPLETE, value=row["accuracy"]))
            straight.on_trial_complete(None, handles[number], row)
            restored.on_trial_complete(None, handles[number], row)
            events.append(("end", trial))
    assert not differences and len(stopped) > 20
    assert {trials[number].epoch for number in stopped} >= {1, 3}
