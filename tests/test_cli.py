"""The commands as they are typed: help, answers for people and programs, and one line for every mistake."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from search import cli
from search.resources import visible_gpus

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
                     "parameters", "MACs", "at most 2 epochs; rungs after epochs 1, where 1 in 2 goes on",
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


MISTAKES = {
    "batch larger than the training rows": (
        ["--set", "space.batch_size=37"],
        "--set space.batch_size=37: space.batch_size: 37 is more than the 36 training rows at split_ratio 1; give at most 36"),
    "batch larger than the rows of the smallest ratio": (
        ["--set", "space.split_ratio={uniform: [0.2, 1]}"],
        ":6: space.batch_size: 16 is more than the 7 training rows at split_ratio 0.2; give at most 7"),
    "more GPUs than exist": (
        ["--set", "resources.gpus=64"],
        f"resources.gpus: 64 asked for, but there are {visible_gpus()}; give at most {visible_gpus()}"),
    "more cores than exist": (
        ["--set", "resources.cpus_per_trial=1000"], "resources.cpus_per_trial: 1000 asked for, but there are"),
    "zero trials": (["--trials", "0"], "--set budget.trials=0: budget.trials: 0 is out of range; give a whole number >= 1"),
    "trials that are no number": (["--trials", "abc"], "budget.trials: 'abc' is not a whole number"),
    "negative minutes": (["--minutes=-1"], "budget.minutes: -1 is out of range; give a number"),
    "unknown key": (["--set", "space.learning_rte=1"], "did you mean 'learning_rate'?"),
    "a name with a slash": (["--name", "a/b"], "--name a/b: 'a/b' cannot name a search; give"),
    "a name that climbs": (["--name", "../evil"], "--name ../evil: '../evil' cannot name a search; give"),
    "an empty name": (["--name", ""], "'' cannot name a search; give"),
    "a file store that MLflow refuses": (
        ["--tracking-uri", "mlruns"], "'mlruns': MLflow keeps no runs there; give sqlite:///PATH/mlflow.db or http://HOST:PORT"),
    "a store in memory": (["--tracking-uri", "sqlite:///"], "it names no file, so every run would be lost; give sqlite:///PATH"),
    "an unknown scheme": (["--tracking-uri", "ftp://host/x"], "'ftp://host/x': MLflow keeps no runs there; give"),
    "a closed port": (
        ["--tracking-uri", f"http://127.0.0.1:{free_port()}"],
        "no MLflow server answers there ([Errno 111] Connection refused); start it"),
    "a server without a host": (["--tracking-uri", "http://"], "no MLflow server answers there"),
    "a cluster that is not there": (["--address", f"127.0.0.1:{free_port()}"], "no Ray cluster answers there"),
    "a cluster address that is none": (["--address", "here"], "no Ray cluster answers there"),
}


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_creates_nothing(arguments, expected, space_file, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    status, out, err = call("run", str(space_file), "--results", str(tmp_path / "results"), *arguments, capsys=capsys)
    assert status == 2
    assert err.startswith("search: error: ") and err.count("\n") == 1 and expected in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["run"], "the following arguments are required: space", id="no space"),
        pytest.param(["walk"], "invalid choice: 'walk'", id="unknown command"),
        pytest.param([], "the following arguments are required: COMMAND", id="no command"),
        pytest.param(["run", "a.yaml", "--fast"], "unrecognized arguments: --fast", id="unknown flag"),
        pytest.param(["check"], "give a space file, or --schema", id="check nothing"),
        pytest.param(["run", "missing.yaml"], "missing.yaml: ", id="missing space"),
    ],
)
def test_words_that_make_no_command(arguments, expected, capsys):
    status, _, err = call(*arguments, capsys=capsys)
    assert status == 2 and expected in err and err.count("\n") == 1


def test_a_results_folder_that_is_a_file(space_file, tmp_path, capsys):
    (tmp_path / "results").write_text("mine")
    status, _, err = call("run", str(space_file), "--results", str(tmp_path / "results"), capsys=capsys)
    assert status == 2 and "is not a folder; give another --results" in err and err.count("\n") == 1


def test_a_results_folder_that_cannot_be_written(space_file, capsys):
    status, _, err = call("run", str(space_file), "--results", "/proc/results", capsys=capsys)
    assert status == 2 and "folder '/proc' cannot be written (" in err and err.count("\n") == 1


def test_a_server_that_forbids(space_file, tmp_path, capsys):
    class Forbid(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Forbid)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://user:secret@127.0.0.1:{server.server_port}"
    status, _, err = call("run", str(space_file), "--results", str(tmp_path / "r"), "--tracking-uri", uri, capsys=capsys)
    server.shutdown()
    server.server_close()
    assert status == 2 and "secret" not in err and not (tmp_path / "r").exists()


def test_commands_on_an_empty_results_folder(tmp_path, capsys):
    results = ["--results", str(tmp_path)]
    assert call("list", *results, capsys=capsys)[1].startswith("no searches in")
    assert call("list", "--json", *results, capsys=capsys)[1] == "[]\n"
    for command in (["best"], ["best", "aoi"], ["ui"], ["predict", "aoi", "x.png"]):
        status, _, err = call(*command, *results, capsys=capsys)
        assert status == 2 and "none yet; start one with `run SPACE.yaml`" in err and err.count("\n") == 1
