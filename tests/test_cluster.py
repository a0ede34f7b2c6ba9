"""`--address`: the same search on a Ray cluster that somebody else started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
RAY = Path(sys.executable).parent / "ray"


@pytest.fixture
def cluster(tmp_path):
    """The address of a head node of two cores, in a process of its own."""
    address = f"127.0.0.1:{free_port()}"
    command = [RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={address.partition(':')[2]}",
               "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)) as head:
        for line in head.stdout:
            if "--block" in line:
                break
        yield address
        head.terminate()


@pytest.mark.skipif(shutil.which(str(RAY)) is None, reason="no ray command")
def test_a_search_joins_a_running_cluster(cluster, space_file, tmp_path):
    words = ["run", str(space_file), "--results", str(tmp_path / "results"), "--address", cluster, "--json"]
    # In a process of its own: after a search on a cluster Ray starts no node in the same process again.
    done = subprocess.run([sys.executable, "-m", "search", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert sum(outcome["trials"].values()) == 3 and outcome["trials"]["FAILED"] == 0
    assert outcome["registered"] == "models:/tiny@champion"
