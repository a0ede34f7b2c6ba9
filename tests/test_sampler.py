"""What is tried next: the baseline first, nothing twice, nothing forbidden, and better than at random."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from search.endings import Kind, State, Stop
from search.ranks import average_ranks, normal_scores, rank_correlation
from search.run import run_search
from search.sampler import Sampler
from search.space import Space, load_space, read_space
from search.surrogate import Observations, Surrogate, expected_improvement
from search.yaml_lines import Document

FINITE = {"batch_size": {"choice": [16, 32, 64]}, "optimizer": {"choice": ["adam", "sgd"]}, "epochs": {"int": [1, 2]}}
NUMBERS = {"learning_rate": {"loguniform": [1e-5, 1e-1]}, "dropout": {"uniform": [0, 0.9]}, "momentum": {"uniform": [0, 0.9]}}
BRANCHED = {
    "optimizer": {"choice": [
        {"sgd": {"learning_rate": {"loguniform": [1e-3, 1.0]}, "momentum": {"uniform": [0, 0.9]}}},
        {"adam": {"learning_rate": {"loguniform": [1e-5, 1e-2]}}},
    ]},
    "batch_size": {"int": [8, 64], "step": 8},
}  # fmt: skip


def space_of(parameters: dict[str, Any], seed: int = 0, epochs: int = 9, mode: str = "max", **more: Any) -> Space:
    objective = {"metric": "accuracy" if mode == "max" else "loss"}
    return read_space(Document("s.yaml", {"space": parameters, "objective": objective, "budget": {"trials": 9999},
                                          "data": {"seed": seed}, "schedule": {"max_epochs": epochs}, **more}))


def params_of(space: Space, suggestions: dict[str, Any]) -> dict[str, Any]:
    return space.draw(lambda label, parameter: suggestions[label])


def search(space: Space, score, trials: int) -> list[float]:
    """Run a sampler alone, every trial to its last epoch at once; return the scores."""
    sampler, scores = Sampler(space), []
    for number in range(trials):
        scores.append(score(params_of(space, sampler.ask(number))))
        sampler.report(number, space.schedule.max_epochs, scores[-1])
        sampler.end(number, State.COMPLETE, None)
    return scores


def smooth(params: dict[str, Any]) -> float:
    """Return 0 at its best, in one place of `NUMBERS`, and below that elsewhere."""
    away = math.log10(params["learning_rate"]) + 3, 2 * (params["dropout"] - 0.3), params["momentum"] - 0.7
    return -sum(distance**2 for distance in away)


class TestWhatIsAsked:
    @pytest.mark.parametrize("parameters, given, first", [
        (FINITE, {}, {"batch_size": 64, "optimizer": "adam", "epochs": 2}),  # the defaults 128 and 10 lie outside
        (FINITE, {"batch_size": 16}, {"batch_size": 16, "optimizer": "adam", "epochs": 2}),
        (NUMBERS, {"dropout": 0.5}, {"learning_rate": 1e-3, "dropout": 0.5, "momentum": 0.9}),
        (BRANCHED, {}, {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 64}),
        (BRANCHED, {"optimizer": "sgd", "learning_rate": 0.5},
         {"optimizer": "sgd", "learning_rate": 0.5, "momentum": 0.9, "batch_size": 64}),
    ])  # fmt: skip
    def test_the_baseline_is_first(self, parameters, given, first):
        space = space_of(parameters, baseline=given)
        assert params_of(space, Sampler(space).ask(0)) == first

    @pytest.mark.parametrize("search", ["sampled", "grid"])
    def test_each_configuration_once_until_none_is_left(self, search):
        space = space_of(FINITE, search=search)
        sampler = Sampler(space)
        asked = [sampler.ask(number) for number in range(13)]
        assert asked[12] is None and sampler.ask(13) is None
        assert len({frozenset(one.items()) for one in asked[:12]}) == 12

    def test_what_is_not_allowed_is_never_asked_for(self):
        space = space_of(FINITE)
        sampler = Sampler(space)

        def allowed(params: dict[str, Any]) -> bool:
            return params["batch_size"] == 32 and params["optimizer"] == "sgd"

        asked = [params_of(space, sampler.ask(number, allowed)) for number in range(2)]
        assert sorted(one["epochs"] for one in asked) == [1, 2] and sampler.ask(2, allowed) is None
        assert all((one["batch_size"], one["optimizer"]) == (32, "sgd") for one in asked)

    def test_a_space_without_anything_allowed_is_empty(self):
        assert Sampler(space_of(NUMBERS)).ask(0, lambda params: False) is None

    def test_the_rare_allowed_one_of_many_is_found(self):
        rare = {"seed": {"int": [0, 49_999]}}
        space = space_of(rare)
        assert Sampler(space).ask(0, lambda params: params["seed"] == 49_998) == {"seed": 49_998}

    def test_conditional_parameters_are_drawn_and_learnt_from(self):
        space = space_of(BRANCHED)

        def score(params: dict[str, Any]) -> float:
            return params.get("momentum", -1.0) - abs(math.log10(params["learning_rate"]) + 1)

        scores = search(space, score, 40)
        assert max(scores) > 0.5 and np.median(scores[20:]) > np.median(scores[:20])

    def test_one_seed_gives_one_search(self):
        assert search(space_of(NUMBERS), smooth, 15) == search(space_of(NUMBERS), smooth, 15)
        assert search(space_of(NUMBERS), smooth, 15)[1:] != search(space_of(NUMBERS, seed=1), smooth, 15)[1:]


class TestWhatIsLearnt:
    @pytest.mark.parametrize("mode, sign", [("max", 1), ("min", -1)])
    def test_it_finds_more_than_random_draws(self, mode, sign):
        spaces = [space_of(NUMBERS, seed, mode=mode) for seed in range(4)]
        best = [max(sign * value for value in search(space, lambda params: sign * smooth(params), 30)) for space in spaces]
        generator = np.random.default_rng(0)
        space = space_of(NUMBERS)
        draws = [max(smooth(space.draw(lambda label, parameter: parameter.at(generator.random()))) for _ in range(30))
                 for _ in range(200)]
        assert np.mean(best) > np.quantile(draws, 0.75)

    def test_early_values_at_a_rung_are_enough(self):
        space = space_of(NUMBERS, epochs=54)
        sampler, asked = Sampler(space), []
        for number in range(40):  # all are stopped at the first rung, epoch 3
            asked.append(smooth(params_of(space, sampler.ask(number))))
            sampler.report(number, 3, asked[-1])
            sampler.end(number, State.PRUNED, Kind.SCHEDULER)
        assert np.median(asked[20:]) > np.median(asked[:8])

    @pytest.mark.parametrize("kind, again", [(Kind.NOT_FINITE, False), (Kind.OUT_OF_MEMORY, False), (Kind.ERROR, False),
                                             (Kind.LOST, True)])
    def test_only_what_a_lost_worker_had_is_asked_for_again(self, kind, again):
        sampler = Sampler(space_of({"batch_size": {"choice": [16, 32]}}))
        first, _ = sampler.ask(0), sampler.ask(1)
        sampler.end(0, State.FAILED, kind)
        assert sampler.ask(2) == (first if again else None)

    def test_what_does_not_fit_is_kept_away_from(self):
        space = space_of({**NUMBERS, "batch_size": {"choice": [16, 512]}})
        sampler, sizes = Sampler(space), []
        for number in range(40):
            params = params_of(space, sampler.ask(number))
            sizes.append(params["batch_size"])
            if params["batch_size"] == 512:
                sampler.end(number, State.FAILED, Kind.OUT_OF_MEMORY)
            else:
                sampler.report(number, 9, smooth(params))
                sampler.end(number, State.COMPLETE, None)
        assert sizes[20:].count(512) <= 5

    def test_running_trials_are_not_asked_for_again(self):
        sampler = Sampler(space_of(NUMBERS))
        for number in range(10):
            sampler.report(number, 9, float(sampler.ask(number)["dropout"]))
            sampler.end(number, State.COMPLETE, None)
        rates = [sampler.ask(number)["dropout"] for number in range(10, 14)]
        assert len(set(rates)) == 4


class TestSurrogate:
    def test_it_gives_back_what_it_was_told_and_doubts_the_rest(self):
        points = np.linspace(0, 1, 9)[:, None]
        values = np.sin(4 * points[:, 0])
        surrogate = Surrogate(1)
        for _ in range(10):
            surrogate.fit(Observations(points, np.ones(9), np.arange(9), values))
        mean, deviation = surrogate.predict(points)
        np.testing.assert_allclose(mean, values, atol=0.25)
        assert surrogate.predict(np.array([[3.0]]))[1] > 2 * deviation.max()

    def test_its_slope_is_that_of_the_posterior(self):
        """The gradient against differences of the log posterior, written here from Rasmussen and Williams' equation 2.30."""
        generator = np.random.default_rng(0)
        known = Observations(generator.random((12, 2)), generator.random(12), np.arange(12) // 2, generator.normal(size=12))
        surrogate = Surrogate(2)

        def log_posterior(logs: np.ndarray) -> float:
            surrogate._logs = logs
            kernel = surrogate._kernel(known, known)[0] + surrogate._noise(12)
            fit = known.values @ np.linalg.solve(kernel, known.values) + np.linalg.slogdet(kernel)[1]
            return -fit / 2 - (((logs - surrogate._prior) / surrogate._spread) ** 2).sum() / 2

        logs = surrogate._prior + generator.normal(0, 0.3, len(surrogate._prior))
        steps = 1e-5 * np.eye(len(logs))
        differences = [(log_posterior(logs + step) - log_posterior(logs - step)) / 2e-5 for step in steps]
        surrogate._logs = logs
        np.testing.assert_allclose(surrogate._gradient(known), differences, rtol=1e-4, atol=1e-5)

    def test_expected_improvement(self):
        found = expected_improvement(np.array([0.0, 1.0, -5.0]), np.array([1.0, 1e-6, 1.0]), 0.0)
        np.testing.assert_allclose(found, [1 / math.sqrt(2 * math.pi), 1.0, 0.0], atol=1e-6)


class TestRanks:
    def test_equal_values_share_a_rank(self):
        assert average_ranks([3.0, 1.0, 3.0, -math.inf]).tolist() == [3.5, 2.0, 3.5, 1.0]
        assert normal_scores([5.0, 1.0, 3.0]).round(3).tolist() == [0.967, -0.967, 0.0]

    @pytest.mark.parametrize("first, second, expected", [
        ([1, 2, 3], [10, 20, 90], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),  # 1 - 6·2 / (4·15)
        ([1, 2], [5, 5], 0.0),
    ])  # fmt: skip
    def test_spearmans_correlation(self, first, second, expected):
        assert rank_correlation(first, second) == pytest.approx(expected)


def test_an_exhausted_space_ends_the_search_and_says_so(tmp_path, space_file):
    space = load_space(space_file, ["space.learning_rate={choice: [0.003, 0.01]}", "budget.trials=50", "schedule.max_epochs=1"])
    outcome = run_search(space, results=tmp_path / "results")
    assert (sum(outcome.trials.values()), outcome.ended_by) == (4, Stop.EXHAUSTED)


def test_an_epoch_that_nobody_compares_is_no_rung(space_file):
    assert load_space(space_file, ["schedule={max_epochs: 54}"]).schedule.rungs() == (3, 9, 27)
    assert load_space(space_file, ["schedule={max_epochs: 5}"]).schedule.rungs() == (1, 3)
