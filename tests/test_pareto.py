"""Several objectives: the front, its volume, who is stopped, what is learnt, and a whole search with two of them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from search import views
from search.endings import Ending, Kind, State, decide
from search.front import Cover
from search.pareto import crowding, expected_cover, gains, hypervolume, layers, merits
from search.resume import resume_search
from search.run import run_search
from search.rungs import Rungs
from search.sampler import Sampler
from search.space import load_space
from search.trials import Trial, Trials
from tests.conftest import write_space
from tests.invariants import check, query
from tests.test_run import study_of
from tests.test_sampler import params_of, space_of
from trainables.config import TrialConfig

TWO = "objective=[{metric: accuracy}, {metric: macs_g}]"


def beaten(values: np.ndarray, one: int) -> bool:
    """Tell by the definition whether another point beats this one."""
    return any((other >= values[one]).all() and (other > values[one]).any() for other in values)


class TestOrder:
    @pytest.mark.parametrize("objectives", [1, 2, 3])
    def test_the_first_layer_is_what_nobody_beats_and_the_next_what_nobody_beats_then(self, objectives):
        values = np.random.default_rng(objectives).integers(0, 8, (60, objectives)).astype(float)
        found = layers(values)
        for layer in range(found.max() + 1):
            left = values[found >= layer]
            assert [beaten(left, one) for one in range(len(left))] == (found[found >= layer] > layer).tolist()

    def test_crowding_is_the_distance_of_the_neighbours_and_has_no_end_at_the_ends(self):
        found = crowding(np.array([[0.0, 10.0], [1.0, 8.0], [4.0, 2.0], [10.0, 0.0]]))
        np.testing.assert_allclose(found, [np.inf, 0.4 + 0.8, 0.9 + 0.8, np.inf])
        assert crowding(np.array([[1.0, 1.0]])).tolist() == [np.inf]

    def test_one_objective_is_its_own_order(self):
        assert merits(np.array([[3.0], [1.0], [2.0]])).tolist() == [3, 1, 2]

    def test_the_ends_of_the_front_come_first_then_the_less_crowded_then_the_next_layer(self):
        values = np.array([[0.0, 10.0], [1.0, 8.0], [4.0, 2.0], [10.0, 0.0], [0.5, 1.0]])
        assert merits(values).tolist() == [4.5, 2, 3, 4.5, 1]


class TestHypervolume:
    @pytest.mark.parametrize("objectives", [1, 2, 3])
    def test_it_is_the_number_of_unit_cubes_below_the_points(self, objectives):
        values = np.random.default_rng(objectives).integers(-1, 7, (9, objectives)).astype(float)
        cubes = [np.array(cube) for cube in itertools.product(range(7), repeat=objectives)]
        below = sum(any((cube < value).all() for value in values) for cube in cubes)
        assert hypervolume(values, np.zeros(objectives)) == below > 0

    def test_it_grows_by_what_joins_the_front(self):
        cover = Cover({"accuracy": "max", "macs_g": "min"}, {"accuracy": 0.5, "macs_g": 4.0})
        rows = [(0.75, 2.0), (0.75, 3.0), (0.4, 1.0), (1.0, 3.0), (0.8, 2.0)]
        found = [cover.add({"accuracy": accuracy, "macs_g": macs}) for accuracy, macs in rows]
        np.testing.assert_allclose(found, [0.5, 0.5, 0.5, 0.5 + 0.25, 0.6 + 0.2])


class TestExpectedCover:
    FOUND = np.array([[0.0, 4.0], [2.0, 2.0], [4.0, 0.0], [1.0, 1.0]])

    def expected(self, mean, deviation=1e-9, seed=0):
        return expected_cover(self.FOUND, np.array(mean), np.full((len(mean), 2), deviation), np.random.default_rng(seed))

    def test_what_is_certain_is_valued_in_proportion_to_what_the_front_grows_by(self):
        certain = [[3.0, 3.0], [1.5, 3.5], [6.0, 0.5], [4.0, 4.0], [1.5, 1.0], [0.0, 0.0]]
        grown = [hypervolume(np.vstack([self.FOUND, one]), np.zeros(2)) - hypervolume(self.FOUND, np.zeros(2)) for one in certain]
        found = np.mean([self.expected(certain, seed=seed) for seed in range(200)], axis=0)
        np.testing.assert_allclose(found / found.sum(), np.array(grown) / sum(grown), atol=0.01)
        assert grown[-2:] == [0, 0] == found[-2:].tolist()

    def test_what_is_uncertain_may_grow_it_although_its_mean_does_not(self):
        beaten_surely, beaten_perhaps = self.expected([[1.5, 1.5]])[0], self.expected([[1.5, 1.5]], 1.0)[0]
        assert beaten_surely == 0 < beaten_perhaps


class TestEndings:
    def test_every_objective_must_be_a_number(self):
        rows = [{"epoch": 1, "accuracy": 0.5, "loss": float("nan")}]
        assert decide(rows, "accuracy", 1).state is State.COMPLETE
        ending = decide(rows, "accuracy", 1, others=["loss"])
        assert ending == Ending(State.FAILED, Kind.NOT_FINITE, message="the trial reported nan")

    def test_who_brings_nothing_new_to_the_front_is_counted(self):
        trials = Trials("accuracy", "max", {"accuracy": "max", "macs_g": "min"})
        for number, (accuracy, macs) in enumerate([(0.9, 3.0), (0.8, 4.0), (0.5, 1.0), (0.4, 2.0), (0.3, 3.0)]):
            trials.add(trial := Trial(number, {}, TrialConfig(), [{"epoch": 1, "accuracy": accuracy, "macs_g": macs}]))
            trial.end(Ending(State.COMPLETE, value=accuracy))
        assert [trial.number for trial in trials.front()] == [0, 2] and trials.since_best() == 2


class TestRungs:
    """Nine trials at a rung: the accurate ones are dear, and the last is the cheapest and the least accurate."""

    ACCURACIES = [0.90, 0.91, 0.92, 0.85, 0.86, 0.87, 0.88, 0.84, 0.60]
    MACS = [30, 31, 32, 30, 31, 32, 33, 30, 1]

    def went_on(self, values: list[tuple[float, ...]]) -> list[int]:
        rungs = Rungs([1], 3)
        for trial in range(len(values)):
            rungs.add(trial)
        return [trial for trial, value in enumerate(values) if rungs.goes_on(trial, 1, *value)]

    def test_the_cheapest_goes_on_though_it_is_less_accurate(self):
        assert self.went_on([(accuracy,) for accuracy in self.ACCURACIES]) == [0, 1, 2]
        assert self.went_on([(a, -m) for a, m in zip(self.ACCURACIES, self.MACS, strict=True)]) == [0, 1, 2, 8]

    def test_the_cheapest_of_many_alike_goes_on_only_where_it_is_the_most_accurate_of_them(self):
        rows = [*zip(self.ACCURACIES, self.MACS, strict=True), (0.5, 1), (0.4, 1), (0.55, 1)]
        assert self.went_on([(a, -m) for a, m in rows])[-1] == 8

    def test_a_rung_misleads_where_it_does_in_one_objective(self):
        rungs = Rungs([1], 3)
        for trial, accuracy in enumerate([1.0, 2.0, 3.0]):
            rungs.goes_on(trial, 1, accuracy, float(trial))
            rungs.finish(trial, -accuracy, float(trial))
        assert rungs.misleads(1)


def test_the_sampler_finds_more_of_the_front_than_random_draws():
    """Accuracy wants a large learning rate, the cost a small one, and both a dropout of 0.3: a front along the rate."""

    def score(params) -> tuple[float, float]:
        place, away = (np.log10(params["learning_rate"]) + 5) / 4, 2 * (params["dropout"] - 0.3) ** 2
        return place - away, place + away

    def volume(found: list[tuple[float, float]]) -> float:
        return hypervolume(np.array([(accuracy, -cost) for accuracy, cost in found]), np.array([0.0, -1.0]))

    parameters = {"learning_rate": {"loguniform": [1e-5, 1e-1]}, "dropout": {"uniform": [0, 0.9]}}
    ours, generator = [], np.random.default_rng(0)
    for seed in range(6):
        space = space_of(parameters, seed, objective=[{"metric": "accuracy"}, {"metric": "macs_g"}])
        sampler, found = Sampler(space), []
        for number in range(40):
            found.append(score(params_of(space, sampler.ask(number))))
            sampler.report(number, 9, *found[-1])
            sampler.end(number, State.COMPLETE, None)
        ours.append(volume(found))
    drawn = [volume([score(space.draw(lambda label, parameter: parameter.at(generator.random()))) for _ in range(40)])
             for _ in range(100)]
    assert np.mean(ours) > np.quantile(drawn, 0.9)


class TestSpace:
    def test_a_list_of_one_is_that_one(self, space_file):
        one, listed = (load_space(space_file, [f"objective={written}"]) for written in ("{metric: loss}", "[{metric: loss}]"))
        assert listed.objective == one.objective and not listed.others and listed.as_dict() == one.as_dict()

    def test_each_objective_has_a_name_and_its_better_end(self, space_file):
        space = load_space(space_file, ["objective=[{formula: loss * 2, mode: min}, {metric: accuracy}, "
                                        "{formula: params_m * macs_g, mode: min}]"])
        assert space.modes == {"objective": "min", "accuracy": "max", "objective_3": "min"}
        assert space.formulas == {"objective": "loss * 2", "objective_3": "params_m * macs_g"}
        assert [given["formula"] for given in space.as_dict()["objective"]] == ["loss * 2", None, "params_m * macs_g"]

    def test_the_worse_end_of_a_cost_is_warned_of(self, space_file):
        [warning] = load_space(space_file, ["objective=[{metric: accuracy}, {metric: macs_g, mode: max}]"]).warnings
        assert "objective.2.mode: max of macs_g looks for the worst network" in warning


@pytest.fixture(scope="module")
def searched(tmp_path_factory, images):
    """A real search with two objectives, extended once: results folder, both outcomes, and the record."""
    folder = tmp_path_factory.mktemp("pareto")
    space = load_space(write_space(folder / "tiny.yaml", images, trials=6, epochs=3),
                       ["space.architecture={choice: [simple_cnn, conv3_fc2]}", TWO])
    results = folder / "results"
    outcomes = run_search(space, results=results), resume_search(results / "tiny", trials=4)
    return results, outcomes, check(results / "tiny", 10)


class TestOneSearch:
    def test_the_front_is_what_nobody_beats_in_the_record(self, searched):
        results, (_, outcome), record = searched
        finished = record.trials.ended(State.COMPLETE)
        values = np.array([(trial.rows[-1]["accuracy"], -trial.rows[-1]["macs_g"]) for trial in finished])
        expected = {trial.number for place, trial in enumerate(finished) if not beaten(values, place)}
        assert {point.trial for point in outcome.front} == expected
        assert outcome.front[0].trial == record.trials.best().number
        assert {trial.number for trial in study_of(results / "tiny").best_trials} == expected

    def test_every_epoch_has_both_objectives_wherever_it_is_kept(self, searched):
        results, _, record = searched
        costs = {trial.config.architecture: {row["macs_g"] for row in trial.rows} for trial in record.trials}
        assert all(len(found) == 1 for found in costs.values()) and costs["simple_cnn"] != costs["conv3_fc2"]
        assert query(results / "mlflow.db", "select count(*) from metrics where key = 'macs_g'") == [
            (sum(trial.epoch for trial in record.trials),)]
        told = {trial.number: trial for trial in study_of(results / "tiny").trials}
        for trial in record.trials.ended(State.COMPLETE):
            assert told[trial.number].values == list(gains(trial.rows[-1], {"accuracy": "max", "macs_g": "max"}))

    def test_the_hypervolume_is_that_of_the_front_and_never_falls(self, searched):
        results, (first, second), record = searched
        reference = first.hypervolume.reference
        assert second.hypervolume.reference == reference and reference["accuracy"] == 0
        assert reference["macs_g"] == max(row["macs_g"] for trial in record.trials for row in trial.rows)
        points = np.array([[point.values["accuracy"], -point.values["macs_g"]] for point in second.front])
        expected = hypervolume(points, np.array([reference["accuracy"], -reference["macs_g"]]))
        before, history = first.hypervolume.history, second.hypervolume.history
        assert second.hypervolume.value == pytest.approx(expected) and history[: len(before)] == before
        volumes = [volume for _, volume in history]
        assert volumes == sorted(volumes) and 0 < volumes[-1] == second.hypervolume.value
        wanted = "select value from metrics where key = 'hypervolume' and run_uuid = ? order by step"
        logged = query(results / "mlflow.db", wanted, second.run_id)
        assert [value for (value,) in logged] == volumes

    def test_it_is_shown_and_written(self, searched):
        results, (_, outcome), _ = searched
        summary = json.loads((results / "tiny" / "search.json").read_text())
        shown, table = views.best(summary, results), (results / "tiny" / "table.md").read_text()
        assert f"{len(outcome.front)} of {outcome.trials['COMPLETE']} finished trials are beaten by no other" in shown
        heads = next(line for line in shown.splitlines() if line.startswith("  trial"))
        assert heads.split() == ["trial", "accuracy", "macs_g", "architecture"]
        assert "| trial | accuracy | macs_g | architecture |" in table and "hypervolume " in shown and "hypervolume " in table
        assert summary["front"][0]["trial"] == outcome.front[0].trial and summary["hypervolume"]["history"]

    def test_the_weights_of_the_front_are_kept(self, searched):
        results, (_, outcome), _ = searched
        kept = {int(path.stem) for path in (results / "tiny" / "weights").glob("*.safetensors")}
        assert {point.trial for point in outcome.front} <= kept


@pytest.mark.slow
def test_a_grid_may_have_several_objectives(tmp_path, space_file):
    grid = ["search=grid", "space.learning_rate=0.01", "space.architecture={choice: [simple_cnn, conv3_fc2]}", "name=grid",
            "schedule.max_epochs=1", "budget.trials=4", TWO]
    outcome = run_search(load_space(space_file, grid), results=tmp_path / "results")
    assert outcome.trials["COMPLETE"] == 4 and 1 <= len(outcome.front) <= 4
