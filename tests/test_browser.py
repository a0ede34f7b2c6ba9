"""MLflow's pages and Optuna's dashboard on a finished search, in a real browser."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.run import run_search
from search.space import load_space
from tests.browsing import look
from tests.conftest import free_port, write_space

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--window-size=1600,1000", "--virtual-time-budget=30000", "--dump-dom"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


def page(address: str, profile: Path) -> str:
    """Return the document that a browser has made of ``address``."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


# What the page says once the dashboard has drawn its figures.
DRAWN = """new Promise(done => { const wait = () => document.querySelectorAll('.main-svg').length > 5
    ? done(document.body.innerText) : setTimeout(wait, 200); wait() })"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, images):
    """The results of a finished search of two trials."""
    folder = tmp_path_factory.mktemp("browser")
    run_search(load_space(write_space(folder / "shown.yaml", images, trials=2, epochs=2)), results=folder / "results")
    return folder / "results"


@contextmanager
def ui(results: Path, *options: str) -> Iterator[dict[str, str]]:
    """Yield the addresses that `ui --json` prints, while it serves them."""
    place = ["--json", "--port", str(free_port()), "--results", str(results)]
    command = [sys.executable, "-m", "search", "ui", "shown", *place, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        yield json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


@pytest.fixture(scope="module")
def served(results):
    with ui(results) as pages:
        yield pages


def test_the_search_stands_with_its_registered_model(served, tmp_path):
    shown = page(served["address"], tmp_path)
    assert "Training runs" in shown and ">shown<" in shown and "/models/shown" in shown


def test_its_trials_stand_ranked_beside_their_curves(served, tmp_path):
    shown = page(served["curves"], tmp_path)
    assert "shown trial 0" in shown and "shown trial 1" in shown and "accuracy" in shown


def test_the_champion_is_registered(served, tmp_path):
    shown = page(served["address"].partition("#")[0] + "#/models/shown", tmp_path)
    assert "champion" in shown


@pytest.mark.skipif(importlib.util.find_spec("optuna_dashboard") is None, reason="needs the package optuna-dashboard")
def test_optunas_dashboard_opens_on_the_study(results, tmp_path):
    with ui(results, "--optuna") as pages:
        looked = look(pages["address"], tmp_path, DRAWN)
    [said] = looked.answers
    for expected in ("shown (id=1)", "Hyperparameter Importance", "learning_rate", "Best Trial", "accuracy"):
        assert expected in said
    server = pages["address"].partition("/dashboard")[0]
    assert [request for request in looked.requests if not request.startswith(server)] == []
