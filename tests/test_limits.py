"""Limits and impossible shapes: known before a trial starts, named at the door, and never tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.clock import Clock
from search.endings import Kind
from search.errors import SpaceError
from search.limits import Screen, read_latencies
from search.networks import memory
from search.plan import Plan, as_dict, make_plan
from search.record import read_record
from search.run import run_search
from search.searcher import OptunaSearcher
from search.space import load_space
from search.study import create_study
from search.trials import Trials
from search.views import plan as plan_view
from tests.test_run import study_of
from trainables.config import TrialConfig
from trainables.cost import cost, count

NETWORKS = "space.architecture={choice: [simple_cnn, conv3_fc2, vit_tiny]}"
SIZES = "space.image_size={choice: [16, 24, 32]}"


def plan_of(path: Path, *overrides: str) -> Plan:
    return make_plan(load_space(path, overrides))


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(SpaceError) as caught:
        plan_of(path, *overrides)
    assert "\n" not in str(caught.value) and caught.value.exit_status == 2
    return str(caught.value)


DOOR = {
    "params": (
        {"params_m": 0.01},
        "limits.params_m: 0.01 forbids every network; the smallest, simple_cnn at 16 px, has 0.1957; raise it"),
    "memory": ({"memory_mb": 0.5}, "limits.memory_mb: 0.5 forbids every network; the smallest, simple_cnn at 16 px, has 3.948;"),
    "none": ({"params_m": 0}, "limits.params_m: 0 is out of range; give a number <= 1e+09 and > 0"),
    "unknown": ({"params": 1}, "limits.params: unknown key 'params'; did you mean 'params_m'? known: params_m, macs_g, "),
}  # fmt: skip


def test_what_is_never_tried_counts_for_no_disk(space_file):
    space = ["space.architecture={choice: [conv3_fc2, alexnet_small]}", "space.image_size=96"]
    every, fewer = (make_plan(load_space(space_file, [*space, *given])).disk_bytes(images=False)
                    for given in ([], ["limits={params_m: 5}"]))
    assert 0 < fewer < every


@pytest.mark.parametrize(("limits", "expected"), DOOR.values(), ids=DOOR)
def test_limits_that_forbid_everything_name_the_smallest(space_file: Path, limits: dict, expected: str) -> None:
    assert expected in message(space_file, NETWORKS, f"limits={json.dumps(limits)}")


def test_limits_that_forbid_everything_together(space_file: Path) -> None:
    networks, limits = "space.architecture={choice: [simple_cnn, squeezenet1_1]}", "limits={params_m: 0.6, macs_g: 0.006}"
    expected = "limits: together they forbid every network; simple_cnn at 32 px has 0.01014 G MACs, above limits.macs_g 0.006; "
    assert expected in message(space_file, networks, "space.image_size=32", limits)


def test_check_says_what_is_forbidden(space_file: Path) -> None:
    plan = plan_of(space_file, NETWORKS, "limits={params_m: 0.3, memory_mb: 5, latency_ms: 50}")
    lines = {line.split()[0]: line for line in plan_view(plan).splitlines() if " parameters, " in line}
    assert lines["vit_tiny"].endswith("never tried: 0.8889 M parameters, above limits.params_m 0.3")
    assert lines["conv3_fc2"].endswith("tried in part: up to 6.166 MB a step, above limits.memory_mb 5")
    assert lines["simple_cnn"].endswith("5 MB a step")
    assert "limits      params_m 0.3, memory_mb 5, latency_ms 50; latency is measured when the search starts" in plan_view(plan)
    forbidden = {network["architecture"]: network["forbidden"] for network in as_dict(plan)["architectures"]}
    assert forbidden["simple_cnn"] == forbidden["conv3_fc2"] == [] and len(forbidden["vit_tiny"]) == 2


def test_memory_is_between_the_leanest_and_the_greediest_trial(space_file: Path) -> None:
    space = load_space(space_file, ["space.optimizer={choice: [sgd, adam]}", "space.momentum={choice: [0, 0.9]}"])
    found = cost("simple_cnn", 1, 2, 16)
    assert memory(space, found) == (found.memory(8, "sgd", 0), found.memory(16, "adam"))


def test_shapes_that_cannot_be_are_named_and_the_rest_is_searched(space_file: Path, tmp_path: Path) -> None:
    sizes = "space.image_size={choice: [8, 16, 32]}"
    plan = plan_of(space_file, "space.architecture={choice: [simple_cnn, squeezenet1_1]}", sizes)
    assert list(plan.impossible) == [("squeezenet1_1", 8), ("squeezenet1_1", 16)]
    assert list(plan.warnings) == [
        f"--set {sizes}: space.image_size: {size} is too small for squeezenet1_1; give 17 or more; these are never tried together"
        for size in (8, 16)]
    screen = Screen(plan, tmp_path)
    tried = {(name, size): screen.forbids(TrialConfig(architecture=name, image_size=size))
             for name in ("simple_cnn", "squeezenet1_1") for size in (8, 16, 32)}
    assert {pair for pair, reason in tried.items() if reason} == set(plan.impossible)


def test_an_architecture_that_fits_no_size_is_refused(space_file: Path) -> None:
    line = message(space_file, "space.architecture={choice: [simple_cnn, squeezenet1_1]}", "space.image_size={choice: [8, 16]}")
    assert "space.image_size: 8 is too small for squeezenet1_1; give 17 or more" in line


def test_no_forbidden_configuration_becomes_a_trial(space_file: Path, tmp_path: Path) -> None:
    """One network and the larger sizes of the others are too large; Optuna's file holds only what may be tried."""
    plan = plan_of(space_file, NETWORKS, SIZES, "limits={params_m: 0.3}", "budget.trials=30")
    trials = Trials("accuracy", "max")
    searcher = OptunaSearcher(plan.space, create_study(plan.space, tmp_path), trials, Clock(None), stop=print,
                              forbids=Screen(plan, tmp_path).forbids)
    for number in range(30):  # beyond the ten that Optuna's sampler draws at random
        trial = searcher.suggest(str(number))
        assert trial["number"] == number
        row = {"epoch": 2, "accuracy": trial["trial"]["learning_rate"], "loss": 1.0}
        searcher.on_trial_complete(str(number), {"rows": [row], "epoch": 2})
    searcher.close(Kind.BUDGET)
    assert {cost(trial.config.architecture, 1, 2, trial.config.image_size).params <= 300_000 for trial in trials} == {True}
    assert [(trial.state.name, trial.params) for trial in study_of(tmp_path).trials] == [
        ("COMPLETE", trial.params) for trial in trials]


def test_what_may_be_asked_runs_dry(space_file: Path, tmp_path: Path) -> None:
    tmp_path.joinpath("dry").mkdir()
    study = create_study(load_space(space_file), tmp_path / "dry")
    assert study.ask(lambda params: False) is None
    assert study.ask(lambda params: params["batch_size"] == 8).number == 0
    assert study.ask().number == 1


def test_a_grid_leaves_out_what_is_forbidden(space_file: Path, tmp_path: Path) -> None:
    space = load_space(space_file, ["search=grid", "space.learning_rate={choice: [0.01, 0.1]}"])
    tmp_path.joinpath("grid").mkdir()
    study = create_study(space, tmp_path / "grid")
    asked = [study.ask(lambda params: params["batch_size"] == 8) for _ in range(3)]
    assert [each and each.params for each in asked] == [
        {"learning_rate": 0.01, "batch_size": 8}, {"learning_rate": 0.1, "batch_size": 8}, None]


def test_latency_is_measured_once_and_kept(space_file: Path, tmp_path: Path) -> None:
    plan = plan_of(space_file, "space.architecture={choice: [simple_cnn, conv3_fc2]}", SIZES, "limits={latency_ms: 10000}")
    assert Screen(plan, tmp_path).forbids(TrialConfig(architecture="simple_cnn", image_size=16)) is None
    written = (tmp_path / "latency.json").read_text()
    known = json.loads(written)
    assert len(known) == 6 and all(0 < milliseconds < 10000 for milliseconds in known.values())
    (tmp_path / "latency.json").write_text(written.replace(str(known[min(known)]), "20000"))
    slow = json.loads(min(known))
    screen = Screen(plan, tmp_path)
    assert screen.forbids(TrialConfig(architecture=slow[0], image_size=slow[1])) == (
        "2e+04 ms an image, above limits.latency_ms 10000")
    assert json.loads((tmp_path / "latency.json").read_text()) == {**known, min(known): 20000}


@pytest.mark.parametrize("content", ["", "[1]", '{"vgg": 1}', '{"[]": 1}', '{"[1]": 1}', '{"[\\"simple_cnn\\", 16]": "slow"}'])
def test_damaged_latencies_are_no_latencies(tmp_path: Path, content: str) -> None:
    (tmp_path / "latency.json").write_text(content)
    assert read_latencies(tmp_path / "latency.json") == {}


def test_a_latency_that_nothing_reaches_creates_no_search(space_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"limits.latency_ms: 1e-05 forbids every network; the smallest, simple_cnn at 16 px"):
        run_search(load_space(space_file, ["limits.latency_ms=0.00001"]), results=tmp_path / "results")
    assert not (tmp_path / "results" / "tiny").exists()


@pytest.mark.slow
def test_a_search_with_a_limit_that_forbids_most_starts_no_forbidden_trial(space_file: Path, tmp_path: Path) -> None:
    architectures = "space.architecture={choice: [vgg16, simple_cnn, resnet18, densenet121]}"
    space = load_space(space_file, [architectures, "limits.params_m=1", "budget.trials=6", "space.image_size=32"])
    outcome = run_search(space, results=tmp_path / "results")
    started = [trial.config.architecture for trial in read_record(tmp_path / "results" / "tiny").trials]
    assert started == ["simple_cnn"] * 6 and outcome.trials["FAILED"] == 0


def test_blocks_are_counted_from_few(space_file: Path) -> None:
    options = {"patch_size": 4, "depth": 5}
    assert cost("vit_tiny", 3, 7, 40, **options) == count("vit_tiny", 3, 7, 40, **options)
