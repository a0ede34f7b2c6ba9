"""The budget in all its parts: what is left, what runs out first, and that the search says what ended it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from search.clock import Clock
from search.endings import Ending, State, Stop
from search.errors import SpaceError
from search.plan import make_plan
from search.repeats import Reserve
from search.resources import share_out
from search.searcher import OptunaSearcher, create_study
from search.sections import Resources
from search.space import load_space
from search.trials import Trial, Trials, now
from search.views import plan as plan_view
from trainables.config import TrialConfig

CLOCKS = {  # wall, GPU-seconds, GPUs, and what comes of them: the whole budget, what ends it, what trials may take
    "none": (None, None, 2, None, None, math.inf),
    "a tenth is kept back": (100.0, None, 0, 100.0, Stop.MINUTES, 90.0),
    "but no more than 30 s": (1000.0, None, 0, 1000.0, Stop.MINUTES, 970.0),
    "two GPUs spend twice": (None, 3600.0, 2, 1800.0, Stop.GPU_HOURS, 1770.0),
    "minutes first": (600.0, 3600.0, 4, 600.0, Stop.MINUTES, 570.0),
    "GPU-hours first": (1000.0, 3600.0, 4, 900.0, Stop.GPU_HOURS, 870.0),
}


@pytest.mark.parametrize(("wall", "gpu_seconds", "gpus", "whole", "first", "left"), CLOCKS.values(), ids=CLOCKS)
def test_what_is_left(wall, gpu_seconds, gpus, whole, first, left) -> None:
    clock = Clock(wall, gpu_seconds, gpus)
    assert clock.seconds == whole
    assert clock.left == pytest.approx(left, abs=1)
    assert whole is None or clock.tightest is first


@pytest.mark.parametrize(("again", "left"), [(20.0, 250.0), (1000.0, 210.0)], ids=["what it takes", "but no more than a fifth"])
def test_what_is_kept_back_for_training_again(again: float, left: float) -> None:
    clock = Clock(300.0, again=again)
    assert clock.left == pytest.approx(left, abs=1) and clock.left_again == pytest.approx(270.0, abs=1)


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        pytest.param((40.0, 22.0, 80.0), 225.0, id="two once more, side by side, for which there is time"),
        pytest.param((4.0, 4.0, 4.0), 253.0, id="all of it, three rounds of two"),
        pytest.param((60.0, 60.0, 60.0), 270.0, id="nothing where nothing would fit"),
    ],
)
def test_only_what_can_be_used_is_kept_back(space_file: Path, seconds: tuple[float, ...], left: float) -> None:
    """Five seconds go by until a worker has torch; two trials at a time; 270 s until what is kept back for the rest."""
    plan = make_plan(load_space(space_file, ["finish={top: 3, seeds: 3}"]), share_out(2, 0, Resources()))
    trials, clock = Trials("accuracy", "max"), Clock(300.0)
    reserve = Reserve(plan, trials, clock)
    for number, whole in enumerate(seconds):
        rows = [{"epoch": 1, "accuracy": 0.9 - number / 10, "seconds": whole}]
        trials.add(trial := Trial(number, {}, TrialConfig(), rows))
        trial.end(Ending(State.COMPLETE, value=rows[0]["accuracy"]))
        reserve.end(trial)
    assert clock.left == pytest.approx(left, abs=1)


def test_gpu_hours_without_a_gpu_are_refused(space_file: Path) -> None:
    space = load_space(space_file, ["budget={gpu_hours: 2}", "resources.gpus=0"])
    with pytest.raises(SpaceError) as caught:
        make_plan(space)
    assert str(caught.value) == ("--set budget={gpu_hours: 2}: budget.gpu_hours: 2 hours of a GPU, and no GPU is used here; "
                                 "give budget.minutes, or remove it")


def test_check_says_the_whole_budget(space_file: Path) -> None:
    space = load_space(space_file, ["budget={trials: 50, minutes: 2.5, gpu_hours: 4, patience: 10}"])
    shown = plan_view(make_plan(space, share_out(16, 2, Resources())))
    assert ("budget      50 trials, at most 2.5 minutes, the finish included, at most 4 hours of 2 GPUs together, "
            "or until 10 trials bring nothing better") in shown


def ended(number: int, value: float | None, at: float) -> Trial:
    trial = Trial(number, {}, TrialConfig(), rows=[{"epoch": 10}], started=0.0)
    trial.end(Ending(State.FAILED if value is None else State.COMPLETE, value=value))
    trial.ended = at
    return trial


def test_trials_since_the_best() -> None:
    """Counted in the order in which they ended; a trial that runs, or equals the best, is no progress."""
    trials = Trials("accuracy", "max")
    assert trials.since_best() == 0
    for number, (value, at) in enumerate([(None, 1.0), (0.5, 4.0), (0.8, 3.0), (0.8, 5.0), (None, 6.0)]):
        trials.add(ended(number, value, at))
    trials.add(Trial(9, {}, TrialConfig()))
    assert trials.best().number == 2 and trials.since_best() == 3


def test_patience_begins_anew_where_a_search_is_extended() -> None:
    trials = Trials("accuracy", "max")
    for number, value in enumerate([0.8, 0.5, 0.6]):
        trials.add(ended(number, value, number + 1.0))
    assert trials.since_best() == 2
    trials.extend()
    assert trials.since_best() == 0
    for number, (value, since) in enumerate([(0.7, 1), (0.7, 2), (0.9, 0), (0.1, 1)], 3):
        trials.add(ended(number, value, number + 1.0))
        assert trials.since_best() == since


def test_patience_counts_from_the_start_where_nothing_succeeds() -> None:
    trials = Trials("accuracy", "max")
    for number in range(3):
        trials.add(ended(number, None, float(number)))
    assert trials.since_best() == 3


def test_a_night_between_a_kill_and_a_resume_is_no_time_that_a_trial_takes(tmp_path: Path, space_file: Path) -> None:
    space = load_space(space_file, ["budget={minutes: 10, trials: 9}"])
    (tmp_path / "study").mkdir()
    rows = [{"epoch": epoch, "accuracy": 0.5, "seconds": 2.0} for epoch in (1, 2)]
    trials = Trials("accuracy", "max")
    searcher = OptunaSearcher(space, create_study(space, tmp_path / "study"), trials, Clock(600.0), stop=print)
    trials.add(Trial(0, {}, TrialConfig(), rows, Ending(State.COMPLETE, value=0.5), started=now() - 86_400, ended=now()))
    assert searcher.suggest("second") != OptunaSearcher.FINISHED and trials.stop is None


REASONS = {  # clock, trials of the budget, whether all is forbidden
    Stop.TRIALS: (Clock(None), 1, False),
    Stop.PATIENCE: (Clock(None), 9, False),
    Stop.MINUTES: (Clock(1e-9), 9, False),
    Stop.GPU_HOURS: (Clock(1e9, 1e-9, 1), 9, False),
    Stop.EXHAUSTED: (Clock(None), 9, True),
}


@pytest.mark.parametrize("reason", REASONS)
def test_why_no_trial_is_started(tmp_path: Path, space_file: Path, reason: Stop) -> None:
    clock, most, forbidden = REASONS[reason]
    space = load_space(space_file, [f"budget={{trials: {most}, patience: 2}}"])
    (tmp_path / "study").mkdir()
    trials = Trials("accuracy", "max")
    searcher = OptunaSearcher(space, create_study(space, tmp_path / "study"), trials, clock, stop=print,
                              forbids=lambda config: "not that" if forbidden else None)
    for number, value in enumerate([0.5, 0.4, 0.5] if reason is Stop.PATIENCE else [0.5]):
        trials.add(ended(number, value, number + 1.0))
    assert searcher.suggest("first") == OptunaSearcher.FINISHED
    assert trials.stop is reason and len(trials) <= 3
