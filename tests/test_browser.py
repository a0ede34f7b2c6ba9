"""MLflow's pages on a finished search, in a real browser."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from search.run import run_search
from search.space import load_space
from tests.conftest import write_space

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--window-size=1600,1000", "--virtual-time-budget=30000", "--dump-dom"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


def page(address: str, profile: Path) -> str:
    """Return the document that a browser has made of ``address``."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory, images):
    """The addresses that `ui --json` prints on a finished search of two trials."""
    folder = tmp_path_factory.mktemp("browser")
    run_search(load_space(write_space(folder / "shown.yaml", images, trials=2, epochs=2)), results=folder / "results")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "search", "ui", "shown", "--json", "--port", str(port), "--results", str(folder / "results")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        yield json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


def test_the_search_stands_with_its_registered_model(served, tmp_path):
    shown = page(served["address"], tmp_path)
    assert "Training runs" in shown and ">shown<" in shown and "/models/shown" in shown


def test_its_trials_stand_ranked_beside_their_curves(served, tmp_path):
    shown = page(served["curves"], tmp_path)
    assert "shown trial 0" in shown and "shown trial 1" in shown and "accuracy" in shown


def test_the_champion_is_registered(served, tmp_path):
    shown = page(served["address"].partition("#")[0] + "#/models/shown", tmp_path)
    assert "champion" in shown
