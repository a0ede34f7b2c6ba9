"""The table that a search ends in, by hand; and the optimizers' picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search import cli
from search.endings import Ending, Kind, State
from search.folder import read_summary
from search.plan import make_plan
from search.space import load_space
from search.table import FILES, compared, interval, optimizer_curves, rows, student, write_table
from search.trials import Trial, Trials
from tests.test_run import query, study_of
from trainables.cost import cost

GRID = ["search=grid", "space.learning_rate=0.01", "space.seed={choice: [0, 1]}",
        "space.optimizer={choice: [adam, {sgd: {momentum: {choice: [0, 0.5]}}}]}"]


@pytest.fixture
def plan(space_file: Path):
    return make_plan(load_space(space_file, GRID))


def finished(plan, scores: dict[tuple, list[list[float]]], stopped: tuple = ()) -> Trials:
    """Return trials with the given curves by (optimizer, momentum), a seed each; those of ``stopped`` ended early."""
    trials = Trials("accuracy", "max")
    for (optimizer, momentum), curves in scores.items():
        for seed, curve in enumerate(curves):
            params = {"optimizer": optimizer, "batch_size": 8, "seed": seed}
            params |= {} if momentum is None else {"momentum": momentum}
            rows = [{"epoch": epoch, "accuracy": value, "seconds": float(epoch + seed)} for epoch, value in enumerate(curve, 1)]
            trial = Trial(len(trials), params, plan.space.trial_config(params), rows)
            pruned = (optimizer, momentum) in stopped
            trial.end(Ending(*(State.PRUNED, Kind.SCHEDULER) if pruned else (State.COMPLETE, None), value=curve[-1]))
            trials.add(trial)
    return trials


def test_rows_are_means_over_seeds_best_first_and_stopped_ones_last(plan) -> None:
    trials = finished(plan, {("sgd", 0.0): [[0.5, 0.7], [0.6, 0.8]], ("sgd", 0.5): [[0.99]], ("adam", None): [[0.8, 0.9]]},
                      stopped=(("sgd", 0.5),))
    found = rows(plan.about, trials, trials.ranked(), ["optimizer", "momentum"])
    assert [row.params for row in found] == [("adam", None), ("sgd", 0.0), ("sgd", 0.5)]
    assert [(row.trials, row.epochs, row.score) for row in found] == [(1, 2, 0.9), (2, 2, 0.75), (1, 1, 0.99)]
    # seconds 1, 2 of the first seed and 2, 3 of the second
    assert [row.seconds for row in found] == [1.5, 2, 1]
    network = cost("simple_cnn", 1, 2, 16)
    assert {(row.parameters, row.macs) for row in found} == {(network.params, network.thop_macs)}


def test_the_interval_of_a_mean_is_students() -> None:
    """Three values: t at 97.5 % for two degrees of freedom is 4.302653 (any printed table)."""
    low, high = student([0.8, 0.9, 1.0])
    assert (low, high) == pytest.approx((0.9 - 4.302653 * 0.1 / 3**0.5, 0.9 + 4.302653 * 0.1 / 3**0.5), abs=1e-6)
    assert interval([0.8, 0.9, 1.0], "loss", 12) == (low, high)


def test_a_single_trial_has_an_interval_only_where_it_is_a_share() -> None:
    """9 of 10, by Wilson's formula in Brown, Cai and DasGupta, Statistical Science 16 (2001)."""
    assert interval([0.9], "accuracy", 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert interval([0.9], "loss", 10) is None


def test_curves_are_means_over_the_trials_that_ended(plan) -> None:
    trials = finished(plan, {("sgd", 0.0): [[0.5, 0.7], [0.7, 0.8]], ("sgd", 0.5): [[0.7, 0.8]], ("adam", None): [[0.9]]},
                      stopped=(("adam", None),))
    assert optimizer_curves(plan.space, trials) == {
        "sgd, momentum 0": (2, pytest.approx([0.6, 0.75])), "sgd, momentum 0.5": (1, pytest.approx([0.7, 0.8]))}


@pytest.mark.parametrize(("optimizer", "columns"), [
    ("{choice: [adam, {sgd: {momentum: {choice: [0, 0.9]}}}]}", ["optimizer", "momentum", "batch_size"]),
    ("{choice: [adam, {sgd: {momentum: {uniform: [0, 0.9]}}}]}", ["optimizer", "batch_size"]),
    ("{choice: [{rmsprop: {momentum: {choice: [0, 0.9]}}}, {sgd: {momentum: {uniform: [0, 0.9]}}}]}",
     ["optimizer", "batch_size"]),
    ("{choice: [adam, {sgd: {lr_schedule: {choice: [none, {cosine: {momentum: {choice: [0, 0.9]}}}]}}}]}",
     ["optimizer", "lr_schedule", "momentum", "batch_size"]),
    ("{choice: [adam, {sgd: {seed: {choice: [0, 1]}}}]}", ["optimizer", "batch_size"]),
    ("adam", ["batch_size"]),
], ids=["choice", "range", "choice and range", "choice under a choice", "seed", "fixed"])  # fmt: skip
def test_what_is_chosen_under_an_optimizer_is_compared_with_it(space_file: Path, optimizer: str, columns: list[str]) -> None:
    assert compared(load_space(space_file, [f"space.optimizer={optimizer}"])) == columns


def test_momentum_is_not_averaged_away(plan, tmp_path: Path) -> None:
    write_table(plan, tmp_path, finished(plan, {("sgd", 0.0): [[0.5], [0.6]], ("sgd", 0.5): [[0.9]], ("adam", None): [[0.8]]}))
    with (tmp_path / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["optimizer"], line["momentum"], float(line["accuracy"])) for line in lines] == [
        ("sgd", "0.5", 0.9), ("adam", "", 0.8), ("sgd", "0.0", 0.55)]


def test_files(plan, tmp_path: Path) -> None:
    trials = finished(plan, {("sgd", 0.0): [[0.5, 0.7], [0.6, 0.8]], ("adam", None): [[0.8, 0.9], [0.8, 0.9]]})
    assert [path.name for path in write_table(plan, tmp_path, trials)] == list(FILES)
    head, rule, first, second, _, note = (tmp_path / "table.md").read_text().splitlines()
    assert head == ("| batch_size | optimizer | momentum | trials | epochs | accuracy | 95 % interval | parameters | MACs | "
                    "s an epoch |")
    assert first == "| 8 | adam | - | 2 | 2 | 0.9000 | 0.9000 to 0.9000 | 195,674 | 2,535,824 | 2 |"
    assert second.startswith("| 8 | sgd | 0 | 2 | 2 | 0.7500 | 0.1147 to 1.3853 |")
    assert rule.count("---") == 10 and note.startswith("Scores are means on the 12 validation rows. Interval: Student's t over")
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["momentum"], float(line["accuracy"]), int(line["macs"])) for line in lines] == [
        ("", 0.9, 2535824), ("0.0", 0.75, 2535824)]
    picture = np.asarray(Image.open(tmp_path / "optimizers.png").convert("RGB"))
    assert picture.shape[0] > 400 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_without_a_searched_optimizer_there_is_no_picture(space_file: Path, tmp_path: Path) -> None:
    plan = make_plan(load_space(space_file))
    trials = finished(plan, {("adam", None): [[0.9]]})
    assert [path.name for path in write_table(plan, tmp_path, trials)] == list(FILES[:-1])


def test_a_grid_ends_in_its_table_and_mlflow_has_it(space_file: Path, tmp_path: Path, capsys) -> None:
    arguments = ["run", str(space_file), "--results", str(tmp_path / "results"), "--set", "space.batch_size=8",
                 "--set", "schedule.grace_period=2", "--set", "budget.trials=6"]
    assert cli.main([*arguments, *(word for setting in GRID for word in ("--set", setting))]) == 0
    printed, folder = capsys.readouterr().out, tmp_path / "results" / "tiny"
    table = (folder / "table.md").read_text()
    assert table in printed and table.count("| 2 | 2 |") == 3 and table.count("| sgd |") == 2
    assert "ended     all trials of the budget were run" in printed and read_summary(folder)["ended_by"] == "trials"
    assert [trial.state.name for trial in study_of(folder).trials] == ["COMPLETE"] * 6
    [(place,)] = query(tmp_path / "results" / "mlflow.db", f"""
        select artifact_uri from runs where run_uuid = '{read_summary(folder)["run_id"]}'""")
    assert {path.name for path in Path(place.removeprefix("file://")).iterdir()} >= set(FILES)
