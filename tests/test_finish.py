"""The finish: trials trained again from further seeds, the sealed score, the baseline beside it; also where time is short."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from search.cli import main
from search.endings import Ending, Kind, State
from search.errors import EnvironmentProblem
from search.finish import Outcome, choose, cut_short, left_out
from search.model_card import unused_settings, use
from search.plan import make_plan
from search.record import FILE, read_record
from search.repeats import Job, Repeat, affordable, finalists, judged, makespan
from search.resume import resume_search
from search.run import run_search
from search.sealed import Judged, Score, Sealed, compare, hits, mcnemar
from search.sections import Finish
from search.space import load_space
from search.trials import Trial, Trials
from search.views import best as view
from search.views import flattery
from tests.conftest import write_images, write_space
from tests.invariants import check
from trainables.combine import Ensemble, Flipped, flips_of
from trainables.config import TrialConfig
from trainables.files import seal, weights_file
from trainables.tasks.classification import Classification
from trainables.tasks.landmarks import Landmarks
from trainables.tasks.segmentation import Segmentation

FINISH = Finish(top=3, seeds=3)


def trial(number: int, value: float, seconds: float = 10.0, seed: int = 0) -> Trial:
    """Return a finished trial of two epochs."""
    rows = [{"epoch": epoch, "accuracy": value, "seconds": seconds / 2} for epoch in (1, 2)]
    return Trial(number, {}, TrialConfig(seed=seed, epochs=2), rows, Ending(State.COMPLETE, value=value))


TRIALS = [trial(4, 0.9), trial(2, 0.8), trial(7, 0.7)]


def pairs(jobs: list[Job]) -> list[tuple[int, int]]:
    return [(job.trial.number, job.seed) for job in jobs]


class TestWhatThereIsTimeFor:
    def test_all_of_it_a_seed_of_each_before_the_next(self):
        jobs = affordable(TRIALS, trial(0, 0.5), FINISH, (), 2, 1000)
        assert pairs(jobs) == [(4, 1), (2, 1), (7, 1), (4, 2), (2, 2), (7, 2), (0, 1), (0, 2)]

    @pytest.mark.parametrize(
        ("left", "expected"),
        [
            pytest.param(35.0, [(4, 1), (2, 1), (7, 1), (4, 2), (2, 2), (7, 2)], id="no time for the baseline"),
            pytest.param(30.0, [(4, 1), (2, 1), (7, 1), (0, 1)], id="fewer seeds"),
            pytest.param(15.0, [(4, 1), (2, 1)], id="fewer candidates"),
            pytest.param(14.0, [], id="none"),
        ],
    )
    def test_fewer_seeds_then_fewer_candidates(self, left, expected):
        assert pairs(affordable(TRIALS, trial(0, 0.5), FINISH, (), 2, left)) == expected

    def test_nothing_is_done_twice(self):
        known = [Repeat(4, 1, 0.9), Repeat(4, 2, failure="error"), Repeat(2, 0, refit=True)]
        assert pairs(affordable(TRIALS[:2], TRIALS[0], FINISH, known, 2, 1000)) == [(2, 1), (2, 2)]

    def test_none_are_wanted(self):
        assert affordable(TRIALS, trial(0, 0.5), Finish(top=0), (), 2, 1000) == []
        assert affordable(TRIALS, trial(0, 0.5), Finish(seeds=1), (), 2, 1000) == []

    def test_the_makespan_is_that_of_jobs_in_their_order(self):
        jobs = [Job(TRIALS[0], 1, seconds) for seconds in (4.0, 1.0, 2.0)]
        assert makespan(jobs, 2) == makespan([], 1) + 4 and makespan(jobs, 1) == makespan([], 1) + 7


@pytest.mark.parametrize("deed", [lambda content: content[:-1], lambda content: content[:-1] + b"?"], ids=["torn", "changed"])
def test_weights_that_are_not_those_that_were_written_are_left_out(tmp_path, deed):
    trials = Trials("accuracy", "max")
    for one in TRIALS:
        trials.add(one)
        file = weights_file(tmp_path, one.number)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"weights")
        seal(file)
    assert [one.number for one in finalists(trials, tmp_path, FINISH)] == [4, 2, 7] and choose(trials, tmp_path).number == 4
    best = weights_file(tmp_path, 4)
    best.write_bytes(deed(best.read_bytes()))
    assert [one.number for one in finalists(trials, tmp_path, FINISH)] == [2, 7] and choose(trials, tmp_path).number == 2
    [note] = left_out(trials, tmp_path)
    assert note == "trial 4 is left out: its weights are no longer those that were written, by their sha256"


def test_what_was_cut_short_is_compared_and_scored_where_its_weights_are_kept():
    """Both were stopped by the end of the time, the worse one two epochs later."""
    trials = Trials("accuracy", "max", rungs=(2, 6))
    for number, (last, step) in enumerate([(14, 0.07), (16, 0.04)]):
        rows = [{"epoch": epoch, "accuracy": step * epoch, "loss": 1.0} for epoch in range(1, last + 1)]
        trials.add(Trial(number, {}, TrialConfig(), rows, Ending(State.PRUNED, Kind.BUDGET, step * last)))
    best = trials.best()
    assert (best.number, trials.kept(best)["epoch"], trials.kept(best)["accuracy"]) == (0, 6, 0.07 * 6)
    [note] = cut_short(best, trials.kept(best))
    assert note.startswith("trial 0 was cut short after epoch 14: model and validation score are those of epoch 6, the last rung")
    assert list(cut_short(TRIALS[0], trials.kept(TRIALS[0]))) == []


class TestTheWinner:
    def test_has_the_best_mean_over_its_seeds(self):
        values = {4: 0.5, 2: 0.8, 7: 0.7}
        repeats = [Repeat(number, seed, value) for number, value in values.items() for seed in (1, 2)]
        found = judged(TRIALS, repeats, FINISH, "max")
        assert [candidate.trial for candidate in found] == [2, 7, 4]
        assert found[0].values == (0.8, 0.8, 0.8) and found[2].mean == pytest.approx(1.9 / 3)
        assert [candidate.trial for candidate in judged(TRIALS, repeats, FINISH, "min")] == [4, 7, 2]

    def test_is_the_best_of_the_search_where_nothing_was_trained_again(self):
        [only] = judged(TRIALS, [], FINISH, "max")
        assert (only.trial, only.seeds, only.mean) == (4, (0,), 0.9)

    def test_is_compared_by_the_seeds_that_all_have(self):
        """The time was over in the second round: the one that has it must not lose by it."""
        repeats = [Repeat(4, 1, 0.85), Repeat(2, 1, 0.8), Repeat(4, 2, 0.1)]
        found = judged(TRIALS, repeats, FINISH, "max")
        assert [(candidate.trial, candidate.seeds) for candidate in found] == [(4, (0, 1)), (2, (0, 1))]
        only_second = judged(TRIALS, [Repeat(2, 1, 0.99)], FINISH, "max")
        assert [(candidate.trial, candidate.values) for candidate in only_second] == [(4, (0.9,)), (2, (0.8,))]

    def test_that_failed_from_a_seed_stands_behind_those_that_did_not(self):
        repeats = [Repeat(4, 1, failure="not finite"), Repeat(2, 1, 0.1)]
        found = judged(TRIALS, repeats, FINISH, "max")
        assert [(candidate.trial, candidate.failed) for candidate in found] == [(2, 0), (4, 1)]
        every = [Repeat(4, 1, failure="not finite"), Repeat(2, 1, failure="error")]
        assert judged(TRIALS, every, FINISH, "max")[0].trial == 4


class TestAgainstTheBaseline:
    @pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 0), (7, 2), (3, 9), (4, 4)])
    def test_mcnemar_is_the_sum_over_coin_tosses(self, better, worse):
        tosses = list(itertools.product((0, 1), repeat=better + worse))
        extreme = [abs(sum(toss) - len(toss) / 2) >= abs(better - (better + worse) / 2) for toss in tosses]
        assert mcnemar(better, worse) == pytest.approx(sum(extreme) / len(tosses))

    def judged_as(self, truth: np.ndarray, found: np.ndarray, measure, right: bool) -> Judged:
        """Return what sealed rows of a classifier with these answers come to."""
        cells = np.zeros((len(truth), 10))
        cells[np.arange(len(truth)), 1 + 3 * truth + found] = 1
        task = Classification("abc")
        value = measure(task.scores(cells.sum(0).tolist()))
        return Judged(Score(value, (0, 1), ""), cells, hits(cells) if right else None, task, measure, {})

    def test_accuracies_are_compared_row_by_row(self):
        truth = np.array([0, 1, 2, 0, 1, 2, 0, 1])
        good, bad = truth.copy(), truth.copy()
        good[0], bad[:5] = 1, (truth[:5] + 1) % 3
        one, two = (self.judged_as(truth, found, itemgetter("accuracy"), True) for found in (good, bad))
        assert one.right.tolist() == [False] + [True] * 7
        found = compare(one, two, "max")
        assert (found.value, found.p, found.method) == (pytest.approx(0.5), pytest.approx(2 / 16), "exact McNemar")

    def test_other_scores_by_the_same_resamples_of_both(self):
        generator = np.random.default_rng(0)
        truth = generator.integers(0, 3, 200)
        alike, worse = truth.copy(), truth.copy()
        alike[:20], worse[:60] = (truth[:20] + 1) % 3, (truth[:60] + 1) % 3
        one, same, two = (self.judged_as(truth, found, itemgetter("macro_f1"), False) for found in (alike, alike, worse))
        assert compare(one, same, "max").p == 1 and compare(one, same, "max").value == 0
        found = compare(one, two, "max")
        assert found.p == pytest.approx(2 / 1001) and found.value > 0.15 and found.method == "paired bootstrap, 1000 resamples"
        assert compare(one, two, "min").value == -found.value


class TestCombinedAnswers:
    """Each network here is a function whose answer to a mirror image is known."""

    def test_flips_are_those_of_the_training(self):
        assert flips_of(TrialConfig()) == []
        assert flips_of(TrialConfig(horizontal_flip=0.5)) == [(3,)]
        assert flips_of(TrialConfig(horizontal_flip=0.5, vertical_flip=0.1)) == [(3,), (2,), (2, 3)]

    def test_an_ensemble_has_the_mean_probabilities(self):
        task, images = Classification("ab"), torch.rand(3, 1, 4, 4)
        members = [Constant([0.0, 2.0]), Constant([1.0, -3.0])]
        found = task.predict(Ensemble(members, task)(images))
        expected = torch.stack([task.predict(member(images)) for member in members]).mean(0)
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("flip", [(3,), (2,), (2, 3)])
    def test_masks_are_turned_back(self, flip):
        """A network that looks at each pixel alone answers a flipped image by the flipped mask."""
        task, images = Segmentation("ab"), torch.rand(2, 1, 4, 6)
        model = torch.nn.Conv2d(1, 2, 1)
        torch.testing.assert_close(Flipped(model, task, [flip])(images).softmax(1), model(images).softmax(1))

    @pytest.mark.parametrize("flip", [(3,), (2,), (2, 3)])
    def test_points_are_turned_back(self, flip):
        """The brightest pixel, told as point 0 or, if it is left of the middle in an upright image, point 1: a pair."""
        task = Landmarks("ab", 8, pairs=[(0, 1)])
        places = torch.tensor([[[1.0, 2.0], [6.0, 3.0]]])
        images = torch.zeros(1, 1, 8, 8)
        images[0, 0, 2, 1], images[0, 0, 3, 6] = 0.5, 1.0

        def model(images: torch.Tensor) -> torch.Tensor:
            """Name the two points as seen: a is the left one, unless the image is upside down and not turned."""
            rows, columns = images[0, 0].nonzero(as_tuple=True)
            found = torch.stack([columns, rows], 1).float()
            bright = images[0, 0][rows, columns]
            mirrored = len(flip) == 1 and not torch.equal(images, upright)
            order = [int(bright.argmin()), int(bright.argmax())]
            return ((2 * found[order[::-1] if mirrored else order] + 1) / 8 - 1).view(1, 4)

        upright = images
        torch.testing.assert_close(task.predict(Flipped(model, task, [flip])(images)), places)


class Constant(torch.nn.Module):
    def __init__(self, logits: list[float]):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


EVERYTHING = ["finish={top: 2, seeds: 2, refit: true, ensemble: true, flips: true}", "space.horizontal_flip=0.5",
              "schedule.reduction_factor=1000", "budget.trials=4"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, images) -> tuple[Path, Outcome]:
    """A real search with everything that a finish can do: its folder and its outcome."""
    place = tmp_path_factory.mktemp("finish")
    outcome = run_search(load_space(write_space(place / "tiny.yaml", images), EVERYTHING), results=place / "results")
    return place / "results" / "tiny", outcome


@pytest.mark.parametrize(("mode", "val", "test", "expected"), [
    ("max", 0.95, 0.9, ": 5.00 points over the sealed score"), ("max", 0.9, 0.95, ": 5.00 points below the sealed score"),
    ("min", 0.9, 0.95, ": 5.00 points below the sealed score"),
])
def test_how_far_the_validation_score_is_from_the_sealed_one(mode, val, test, expected):
    optimism = val - test if mode == "max" else test - val
    assert flattery({"metric": "accuracy", "val": val, "test": test, "optimism": optimism}) == expected


class TestAWholeFinish:
    def test_the_best_two_and_the_baseline_are_trained_again(self, finished):
        folder, outcome = finished
        record = check(folder, 4)
        best = [trial.number for trial in record.trials.ranked()[:2]]
        again = {(repeat.number, repeat.seed) for repeat in record.repeats if not repeat.refit}
        assert again == {(number, 1) for number in {*best, 0}}
        assert {candidate.trial for candidate in outcome.candidates} == set(best) and outcome.candidates[0].trial == outcome.trial
        assert [repeat.number for repeat in record.repeats if repeat.refit] == [outcome.trial]

    def test_the_sealed_score_stands_beside_what_flatters_and_what_it_has_to_beat(self, finished):
        folder, outcome = finished
        assert outcome.optimism == pytest.approx(outcome.val - outcome.test)
        assert set(outcome.extras) == {"ensemble", "flips", "refit"}
        assert outcome.notes == ["the winner is the baseline: the search found nothing better"] * (outcome.trial == 0)
        assert all(score.interval[0] <= score.value <= score.interval[1] for score in outcome.extras.values())
        if outcome.trial != 0:
            assert outcome.baseline.trial == 0 and outcome.baseline.seeds == 2
            assert outcome.baseline.gain.value == pytest.approx(outcome.test - outcome.baseline.sealed.value)
        shown = view(json.loads((folder / "search.json").read_text()), Path("results"))
        assert "mean " in shown and "ensemble  " in shown and ("points, " in shown) == (outcome.baseline is not None)

    def test_what_is_printed_names_the_report_and_how_the_model_is_used(self, finished):
        folder, outcome = finished
        shown = view(asdict(outcome), folder.parent)
        assert f"\nreport    {folder / 'report.html'}\n" in shown and "predict tiny IMAGE… --results" in shown
        masks = replace(outcome, task="segmentation")
        assert "predict tiny IMAGE… -o FOLDER --results" in view(asdict(masks), folder.parent)
        card, plan = (folder / "model" / "README.md").read_text(), make_plan(read_record(folder).space)
        assert outcome.task == "classification" and "predict tiny IMAGE…\n" in card
        assert "    python -m search predict tiny IMAGE… -o FOLDER" in use(plan, masks)

    def test_the_card_names_only_settings_that_had_an_effect(self, finished):
        def named(**changed: object) -> set[str]:
            config = {**outcome.config, "architecture": "simple_cnn", "optimizer": "adam", **changed}
            return {"momentum", "patch_size", "depth", "learning_rate"} - unused_settings(config, outcome.task)

        folder, outcome = finished
        assert named() == {"learning_rate"} and named(optimizer="sgd") == {"momentum", "learning_rate"}
        assert named(architecture="vit_tiny") == {"patch_size", "depth", "learning_rate"}
        assert "learning_rate 0." in (card := (folder / "model" / "README.md").read_text()) and "patch_size" not in card

    def test_the_registered_model_names_its_classes(self, finished):
        [file] = finished[0].parent.rglob("MLmodel")
        assert yaml.safe_load(file.read_text())["metadata"] == {"classes": ["left", "lower"]}

    def test_a_finish_that_was_killed_goes_on_without_training_anything_twice(self, finished, tmp_path):
        """The record is cut behind the first training of the finish: only the others are done, to the same end."""
        folder, outcome = finished
        results = tmp_path / "results"
        shutil.copytree(folder.parent, results)
        lines = (folder / FILE).read_bytes().splitlines(keepends=True)
        cut = next(place for place, line in enumerate(lines) if b'"event": "again"' in line) + 1
        (results / "tiny" / FILE).write_bytes(b"".join(lines[:cut]))
        before = read_record(results / "tiny")
        again = resume_search(results / "tiny")
        after = check(results / "tiny", 4, before=before)
        assert len(before.repeats) == 1 and after.repeats[0] == before.repeats[0]
        assert {(repeat.number, repeat.seed, repeat.value) for repeat in after.repeats} == {
            (repeat.number, repeat.seed, repeat.value) for repeat in read_record(folder).repeats}
        assert (again.trial, again.test, again.extras, again.baseline) == (
            outcome.trial, outcome.test, outcome.extras, outcome.baseline)


@pytest.mark.slow
def test_a_training_that_fails_again_costs_the_search_nothing(tmp_path, space_file):
    outcome = run_search(load_space(space_file, ["finish={top: 2, seeds: 2}"]), results=tmp_path / "results", fit=fails_again)
    assert any("failed when it was trained again from seed 1: error" in note for note in outcome.notes)
    assert outcome.candidates[0].failed == 1 and outcome.registered == "models:/tiny@champion"
    check(tmp_path / "results" / "tiny", 3)


def fails_again(config, data):
    """Train as always, but from seed 0 only."""
    from trainables.fit import fit

    if config.seed:
        raise ValueError("not again")
    return fit(config, data)


@pytest.mark.parametrize("deed, reason", [(Path.unlink, "No such file"), (lambda path: path.write_bytes(b"x"), "it has changed")])
def test_sealed_images_that_changed_meanwhile_are_named_and_nothing_is_scored(tmp_path, deed, reason):
    plan = make_plan(load_space(write_space(tmp_path / "tiny.yaml", write_images(tmp_path / "images"))))
    row = plan.split.test[0]
    deed(plan.catalog.pixels.paths[row])
    with pytest.raises(EnvironmentProblem) as told:
        Sealed(plan, tmp_path).images(16)
    what = f"of the sealed rows 1 image of 12 cannot be read, first {plan.catalog.names[row]}: {reason}"
    assert str(told.value).startswith(what)
    assert str(told.value).endswith("; put back what was there and go on with `resume`")


class TestReplay:
    def test_a_trial_comes_out_the_same(self, finished, capsys):
        folder, outcome = finished
        command = ["replay", "tiny", str(outcome.trial), "--results", str(folder.parent)]
        assert main(command) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[0].split(maxsplit=2) == ["epoch", "1", "the same"]
        assert shown[-1] == f"trial {outcome.trial} came out the same, number by number, in all 2 epochs"

    def test_a_number_that_differs_is_shown(self, finished, tmp_path, capsys):
        folder, outcome = finished
        shutil.copytree(folder, tmp_path / "tiny")
        path = tmp_path / "tiny" / FILE
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if line["event"] == "epoch" and line["number"] == outcome.trial and line["row"]["epoch"] == 2:
                line["row"]["accuracy"] -= 0.25
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert main(["replay", "tiny", str(outcome.trial), "--results", str(tmp_path), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["same"], found["differs_from_epoch"], found["epochs"]) == (False, 2, 2)

    def test_a_trial_that_is_not_there(self, finished, capsys):
        assert main(["replay", "tiny", "77", "--results", str(finished[0].parent)]) == 2
        assert "there is no trial 77; give one of 0 to 3" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_that_was_stopped_is_finished_with_what_it_has(finished, tmp_path, capsys):
    """The record is cut in the middle of the trials: none is begun or gone on with, and the best of them is registered."""
    folder, _ = finished
    assert main(["finish", "tiny", "--results", str(folder.parent)]) == 2
    assert "the search is complete; `best` shows what it found" in capsys.readouterr().err
    results = tmp_path / "results"
    shutil.copytree(folder, results / "tiny")
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    ends = [place for place, line in enumerate(lines) if b'"event": "end"' in line]
    (results / "tiny" / FILE).write_bytes(b"".join(lines[: ends[1] + 1]))
    before = read_record(results / "tiny")
    assert main(["finish", "tiny", "--results", str(results), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    after = check(results / "tiny", len(before.trials), before=before)
    assert outcome["ended_by"] == "finish" and outcome["registered"] == "models:/tiny@champion"
    assert all(trial.rows == before.trials.get(trial.number).rows for trial in after.trials)
