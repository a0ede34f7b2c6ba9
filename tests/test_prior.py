"""What a search learns from earlier ones: which trials it can use, how it says so, and what they are to it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from search.clock import Clock
from search.endings import Ending, Kind, State
from search.errors import SpaceError
from search.folder import write_summary
from search.plan import make_plan
from search.prior import gather
from search.progress import Progress
from search.record import Recorder, begin_record, read_record
from search.resume import resume_search
from search.run import run_search
from search.sampler import Sampler
from search.space import load_space
from search.trials import Prior, Trial
from tests.conftest import write_images, write_space
from tests.invariants import check
from tests.test_cli import call
from tests.test_sampler import NUMBERS, params_of, smooth, space_of

RATES = [0.001, 0.002, 0.005, 0.009]
SGD = "space.optimizer={choice: [adam, {sgd: {momentum: {uniform: [0, 0.5]}}}]}"


def earlier(space_file: Path, results: Path, *overrides: str, endings: tuple[Ending | None, ...] = ()) -> None:
    """Write the record of a search named ``old``: a trial a rate, with batches of 8 and 16 in turn, each of two epochs."""
    space = load_space(space_file, overrides)
    folder = results / "old"
    folder.mkdir(parents=True)
    write_summary(folder, {"name": "old", "state": "running"})
    with Recorder(begin_record(folder, space, make_plan(space).catalog.fingerprint), Clock(None), print) as recorder:
        for number, rate in enumerate(RATES):
            params = {"learning_rate": rate, "batch_size": (8, 16)[number % 2]}
            trial = Trial(number, params, space.trial_config(params))
            recorder.begin(trial)
            for epoch in (1, 2):
                recorder.epoch(trial, {"epoch": epoch, "accuracy": 0.1 * number + 0.01 * epoch, "loss": 1.0, "time": 0.0})
            if ending := (*endings, *[Ending(State.COMPLETE, value=0.1 * number + 0.02)] * len(RATES))[number]:
                trial.end(ending)
                recorder.end(trial)


def gathered(space_file: Path, results: Path, *overrides: str) -> tuple[list[Prior], str]:
    said = []
    return gather(make_plan(load_space(space_file, overrides)), results, ["old"], said.append), "\n".join(said)


@pytest.mark.parametrize(("new", "used", "reasons"), [
    ([], [0, 1, 2, 3], ""),
    (["space.learning_rate={loguniform: [1e-4, 1e-1]}"], [0, 1, 2, 3], ""),
    (["space.learning_rate={loguniform: [1e-3, 4e-3]}"], [0, 1], "; 2 outside learning_rate loguniform [0.001, 0.004]"),
    (["space.learning_rate={uniform: [1e-3, 9e-3], step: 4e-3}"], [0, 2, 3],
     "; 1 outside learning_rate uniform [0.001, 0.009] in steps of 0.004"),
    (["space.batch_size={choice: [8, 16, 32]}"], [0, 1, 2, 3], ""),
    (["space.batch_size={choice: [8, 32]}"], [0, 2], "; 2 outside batch_size choice [8, 32]"),
    (["space.batch_size=16"], [1, 3], "; 2 with another batch_size than 16"),
    (["space.dropout={uniform: [0, 0.5]}"], [0, 1, 2, 3], ""),
    (["space.dropout={uniform: [0.1, 0.5]}"], [], "; 4 outside dropout uniform [0.1, 0.5]"),
    (["space.weight_decay=0.1"], [], "; 4 with another weight_decay than 0.1"),
    (["space.momentum=0.5"], [0, 1, 2, 3], ""),  # adam has none
    ([SGD], [0, 1, 2, 3], ""),
    (["space.batch_size=8", "space.learning_rate={loguniform: [4e-3, 1e-2]}"], [2],
     "; 2 outside learning_rate loguniform [0.004, 0.01]; 1 with another batch_size than 8"),
    (["schedule.max_epochs=6"], [0, 1, 2, 3], ""),
    (["schedule={max_epochs: 40, grace_period: 5}"], [], "; 4 that ended before the first rung"),
    (["space.lr_schedule=cosine"], [], "; 4 with another lr_schedule than cosine"),
])  # fmt: skip
def test_what_can_be_used_in_another_space(space_file, tmp_path, new, used, reasons):
    earlier(space_file, tmp_path)
    priors, said = gathered(space_file, tmp_path, *new)
    assert said == f"from old: {len(used)} of 4 trials used{reasons}"
    space = load_space(space_file, new)
    assert [prior.number for prior in priors] == used
    for prior in priors:
        assert space.trial_config(prior.params).learning_rate == pytest.approx(RATES[prior.number])
        assert prior.values == {epoch: (0.1 * prior.number + 0.01 * epoch,) for epoch in (1, 2)}
        assert prior.repeated == (space.schedule.max_epochs == 2)


def test_a_schedule_over_other_epochs_is_another_training(space_file, tmp_path):
    earlier(space_file, tmp_path, "space.lr_schedule=cosine")
    _, said = gathered(space_file, tmp_path, "space.lr_schedule=cosine", "schedule.max_epochs=6")
    assert said == "from old: 0 of 4 trials used; 4 with a cosine schedule over 2 epochs, which are 6 here"


def test_only_what_finished_or_was_stopped_counts(space_file, tmp_path):
    stopped, failed = Ending(State.PRUNED, Kind.SCHEDULER, 0.02), Ending(State.FAILED, Kind.ERROR)
    earlier(space_file, tmp_path, endings=(stopped, failed, None))
    priors, said = gathered(space_file, tmp_path)
    assert said == "from old: 2 of 4 trials used; 1 failed; 1 never ended" and [prior.number for prior in priors] == [0, 3]


@pytest.mark.parametrize(("new", "expected"), [
    (["objective.metric=loss"], "--from old: its objective is accuracy, max, and here it is loss, min, so that scores do not"),
    (["objective=[{metric: accuracy}, {metric: macs_g}]"], "is accuracy, max, and here it is accuracy, max; macs_g, min"),
    (["data.seed=1"], "--from old: data.seed is 0 there and 1 here, so that scores do not compare; leave it out"),
    (["data.val=0.3"], "--from old: data.val is 0.2 there and 0.3 here"),
    (["search=grid", "space.learning_rate=0.01"], "--from old: a grid tries every combination itself; leave it out, or remove"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(space_file, tmp_path, new, expected):
    earlier(space_file, tmp_path)
    with pytest.raises(SpaceError) as caught:
        run_search(load_space(space_file, new), results=tmp_path, sources=["old"])
    assert expected in str(caught.value) and caught.value.exit_status == 2 and not (tmp_path / "tiny").exists()


def test_other_images_are_refused(space_file, tmp_path):
    earlier(space_file, tmp_path)
    other = write_space(tmp_path / "tiny.yaml", write_images(tmp_path / "other", seed=1))
    with pytest.raises(SpaceError, match="--from old: it has other images or labels, so that scores do not compare"):
        run_search(load_space(other), results=tmp_path, sources=["old"])
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("name", ["nobody", "../old"])
def test_a_search_that_is_not_there_is_refused(space_file, tmp_path, name, capsys):
    results = tmp_path / "results"
    earlier(space_file, results)
    status, _, errors = call("run", str(space_file), "--results", str(results), "--from", name, capsys=capsys)
    assert status == 2 and f"no search named {name!r}; there: old" in errors and "\n" not in errors.strip()
    assert [path.name for path in results.iterdir()] == ["old"]


class TestSampler:
    def priors(self, space, count: int, *, repeated: bool = True) -> list[Prior]:
        generator, found = np.random.default_rng(0), []
        for number in range(count):
            params = space.draw(lambda label, parameter: parameter.at(generator.random()))
            found.append(Prior("old", number, params, {9: (smooth(params),)}, repeated))
        return found

    def test_it_knows_from_the_second_trial_on_where_to_look(self):
        scores = []
        for seed in range(4):
            space = space_of(NUMBERS, seed)
            sampler = Sampler(space, self.priors(space, 30))
            scores += [smooth(params_of(space, sampler.ask(number))) for number in range(6)][1:]
        drawn = [smooth(prior.params) for prior in self.priors(space, 200)]
        assert np.median(scores) > np.quantile(drawn, 0.75)

    def test_what_was_tried_is_not_tried_again_but_for_other_epochs(self):
        space = space_of({"batch_size": {"choice": [16, 32, 64]}})
        known = Prior("old", 7, {"batch_size": 64}, {9: (0.5,)}, repeated=True)
        sampler = Sampler(space, [known])
        assert sorted(sampler.ask(number)["batch_size"] for number in range(2)) == [16, 32] and sampler.ask(2) is None
        shorter = Prior("old", 7, {"batch_size": 64}, {9: (0.5,)}, repeated=False)
        assert Sampler(space, [shorter]).ask(0) == {"batch_size": 64}  # the baseline

    def test_restored_it_asks_for_the_same(self):
        """Also where its models had gone on from what they had learnt, ask by ask."""
        space = space_of(NUMBERS)
        priors = self.priors(space, 12)
        straight, restored = Sampler(space, priors), Sampler(space, priors)
        for number in range(12):
            params = params_of(space, straight.ask(number))
            if number < 6:
                restored.take_over(number, params, json.loads(json.dumps(straight.learnt())))
            else:
                assert params_of(space, restored.ask(number)) == params
            for sampler in (straight, restored):
                sampler.report(number, 9, smooth(params))
                sampler.end(number, State.COMPLETE, None)


@pytest.mark.slow
def test_a_search_from_an_earlier_one_counts_its_own_trials_and_needs_no_old_folder(space_file, tmp_path):
    results, shown = tmp_path / "results", io.StringIO()
    run_search(load_space(space_file), results=results)
    old = {frozenset(trial.params.items()) for trial in read_record(results / "tiny").trials}
    wider = load_space(space_file, ["name=wider", "space.learning_rate={loguniform: [1e-4, 1e-1]}"])
    first = run_search(wider, results=results, sources=["tiny"], progress=Progress(shown))
    priors = read_record(results / "wider").priors
    assert f"from tiny: {len(priors)} of 3 trials used" in shown.getvalue() and priors
    shutil.rmtree(results / "tiny")
    second = resume_search(results / "wider", trials=2)
    record = check(results / "wider", 5)
    assert sum(first.trials.values()) == 3 and sum(second.trials.values()) == 5 and record.priors == priors
    assert not old & {frozenset(trial.params.items()) for trial in record.trials}
