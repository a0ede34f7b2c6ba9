"""Exit statuses: those of the README are those of the code, and a search of which much failed says so."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from search.errors import EnvironmentProblem, Interrupted, NoUsableTrial, SpaceError
from tests.conftest import write_space
from tests.test_cli import ROOT, call

MOODY = """
from torch import nn

class Moody(nn.Sequential):
    def forward(self, images):
        if self.training and len(images) == 8:
            raise ValueError("not in eights")
        return super().forward(images)

def build(*, channels, outputs, size, dropout):
    return Moody(nn.Flatten(), nn.Linear(channels * size * size, outputs))
"""


def test_the_readme_lists_the_statuses():
    listed = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    errors = [SpaceError, NoUsableTrial, EnvironmentProblem, *map(Interrupted, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))]
    assert [int(status) for status, _ in listed] == sorted([0, 3, *(error.exit_status for error in errors)])


@pytest.fixture
def moody(tmp_path, monkeypatch) -> None:
    """A network in the current directory that cannot be trained with a batch of 8."""
    (tmp_path / "moody.py").write_text(MOODY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("moody", None)


@pytest.mark.slow
def test_a_search_of_which_much_failed_is_complete_with_a_status_of_its_own(moody, tmp_path, images, capsys):
    space = write_space(tmp_path / "tiny.yaml", images, trials=4, epochs=1)
    words = ["--set", "space.architecture=moody:build", "--set", "space.batch_size={choice: [8, 12]}"]
    status, out, err = call("run", str(space), "--results", str(tmp_path / "results"), *words, capsys=capsys)
    failed = int(re.search(r", (\d) failed", out)[1])
    assert 0 < failed < 4 and status == 3 and "models:/tiny@champion" in out
    assert err.endswith(f"search: warning: {failed} of 4 trials failed ({failed} error); see the search's errors folder\n")
