"""The script that repeats faults still runs: one search that is killed, resumed and held against the invariants."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_killed_search_costs_no_trial_and_no_row():
    done = subprocess.run([sys.executable, "-m", "tests.faults", "F1", "--repetitions", "1"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [toll] = json.loads(done.stdout.splitlines()[-1])["F1"]
    assert (toll["lost"], toll["duplicates"], toll["orphans"], toll["broken"]) == (0, 0, 0, "")
    assert toll["statuses"][-1] == 0 and set(toll["statuses"][:-1]) == {-9}
