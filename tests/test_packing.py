"""How many trials share a GPU, from records alone: bounds by hand, and what is known not to fit is never started."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from search.clock import Clock
from search.endings import Ending, Kind, State
from search.packing import Load, Packing, Peak, at_most, read_peaks, room, too_large, trials_per_gpu
from search.plan import make_plan
from search.resources import Machine, share_out
from search.searcher import OptunaSearcher, create_study
from search.sections import Resources
from search.space import load_space
from search.trials import Trial, Trials
from trainables.config import TrialConfig

GIB = 2**30
GPU = 10 * GIB


def load(batch: int = 32, architecture: str = "resnet18", size: int = 64) -> Load:
    return Load(architecture, size, "auto", batch)


def peak(gib: float, batch: int = 32, fits: bool = True, **place) -> Peak:
    return Peak(load(batch, **place), int(gib * GIB), fits)


@pytest.mark.parametrize("peaks, gib", [
    ([], None),
    ([peak(2)], 2),
    ([peak(2, batch=64)], 2),  # a larger batch takes more
    ([peak(2, batch=8)], 8),  # four times the batch takes at most four times as much
    ([peak(2, batch=8), peak(3, batch=128)], 3),
    ([peak(2, size=32), peak(2, architecture="conv3_fc2"), peak(2, fits=False)], None),
])  # fmt: skip
def test_bound_on_what_a_load_takes(peaks, gib):
    assert at_most(load(), peaks) == (None if gib is None else gib * GIB)


@pytest.mark.parametrize("peaks, found", [
    ([], False),
    ([peak(5)], False),
    ([peak(6)], True),
    ([peak(6, batch=64)], False),
    ([peak(6, batch=16)], True),
    ([peak(5, fits=False)], True),
    ([peak(4, fits=False)], False),  # it had less room then
    ([peak(5, batch=64, fits=False)], False),
    ([peak(6, size=32)], False),
])  # fmt: skip
def test_what_is_known_not_to_fit_five_gib(peaks, found):
    assert too_large(load(), peaks, 5 * GIB) is found


@pytest.mark.parametrize("peaks, data, count", [
    ([], 0, 1),  # not measured yet
    ([peak(2)], 0, 4),  # 9 GiB of 10 are for tensors
    ([peak(2)], 0.25, 4),
    ([peak(2)], 0.5, 3),
    ([peak(0.1)], 0, 8),  # no more than asked for
    ([peak(2), peak(2.5, fits=False)], 0, 3),
    ([peak(20)], 0, 1),
])  # fmt: skip
def test_how_many_share_a_gpu(peaks, data, count):
    assert trials_per_gpu([load()], peaks, GPU, int(data * GIB), most=8) == count


def test_what_does_not_fit_a_whole_gpu_has_no_say():
    loads = [load(), load(architecture="vgg16")]
    assert trials_per_gpu(loads, [peak(2), peak(9, fits=False, architecture="vgg16")], GPU, 0) == 4
    assert trials_per_gpu(loads, [peak(2)], GPU, 0) == 1


def test_data_that_stays_in_host_memory_takes_no_room():
    assert room(GPU, 1, 4 * GIB) == 5 * GIB
    assert room(GPU, 1, 5 * GIB) == 9 * GIB


def test_auto_starts_with_one_and_a_number_is_taken_as_it_is():
    assert share_out(8, 2, Resources(trials_per_gpu="auto")) == Machine(8, 2, 1, 1.0, 2)
    assert share_out(8, 2, Resources(trials_per_gpu=8)) == Machine(8, 2, 0.5, 1 / 8, 16)


@pytest.fixture
def plan(space_file: Path):
    space = load_space(space_file, ["resources.trials_per_gpu=auto"])
    machine = dataclasses.replace(share_out(8, 1, space.resources), gpu_memory=GPU)
    return make_plan(space, machine)


def trial(batch: int, kind: Kind | None = None) -> Trial:
    config = TrialConfig(architecture="simple_cnn", image_size=16, precision="fp32", batch_size=batch)
    found = Trial(0, {}, config)
    found.end(Ending(State.FAILED if kind else State.COMPLETE, kind))
    return found


def test_a_search_remembers_for_the_next(plan, tmp_path):
    first = Packing(plan, tmp_path)
    assert first.machine.trials_per_gpu == 1
    for memory in (2 * GIB, GIB):
        first.epoch(trial(16), {"memory": float(memory)})
    first.epoch(trial(8), {"loss": 1.0})
    assert read_peaks(tmp_path / "gpu_memory.json") == [Peak(Load("simple_cnn", 16, "fp32", 16), 2 * GIB)]
    assert Packing(plan, tmp_path).machine == plan.machine.packed(4)


def test_out_of_memory_is_remembered_and_not_tried_again(plan, tmp_path):
    packing = Packing(plan, tmp_path)
    packing.end(trial(16, Kind.ERROR))
    assert packing.refuses(trial(16).config) is None
    packing.end(trial(16, Kind.OUT_OF_MEMORY))
    assert packing.refuses(trial(8).config) is None
    for again in (packing, Packing(plan, tmp_path)):
        assert again.refuses(trial(16).config) == (
            "not started: simple_cnn with batch 16 at 16 px is known to need more than the 9.0 GiB that a trial has"
        )


def test_without_a_gpu_nothing_is_refused_or_remembered(space_file, tmp_path):
    plan = make_plan(load_space(space_file), share_out(2, 0, Resources()))
    packing = Packing(plan, tmp_path / "results")
    packing.end(trial(16, Kind.OUT_OF_MEMORY))
    assert packing.refuses(trial(16).config) is None
    assert (packing.machine, read_peaks(tmp_path / "results" / "gpu_memory.json")) == (plan.machine, [])


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"load": {"size": 1}}]'])
def test_damaged_records_are_no_records(tmp_path, content):
    (tmp_path / "gpu_memory.json").write_text(content)
    assert read_peaks(tmp_path / "gpu_memory.json") == []


def test_the_searcher_ends_what_is_refused_without_starting_it(space_file, tmp_path):
    space = load_space(space_file, ["budget.trials=6"])
    trials = Trials("accuracy", "max")
    searcher = OptunaSearcher(space, create_study(space, tmp_path), trials, Clock(None), stop=print,
                              refuses=lambda config: "too large" if config.batch_size == 16 else None)
    started = [searcher.suggest(str(number)) for number in range(7)]
    configs = [suggestion["trial"] for suggestion in started if isinstance(suggestion, dict)]
    assert configs and {config["batch_size"] for config in configs} == {8}
    failed = trials.ended(State.FAILED)
    assert len(failed) + len(configs) == 6 and failed
    assert {(trial.ending.kind, trial.ending.message) for trial in failed} == {(Kind.OUT_OF_MEMORY, "too large")}
