"""The live display at any width, and how busy the machine is as the system tells it."""

from __future__ import annotations

import io
import math
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from search import gpus, load
from search import plan as plans
from search.clock import Clock
from search.endings import Ending, Kind, State
from search.load import Load
from search.plan import make_plan
from search.progress import Progress, ended, progress_on
from search.resources import Machine
from search.space import load_space
from search.trials import Trial, Trials

SMI = """#!/bin/sh
echo "87, 2048, 81920, 250.50"
echo "[N/A], [N/A], [N/A], [N/A]"
"""


@pytest.fixture
def progress(space_file):
    """The display of a search with a trial that runs, a finished, a stopped and a failed one."""
    plan = make_plan(load_space(space_file, ["schedule.max_epochs=4", "budget.minutes=5"]))
    trials = Trials("accuracy", "max")
    endings = [Ending(State.COMPLETE, value=0.9), Ending(State.PRUNED, Kind.SCHEDULER, 0.4),
               Ending(State.FAILED, Kind.OUT_OF_MEMORY, message="no room"), None]
    for number, ending in enumerate(endings):
        params = {"learning_rate": 0.00123, "batch_size": 8}
        rows = [{"epoch": epoch, "accuracy": 0.4 + epoch / 10, "loss": 1.0, "images_per_second": 123.0}
                for epoch in range(1, 5 if number == 0 else 2)]
        trials.add(Trial(number, params, plan.space.trial_config(params), rows, ending))
    shown = Progress(io.StringIO())
    with shown.showing(plan, trials, Clock(300.0, spent=60.0)):
        yield shown


def test_where_nobody_reads_any_more_the_search_goes_on(space_file):
    plan, (reading, writing) = make_plan(load_space(space_file)), os.pipe()
    with progress_on(writing) as progress:
        os.close(writing)
        progress.phase("reading the data")
        os.close(reading)
        with progress.showing(plan, Trials("accuracy", "max"), Clock(None)):
            progress.note("nobody hears this")
            progress.phase("nor this")


def draw(progress: Progress, width: int) -> list[str]:
    paper = io.StringIO()
    Console(file=paper, width=width, force_terminal=True, no_color=True, legacy_windows=False, _environ={}).print(progress)
    return [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in paper.getvalue().splitlines()]


def test_everything_is_on_a_wide_terminal(progress):
    text = "\n".join(draw(progress, 160))
    for expected in ("1:00 of 5:00,", " left for trials | 4 of 3 trials: 1 running, 1 complete, 1 stopped early, 1 failed",
                     "busy on", "3.0 trials a minute, 123 images a second; failed 1 out of memory",
                     "best accuracy: 0.9000 by trial 0",
                     "rung     came  stopped  went on  best accuracy", "epoch 1  4     1        1        0.5000",
                     "1/4    0.5000"):
        assert expected in text


def test_on_a_narrow_terminal_only_the_parameters_are_cut(progress):
    heading, row = draw(progress, 40)[-2:]
    assert heading.split() == ["trial", "epoch", "accuracy", "parameters"]
    assert row.split()[:3] == ["3", "1/4", "0.5000"] and row.rstrip().endswith("…")


def test_the_heading_names_the_search(progress):
    assert draw(progress, 80)[0].startswith(f"{progress._plan.space.name}: ")
    with progress.showing(progress._plan, progress._trials, progress._clock, "second_try"):
        assert draw(progress, 80)[0].startswith("second_try: ")


def test_the_seconds_of_a_trial_are_those_of_its_epochs():
    """A search that was stopped for an hour went on with it."""
    rows = [{"epoch": epoch, "seconds": 10.0} for epoch in (1, 2)]
    trial = Trial(3, {}, None, rows, Ending(State.COMPLETE, value=0.9), started=0.0, ended=3620.0)
    assert ended(trial, "accuracy") == "trial 3    COMPLETE accuracy 0.9000 after 2 epochs, 20 s"


@pytest.mark.parametrize("width", [20, 40, 80])
def test_nothing_is_wider_than_the_terminal(progress, width):
    assert max(map(len, draw(progress, width))) <= width


def test_memory_is_what_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "MEMINFO", tmp_path / "meminfo")
    assert load.memory() == ""
    (tmp_path / "meminfo").write_text("MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   12582912 kB\n")
    assert load.memory() == "4.0 of 16.0 GiB memory"


def test_gpus_are_what_their_driver_says(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(gpus, "now", gpus.Moment())
    assert load.busy_gpus() == "GPU 0 87 % busy with 2.0 of 80.0 GiB"
    trial = Trial(0, {}, None, [{"epoch": 1, "memory": 2**30}])
    assert Load(Machine(8, 1, 1, 1, 1)).describe([trial]).endswith("of 80.0 GiB, trials take 1.0 GiB of it")
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert load.busy_gpus().startswith("GPU 0"), "asked again so soon, it says what it was told"
    monkeypatch.setattr(gpus, "now", gpus.Moment())
    assert load.busy_gpus() == ""


def test_without_a_gpu_none_is_named(tmp_path: Path):
    assert "GPU" not in Load(Machine(2, 0, 1, 0, 2)).describe([])


def test_files_that_come_slowly_are_said(space_file, monkeypatch):
    """In what `check` prints and where a search begins."""
    assert not make_plan(load_space(space_file)).warnings
    monkeypatch.setattr(plans, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(plans, "SLOW_BYTES", math.inf)
    [warning] = (plan := make_plan(load_space(space_file))).warnings
    said = "the disk took 0 s for 60 images, [0-9.]+ MB a second, and each start reads them twice; copy them to a disk of this"
    assert re.match(rf"{space_file}:\d+: data: {said}", warning)
    paper = io.StringIO()
    with Progress(paper).showing(plan, Trials("accuracy", "max"), Clock(300.0)):
        pass
    assert re.match(f"warning: {said}", paper.getvalue())
    assert not make_plan(load_space(space_file, ["data={source: aoi}"])).warnings
