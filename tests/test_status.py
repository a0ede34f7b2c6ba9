"""`status` of searches that run, ended, were stopped or killed, from the record alone."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from search import cli
from search.clock import RESERVE_SECONDS, Clock
from search.endings import Ending, Kind, State
from search.errors import EnvironmentProblem, Interrupted
from search.folder import held, holder, write_summary
from search.plan import make_plan
from search.record import Recorder, begin_record
from search.resources import Machine
from search.rows import keep_rows
from search.rung_table import RungRow, rung_table
from search.space import load_space
from search.status import status
from search.trials import Trial, Trials

CURVES = [
    ([0.5, 0.6, 0.7, 0.8], Ending(State.COMPLETE, value=0.8)),
    ([0.4], Ending(State.PRUNED, Kind.SCHEDULER, 0.4)),
    ([0.6, 0.55], Ending(State.PRUNED, Kind.SCHEDULER, 0.55)),
    ([0.5], Ending(State.FAILED, Kind.ERROR, message="a bad day")),
    ([0.7, 0.7, 0.7], None),
]
MACHINE = Machine(8, 2, 1, 0.5, 4)


def write_record(folder: Path, space_file: Path, *overrides: str, problem: BaseException | None = None, torn: bool = False
                 ) -> Path:
    """Write the record of five trials that took 90 s, by the search's own recorder, whose search ended with ``problem``."""
    folder.mkdir(parents=True)
    space = load_space(space_file, ["schedule.max_epochs=4", "schedule.reduction_factor=2", "budget.minutes=5", *overrides])
    plan = make_plan(space)
    keep_rows(folder, plan.catalog)
    record = begin_record(folder, space, plan.catalog.fingerprint, plan.about)
    with suppress(Interrupted, EnvironmentProblem), Recorder(record, Clock(None, spent=90.0), print) as recorder:
        recorder.start(space.budget, None, MACHINE)
        for number, (curve, ending) in enumerate(CURVES):
            params = {"learning_rate": 1e-3 * (number + 1), "batch_size": 8}
            recorder.begin(trial := Trial(number, params, space.trial_config(params)))
            for epoch, value in enumerate(curve, 1):
                trial.rows.append({"epoch": epoch, "accuracy": value, "loss": 1.0, "time": 1.0})
                recorder.epoch(trial, trial.rows[-1])
            if ending:
                trial.end(ending)
                recorder.end(trial)
        if problem:
            raise problem
    if torn:  # as a killed process leaves it: no word of an end
        *lines, _ = (folder / "record.jsonl").read_text().splitlines()
        (folder / "record.jsonl").write_text("\n".join([*lines, '{"event": "epo']))
    write_summary(folder, {"name": folder.name, "state": "running"})
    return folder


def test_the_rung_table_by_hand(space_file):
    space, trials = load_space(space_file), Trials("accuracy", "max")
    for number, (curve, ending) in enumerate(CURVES):
        params = {"learning_rate": 1e-3, "batch_size": 8}
        rows = [{"epoch": epoch, "accuracy": value} for epoch, value in enumerate(curve, 1)]
        trials.add(Trial(number, params, space.trial_config(params), rows, ending))
    assert rung_table(trials, (1, 2, 4)) == [RungRow(1, 5, 3, 1, 0.7), RungRow(2, 3, 2, 1, 0.7), RungRow(4, 1, 0, 0, 0.8)]
    trials.mode = "min"
    assert [row.best for row in rung_table(trials, (1, 2, 3, 9))] == [0.4, 0.55, 0.7, None]


def test_a_search_that_runs(space_file, tmp_path, capsys):
    folder = write_record(tmp_path / "tiny", space_file, torn=True)
    with held(folder):
        found = status(folder)
        assert cli.main(["status", "tiny", "--results", str(tmp_path)]) == 0
    assert found.state == "running" and "on" in found.process and holder(folder) is None
    assert found.trials == {"RUNNING": 1, "COMPLETE": 1, "PRUNED": 2, "FAILED": 1} and found.failures == {"error": 1}
    assert (found.best["trial"], found.best["value"]) == (0, 0.8) and found.best["params"]["learning_rate"] == 0.001
    assert [(row.epoch, row.reached, row.stopped) for row in found.rungs] == [(1, 5, 1), (2, 3, 1)]
    assert 90 <= found.spent < 120 and 300 - RESERVE_SECONDS - found.spent == pytest.approx(found.left, abs=0.2)
    assert found.last["event"] == "epoch" and (found.last["trial"], found.last["epoch"]) == (4, 3)
    printed = capsys.readouterr().out
    for expected in ("tiny: running in process", "1 running, 1 complete, 2 stopped early, 1 failed (1 error)",
                     "left; budget 3 trials, 5 minutes", "accuracy 0.8000 by trial 0", "last      epoch of trial 4 at epoch 3",
                     "epoch 1: 5 came, 1 stopped, 3 went on, best accuracy 0.7000"):
        assert expected in printed


@pytest.mark.parametrize(("problem", "torn", "state"), [
    (None, False, "complete"), (Interrupted(2), False, "interrupted"), (EnvironmentProblem("x"), False, "failed"),
    (None, True, "killed"),
], ids=["complete", "interrupted", "failed", "killed"])  # fmt: skip
def test_a_search_that_ended(problem, torn, state, space_file, tmp_path, capsys):
    folder = write_record(tmp_path / "tiny", space_file, problem=problem, torn=torn)
    found = status(folder)
    assert (found.state, found.process) == (state, None) and found.spent < 100
    assert cli.main(["status", "--json", "--results", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == state
    assert cli.main(["status", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "trials    1 to go on with, 1 complete, 2 stopped early" in printed
    assert ("`resume tiny` goes on with it" in printed) == (state != "complete") and " left;" not in printed


def test_without_a_limit_of_time_nothing_is_left(space_file, tmp_path):
    folder = write_record(tmp_path / "tiny", space_file, "budget.minutes=null")
    assert status(folder).left is None


def test_hours_of_gpus_count_for_all_of_them(space_file, tmp_path):
    folder = write_record(tmp_path / "tiny", space_file)
    text = (folder / "record.jsonl").read_text().replace('"gpu_hours": null', '"gpu_hours": 0.1')
    (folder / "record.jsonl").write_text(text)
    assert status(folder).left == pytest.approx(0.1 * 3600 / MACHINE.gpus - 18 - status(folder).spent, abs=0.2)


def test_a_damaged_record_is_named(space_file, tmp_path, capsys):
    folder = write_record(tmp_path / "tiny", space_file)
    (folder / "record.jsonl").write_text("{}\n{}\n")
    assert cli.main(["status", "tiny", "--results", str(tmp_path)]) == 2
    assert "record.jsonl:1: damaged" in capsys.readouterr().err


def test_what_is_printed_for_programs_is_what_status_knows(space_file, tmp_path, capsys):
    folder = write_record(tmp_path / "tiny", space_file)
    assert cli.main(["status", "tiny", "--json", "--results", str(tmp_path)]) == 0
    known = asdict(replace(status(folder), last=None))
    assert {**json.loads(capsys.readouterr().out), "last": None} == known
