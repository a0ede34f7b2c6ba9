"""`--address`: the same search on a Ray cluster that somebody else started."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.errors import EnvironmentProblem
from search.plan import decode, make_plan
from search.resources import cluster_machine
from search.resume import resume_search
from search.run import run_search
from search.space import load_space
from search.tuning import session_of
from tests.cluster import RAY, Cluster, Node, cluster
from tests.conftest import Told, write_space
from tests.invariants import check
from tests.test_resume import LONG, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which(str(RAY)) is None, reason="no ray command")]
ROOT = Path(__file__).parent.parent
NETWORK = """
from torch import nn

from nets.layers import head

def build(*, channels, outputs, size, dropout):
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), head(channels * size * size, outputs))
"""


def start(nodes: Cluster, space: Path, results: Path, *words: str, cwd: Path = ROOT) -> subprocess.Popen:
    command = [sys.executable, "-m", "search", "run", str(space), "--results", str(results), "--address", nodes.address, *words]
    return subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, **nodes.token, "PYTHONPATH": str(ROOT)})


def test_a_users_own_network_goes_to_the_nodes(images, tmp_path):
    """It stands in the folder that the search is started from, as a package; the nodes were started elsewhere."""
    (here := tmp_path / "here" / "nets").mkdir(parents=True)
    (here / "__init__.py").write_text("")
    (here / "layers.py").write_text("from torch import nn\n\ndef head(width, outputs):\n    return nn.Linear(width, outputs)\n")
    (here / "flat.py").write_text(NETWORK)
    (here.parent / "alone.py").write_text(NETWORK.replace("from nets.layers import head", "head = nn.Linear"))
    space = write_space(tmp_path / "tiny.yaml", images)
    with cluster(tmp_path / "cluster") as nodes:
        words = ["--set", "space.architecture={choice: ['nets.flat:build', 'alone:build']}", "--trials", "4", "--json"]
        process = start(nodes, space, tmp_path / "results", *words, cwd=here.parent)
        printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    outcome = json.loads(printed)
    assert sum(outcome["trials"].values()) == 4 and outcome["trials"]["FAILED"] == 0, outcome["failures"]
    assert outcome["registered"] == "models:/tiny@champion"
    check(tmp_path / "results" / "tiny", 4)


@pytest.mark.parametrize("deed", [Node.kill, Node.cut_off], ids=["killed", "cut off"])
def test_a_node_that_is_lost_takes_no_trial_with_it(space_file, tmp_path, deed):
    """One of two nodes, each in a network of its own, is lost with a trial on it: that goes on from its checkpoint."""
    results = tmp_path / "results"
    with cluster(tmp_path / "cluster", apart=True) as nodes:
        process = start(nodes, space_file, results, *LONG)
        wait_for(process, results / "tiny", 30)
        deed(nodes.workers[1])
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    record = check(results / "tiny", 3, errors=errors)
    assert not record.trials.counts()["FAILED"]


def test_a_head_that_is_lost_ends_the_search_with_a_word(space_file, tmp_path):
    """Ray alone would end the process after a minute without any."""
    results = tmp_path / "results"
    with cluster(tmp_path / "cluster") as nodes:
        process = start(nodes, space_file, results, *LONG)
        wait_for(process, results / "tiny", 30)
        nodes.head.kill()
        _, errors = process.communicate(timeout=300)
    said = "the head node of the Ray cluster at .* does not answer any more .*; start the cluster again and go on with `resume`"
    assert process.returncode == 5 and re.fullmatch(f"search: error: {said}\n", errors)
    resume_search(results / "tiny")
    assert not check(results / "tiny", 3).trials.counts()["FAILED"]


def test_a_node_that_does_not_share_the_results_folder_is_named(space_file, tmp_path):
    """It would train, keep its weights where nobody looks for them, and be left out of the finish."""
    (results := tmp_path / "results").mkdir()
    with cluster(tmp_path / "cluster", workers=1, without=str(results)) as nodes:
        _, errors = (process := start(nodes, space_file, results)).communicate(timeout=300)
    said = "tiny is not the same folder on node .*; mount its disk there, too, or leave that node out of the cluster; then go on"
    assert process.returncode == 5 and re.search(said, errors) and errors.count("\n") == 1
    resume_search(results / "tiny")
    assert not check(results / "tiny", 3).trials.counts()["FAILED"]


def test_a_cluster_that_has_too_little_is_waited_for_and_named(space_file, tmp_path, monkeypatch):
    """What is asked for may be on no node but is more than this machine has, too; nothing is created."""
    said = []
    with cluster(tmp_path / "cluster", workers=1) as nodes:
        for name, value in nodes.token.items():
            monkeypatch.setenv(name, value)
        space = load_space(space_file, ["resources={gpus: 3, wait_seconds: 2}"])
        with pytest.raises(EnvironmentProblem, match="after 2 s of waiting: resources.gpus: 3 asked for, but there are 0"):
            run_search(space, results=tmp_path / "results", address=nodes.address, progress=Told(said))
    assert "waiting for more nodes of the cluster" in said and not (tmp_path / "results").exists()


def test_the_data_reaches_each_node_once(space_file, tmp_path, monkeypatch):
    """All processes of a node read it where it lies in the node's store, and the driver's node has the third copy."""
    plan = make_plan(load_space(space_file, ["space.image_size=64"]))
    data = decode(plan, tmp_path)[64]

    def look(references):
        from trainables.trial import fetch

        pixels = fetch(*references).pool.pixels
        (tmp_path / f"{os.getpid()}.here").touch()
        while len(list(tmp_path.glob("*.here"))) < 4:  # each on a core of its own
            time.sleep(0.1)
        return ray.get_runtime_context().get_node_id(), os.getpid(), pixels.flags.owndata or pixels.flags.writeable

    with session_of(plan):  # a Ray of this process that knew no token of the cluster
        pass
    with cluster(tmp_path / "cluster", cores=2) as nodes:
        for name, value in nodes.token.items():
            monkeypatch.setenv(name, value)
        plan = dataclasses.replace(plan, machine=cluster_machine(nodes.address, plan.space.resources))
        with session_of(plan, nodes.address) as (ray, machine):
            assert machine.concurrent == 4
            reference = ray.put(data)
            found = ray.get([ray.remote(num_cpus=1)(look).remote([reference]) for _ in range(4)])
            places = ray.experimental.get_object_locations([reference])[reference]["node_ids"]
            here = ray.get_runtime_context().get_node_id()
    at, processes, copied = zip(*found, strict=True)
    assert len(set(at)) == 2 and len(set(processes)) == 4 and not any(copied)
    assert sorted(places) == sorted({*at, here})


def test_one_process_searches_here_there_and_here_again(space_file, tmp_path, monkeypatch):
    """What Ray keeps of one search, such as its token, is not in the way of the next."""
    space = load_space(space_file, ["budget.trials=1", "schedule.max_epochs=1"])
    with cluster(tmp_path / "cluster", workers=1) as nodes:
        for name, value in nodes.token.items():
            monkeypatch.setenv(name, value)
        for number, address in enumerate((None, nodes.address, None, nodes.address)):
            run_search(space, name=f"tiny{number}", results=tmp_path / "results", address=address)
            check(tmp_path / "results" / f"tiny{number}", 1)
            assert {name: os.environ[name] for name in nodes.token} == nodes.token
