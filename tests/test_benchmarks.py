"""Each benchmark still runs, tiny, and ends with the line that a program reads. The figures mean nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.common import compare, in_turn

ROOT = Path(__file__).parent.parent
KEYS = {"benchmark", "ratio", "low", "high", "target", "device"}
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name", ["loop", "tracking", "bad_inputs",
             *(pytest.param(name, marks=SLOW) for name in ("step", "threads", "overhead", "whole"))]
)
def test_the_last_line_holds_the_results(name):
    done = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", "--quick"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    for result in results if isinstance(results, list) else [results]:
        assert set(result) >= KEYS
        assert 0 < result["low"] <= result["ratio"] <= result["high"]
        if name == "tracking":
            assert result["every_row_there"] == {"ours": True, "callback": True}


@SLOW
def test_load_counts_every_row():
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.load", "--quick"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    untracked, tracked, reports, busy, writers = json.loads(done.stdout.splitlines()[-1])
    assert untracked["trials"] == tracked["trials"] == 12 and untracked["every_row_there"] is None
    assert tracked["every_row_there"] and writers["every_row_there"] and reports["every_row_there"]
    assert reports["at_a_time"] == 4 and busy["trials"] == 32


def test_search_quality_replays_a_search():
    given = ["--tasks", "crossing", "--seeds", "1", "--epochs", "80"]
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.search_quality", *given], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    regret = json.loads(done.stdout.splitlines()[-1])["regret"]["crossing"]
    assert len(regret) == 5 and all(list(points) == ["1/8", "1/4", "1/2", "1"] for points in regret.values())
    for points in regret.values():
        means = [point["mean"] for point in points.values()]
        assert means == sorted(means, reverse=True) and means[-1] > 0


@SLOW
def test_coverage_says_how_many_intervals_hold_the_truth():
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.coverage", "--quick"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["searches"] == 2 and result["held"] in (0, 0.5, 1) and result["sealed_rows"] == 90


def test_ways_take_turns():
    calls = []
    found = in_turn({name: lambda name=name: calls.append(name) or float(len(calls)) for name in "ab"}, 2, warm_up=True)
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_a_ratio_is_taken_within_each_repetition():
    result = compare("x", ours=[1, 2, 1], theirs=[4, 4, 9], target=4)
    assert (result["ratio"], result["low"], result["high"], result["reached"]) == (4, 2, 9, True)
