"""The example notebook, run from its first cell to its last in a kernel of its own, and gone on with from a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "spaces" / "in_memory.ipynb"


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = {cell["id"]: json.dumps(cell.get("outputs")) for cell in notebook.cells}
    assert "(240, 32, 32)" in said["draw"]
    assert "trial 5" in said["search"] and "again from seed" in said["search"]
    assert "on 36 sealed rows" in said["score"] and "report.html" in said["page"]
    assert said["predict"].count("hole") + said["predict"].count("smooth") + said["predict"].count("scratch") >= 6
    resume = [sys.executable, "-m", "search", "resume", "parts", "--trials", "+1", "--json"]
    extended = subprocess.run(resume, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert extended.returncode == 0, extended.stderr
    assert sum(json.loads(extended.stdout)["trials"].values()) == 7
