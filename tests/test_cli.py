"""The commands as they are typed: help, and answers for people and programs. Mistakes are in `test_bad_inputs`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import search
from search import cli
from search.finish import Outcome
from search.space import load_space
from search.status import Status

ROOT = Path(__file__).parent.parent


def call(*arguments: str, capsys) -> tuple[int, str, str]:
    """Run a command in this process; return its exit status and what it printed."""
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize("command", cli.HELP)
def test_every_command_has_help_with_an_example(command, capsys):
    status, out, _ = call(command, "--help", capsys=capsys)
    assert status == 0 and f"example: python -m search {command}" in out and "--json" in out and "--results" in out


@pytest.mark.parametrize("command", cli.HELP)
def test_every_command_stands_in_the_readme(command):
    assert f"python -m search {command}" in (ROOT / "README.md").read_text()


def test_help_starts_quickly_and_without_heavy_libraries():
    code = "import sys, search.cli; search.cli.parser(); print(sorted({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_check_tells_what_is_known_before_training_and_creates_nothing(space_file, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    status, out, err = call("check", str(space_file), "--results", str(tmp_path / "results"), capsys=capsys)
    assert (status, err) == (0, "") and sorted(tmp_path.rglob("*")) == before
    for expected in ("60 images of 16x16, grey, from folder", "left 30, lower 30",
                     "36 to train on, 12 for validation, 12 sealed", "loguniform [0.001, 0.01]", "simple_cnn", "at 16 px:",
                     "195,674 parameters,", "2,535,824 MACs (thop),", "2,535,824 (conv, matmul),",
                     "at most 2 epochs; rungs after epochs 1, where 1 in 2 goes on",
                     "3 trials", "0 exact duplicates"):
        assert expected in out


def test_check_for_programs(space_file, capsys):
    status, out, _ = call("check", str(space_file), "--json", capsys=capsys)
    known = json.loads(out)
    assert status == 0 and known["data"]["classes"] == {"left": 30, "lower": 30}
    [network] = known["architectures"]
    assert network.items() >= {"architecture": "simple_cnn", "image_size": 16, "params": 195674, "macs": 2535824}.items()
    assert network["thop_macs"] == 2535824 and network["memory"] == 4 * 195674 * 4 + 16 * 102_192
    assert known["rungs"] == [1, 2] and known["combinations"] is None


def test_the_schema_is_printed(capsys):
    status, out, _ = call("check", "--schema", capsys=capsys)
    assert status == 0 and json.loads(out) == json.loads((ROOT / "spaces" / "space.schema.json").read_text())


def test_commands_on_an_empty_results_folder(tmp_path, capsys):
    results = ["--results", str(tmp_path)]
    assert call("list", *results, capsys=capsys)[1].startswith("no searches in")
    assert call("list", "--json", *results, capsys=capsys)[1] == "[]\n"
    for command in (["best"], ["best", "aoi"], ["ui"], ["predict", "aoi", "x.png"]):
        status, _, err = call(*command, *results, capsys=capsys)
        assert status == 2 and "none yet; start one with `run SPACE.yaml`" in err and err.count("\n") == 1


def documented() -> dict[str, set[str]]:
    """Return the keys that the README names for each command's JSON."""
    lines = (ROOT / "README.md").read_text().split("<!-- json -->")[1].split("\n\n")[0].splitlines()[3:]
    words = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    return {name.strip("` "): set(re.findall(r"`(\w+)`", keys.partition("; of one")[0])) for names, keys in words
            for name in names.split(",")}


def test_what_is_printed_for_programs_is_documented(space_file, tmp_path, capsys):
    known = documented()
    assert known.keys() == cli.HELP.keys()
    assert json.loads(call("check", str(space_file), "--json", capsys=capsys)[1]).keys() == known["check"]
    made = json.loads(call("init", str(load_space(space_file).data.root), "-o", str(tmp_path / "new.yaml"), "--json",
                           capsys=capsys)[1])
    assert made.keys() == known["init"] - {"points"}
    assert {field.name for field in dataclasses.fields(Outcome)} == known["best"]
    assert {field.name for field in dataclasses.fields(Status)} == known["status"]


def test_what_a_program_needs_is_offered_and_typed():
    code = "import sys, search; print(sorted({'torch', 'ray', 'optuna', 'mlflow', 'plotly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert all(getattr(search, name) is not None for name in search.__all__)
    assert (ROOT / "search" / "py.typed").exists() and (ROOT / "trainables" / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = search.nothing


def test_a_package_that_is_not_installed_is_named_in_one_line(tmp_path):
    """By a Python that has none of the project's packages; one without site-packages stands for it."""
    code = "import runpy, sys; sys.argv = ['search', 'check', 'x.yaml']; runpy.run_module('search', run_name='__main__')"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 5 and done.stderr.count("\n") == 1
    assert re.match(rf"search: error: '\w+' is not installed for {sys.executable}; activate the environment", done.stderr)


def test_a_forgotten_quote_is_mended(capsys):
    words = ["run", "spaces/aoi.yaml", "--set", "data={source:", "folder,", "root:", "parts}"]  # as a shell splits it
    status, _, err = call(*words, capsys=capsys)
    assert status == 2 and "unrecognized arguments: folder, root: parts}; write --set 'KEY=VALUE', in quotes" in err
    assert "in quotes" not in call("list", "parts", capsys=capsys)[2]


@pytest.mark.parametrize("port", ["99999", "-1", "0", "http"])
def test_a_port_that_is_none_is_refused(port, capsys):
    status, _, err = call("ui", "--port", port, capsys=capsys)
    assert status == 2 and f"--port: '{port}' is no port; give a number from 1 to 65535" in err and err.count("\n") == 1


@pytest.mark.parametrize("words", [["check"], ["init"], ["run"]], ids=" ".join)
def test_a_name_that_no_file_can_have_is_bad_input(words, capsys):
    status, _, err = call(*words, "n" * 300 + ".yaml", capsys=capsys)
    assert status == 2 and "File name too long" in err and err.count("\n") == 1


def test_a_dashboard_that_is_not_installed_is_named_with_its_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "search.json").write_text('{"state": "running"}')
    options = ["ui", "done", "--optuna", "--results", str(tmp_path)]
    assert "done/optuna.db: the search has no study there" in call(*options, capsys=capsys)[2]
    (tmp_path / "done" / "optuna.db").touch()
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    status, _, said = call(*options, capsys=capsys)
    assert status == 2 and "Optuna's dashboard is not installed; pip install optuna-dashboard" in said
