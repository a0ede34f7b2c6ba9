"""`--json` of every command: what is printed has the keys that the README names, neither more nor fewer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search import cli
from tests.conftest import write_space
from tests.test_browser import ui
from tests.test_cli import documented

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def printed(*arguments: str | Path) -> Any:
    """Return what a command prints for programs, in a process of its own."""
    command = [sys.executable, "-m", "search", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stopped(folder: Path, name: str) -> str:
    """Make a copy of a search beside it, as one that was killed before its end."""
    shutil.copytree(folder, copy := folder.with_name(name))
    record = copy / "record.jsonl"
    record.write_text("".join(line for line in record.read_text().splitlines(keepends=True) if '"event": "stop"' not in line))
    return name


@pytest.fixture(scope="module")
def answers(tmp_path_factory, images) -> dict[str, Any]:
    """What every command answers, on one small search."""
    place = tmp_path_factory.mktemp("json")
    space, here = write_space(place / "shown.yaml", images), ["--results", place / "results"]
    found = {
        "check": printed("check", space, *here),
        "init": printed("init", images, "-o", place / "new.yaml", *here),
        "run": printed("run", space, *here),
        "best": printed("best", "shown", *here),
        "status": printed("status", "shown", *here),
        "list": printed("list", *here),
        "report": printed("report", "shown", *here),
        "replay": printed("replay", "shown", "0", *here),
        "predict": printed("predict", "shown", images / "left" / "00.png", *here),
        "resume": printed("resume", "shown", "--trials", "+1", *here),
        "finish": printed("finish", stopped(place / "results" / "shown", "stopped"), *here),
    }
    with ui(place / "results") as found["ui"]:
        return found


@pytest.mark.parametrize("command", cli.HELP)
def test_the_keys_are_those_of_the_readme(answers, command):
    known, answer = documented(), answers[command]
    if command == "list":
        known["list"], answer = known["best"], answer[0]
    if command == "predict":
        known["predict"] -= {"points", "mask", "shares", "output", "rows"}  # of other tasks, and of AIdea's layout
        answer = answer[0]
    if command == "init":
        known["init"] -= {"points"}
    assert answer.keys() == known[command]
